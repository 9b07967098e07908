package codec

// Format is the form of a request body.
type Format uint8

// The forms a body can have. Auto decides by the first byte that is neither
// white space nor part of a byte order mark: { or [ is JSON, anything else CSV.
const (
	Auto   Format = iota
	JSON          // an array of records, one record, or records one after another
	NDJSON        // one record a line; blank lines are skipped
	CSV           // RFC 4180, header line optional
)

// Limits bound one batch. Zero means no limit.
type Limits struct {
	Records     int // records a batch
	RecordBytes int // bytes a record, as sent
	Depth       int // nesting inside skipped JSON members
}

// Decode replaces the contents of b by the records of body. It keeps nothing
// of body. The error is an *InvalidError or a *LimitError, and b is then empty.
func (b *Batch) Decode(body []byte, f Format, l Limits) error {
	panic("being written")
}

// AppendLines adds the records of NDJSON lines to b. Lines that do not parse,
// or are over a limit, are handed to bad (the line without its end is valid
// during the call only) and left out; the others are kept.
func (b *Batch) AppendLines(lines []byte, l Limits, bad func(line []byte, e RecordError)) {
	panic("being written")
}
