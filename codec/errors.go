package codec

import "fmt"

const hoursLimit = "hours" // LimitError.What

// MaxErrors is how many invalid records one InvalidError names; it counts the
// rest.
const MaxErrors = 100

// RecordError says what is wrong with one record of a batch.
type RecordError struct {
	Index  int    `json:"index"`  // position in the batch, from 0 (a CSV header line does not count)
	Field  string `json:"field"`  // timestamp, path, userAgent, or record when it is the whole
	Reason string `json:"reason"` // for a person
}

// InvalidError is returned for a batch with invalid records. Nothing of such a
// batch is to be stored.
//
// The scan goes on after an invalid record, so that one answer names them all.
// Only where the body is no longer JSON, in an array or in objects one after
// another, nothing after that point can be told apart: then the last error is
// that one, and Records counts up to it.
type InvalidError struct {
	Errors  []RecordError // the first MaxErrors, in order
	Count   int           // invalid records in all
	Records int           // records seen, good and bad; 0 for an empty body, which is one error
}

func (e *InvalidError) Error() string {
	if len(e.Errors) == 0 {
		return "invalid batch"
	}
	first := e.Errors[0]
	if e.Records == 0 {
		return "invalid batch: " + first.Reason
	}
	return fmt.Sprintf("%d of %d records invalid; first: record %d: %s: %s", e.Count, e.Records, first.Index, first.Field, first.Reason)
}

// LimitError is returned for a batch over one of its Limits. Nothing of such a
// batch is to be stored.
type LimitError struct {
	Index   int    // the record that went over; of hours, the last of the batch
	What    string // "records", "record bytes", "record bytes as sent" or "hours"
	Max     int
	Records int // records seen before it
}

func (e *LimitError) Error() string {
	if e.What == hoursLimit {
		return fmt.Sprintf("the batch is over the limit of %d different hours; send it in parts", e.Max)
	}
	return fmt.Sprintf("record %d is over the limit of %d %s", e.Index, e.Max, e.What)
}
