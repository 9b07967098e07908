package codec

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

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
	RecordBytes int // bytes a record, as sent, without what stands between records
	Depth       int // nesting inside skipped JSON members
}

// Decode replaces the contents of b by the records of body. It keeps nothing
// of body. The error is an *InvalidError or a *LimitError, and b is then empty.
//
// A body without any record is an error, except where it says itself that it
// is an empty list: the array [], or a CSV header line alone.
func (b *Batch) Decode(body []byte, f Format, l Limits) error {
	b.Reset()
	d := b.decoder(l)
	body = withoutMark(body)
	d.reserve(len(body))
	d.body(body, f)
	d.close()
	switch {
	case d.over != nil:
		b.Reset()
		return d.over
	case d.invalid != nil:
		d.invalid.Records = d.index
		b.Reset()
		return d.invalid
	}
	b.regroup()
	return nil
}

// AppendLines adds the records of NDJSON lines to b. Lines that do not parse,
// or are over a limit, are handed to bad (the line without its end is valid
// during the call only) and left out; the others are kept. Limits.Records is
// not looked at: the caller, who appends, knows how much is enough. The index
// in the error counts the lines of this call that are not blank. While bad is
// called the batch is not to be used.
func (b *Batch) AppendLines(lines []byte, l Limits, bad func(line []byte, e RecordError)) {
	l.Records = 0
	d := b.decoder(l)
	d.bad = bad
	lines = withoutMark(lines)
	d.reserve(len(lines))
	d.lines(lines)
	d.close()
}

func withoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }

// decoder is one Decode or AppendLines under way.
type decoder struct {
	b      *Batch
	out    []byte // b's buffer while it grows
	limits Limits
	index  int // records seen, good and bad: the index of the next one
	good   int // records in b

	hour  Hour // of the last run
	first int  // good when the last run began

	invalid *InvalidError
	over    *LimitError // the scan has ended with this
	bad     func(line []byte, e RecordError)
	line    []byte // what bad is told

	missed int // times in a row that a record was not canonical
	known  int // of b.skipped

	// Of the record that is being read:
	fields [columns]field
	deep   bool // something in it is nested deeper than the limit
}

// The members of a record, in canonical order.
const (
	timestamp = iota
	path
	userAgent
	columns
)

var names = [columns]string{"timestamp", "path", "userAgent"}

// field is one value of a record, in canonical form.
type field struct {
	text []byte // in the body, or in the batch's scratch memory
	kind kind
}

// kind says what a record has in a column.
type kind uint8

const (
	absent kind = iota
	notString
	present
)

// none is the column of a member that is skipped.
const none = columns

// decoder returns one that appends to b.
func (b *Batch) decoder(l Limits) decoder {
	d := decoder{b: b, out: b.buf, limits: l, good: b.records, first: b.records, hour: noHour}
	if b.clock.head == 0 { // a new batch
		b.clock.reset()
	}
	if n := len(b.runs); n > 0 {
		last := b.runs[n-1]
		d.hour = last.Hour
		d.first -= last.Records
	}
	return d
}

// reserve makes room for what a body of n bytes usually becomes.
func (d *decoder) reserve(n int) {
	d.out = slices.Grow(d.out, n+64)
}

func (d *decoder) body(body []byte, f Format) {
	i := blanks(body, 0)
	if i == len(body) {
		d.nothing()
		return
	}
	if f == Auto {
		f = CSV
		if body[i] == '{' || body[i] == '[' {
			f = JSON
		}
	}
	switch f {
	case JSON:
		d.json(body, i)
	case NDJSON:
		d.lines(body)
	default:
		d.csv(body)
	}
}

// turn begins a run: from the record number good and the byte at of the output
// on, everything is of hour h.
func (d *decoder) turn(h Hour, at, good int) {
	runs := d.b.runs
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		last.end, last.Records = at, good-d.first
		d.b.unsorted = d.b.unsorted || h < last.Hour
	}
	d.b.runs = append(runs, Run{Hour: h, start: at})
	d.hour, d.first = h, good
}

// close hands what has been decoded to the batch.
func (d *decoder) close() {
	d.b.buf, d.b.records = d.out, d.good
	if n := len(d.b.runs); n > 0 {
		last := &d.b.runs[n-1]
		last.end, last.Records = len(d.out), d.good-d.first
	}
}

// admit reports whether another record is within the limit of the batch.
func (d *decoder) admit() bool {
	if d.limits.Records > 0 && d.index >= d.limits.Records {
		d.over = &LimitError{Index: d.index, What: "records", Max: d.limits.Records, Records: d.index}
		return false
	}
	return true
}

// fits reports whether a record of n bytes is within the limit. If not, the
// scan is to end, or, where single lines can be bad, to go on with the next.
func (d *decoder) fits(n int) bool {
	if d.limits.RecordBytes <= 0 || n <= d.limits.RecordBytes {
		return true
	}
	if d.bad != nil {
		d.report("record", fmt.Sprintf("is %d bytes, over the limit of %d", n, d.limits.RecordBytes))
		return false
	}
	d.over = &LimitError{Index: d.index, What: "record bytes", Max: d.limits.RecordBytes, Records: d.index}
	return false
}

// put adds the record whose fields have been read, or reports what is wrong
// with it.
func (d *decoder) put() {
	if d.deep {
		d.report("record", "is nested deeper than the limit of "+strconv.Itoa(d.limits.Depth))
		return
	}
	at, p, agent := d.fields[timestamp].text, d.fields[path].text, d.fields[userAgent].text
	const atMost, pathName, agentName = len("2026-02-09T15:23:00.123456789Z"), `","path":"`, `","userAgent":"`
	n := len(d.out)
	if size := hourAt + atMost + len(pathName) + len(p) + len(agentName) + len(agent) + 3; cap(d.out)-n < size {
		d.out = slices.Grow(d.out, size)
	}
	line := d.out[n:cap(d.out)]
	copy(line[:hourAt], `{"timestamp":"`)
	end, bad := d.b.clock.write(line[hourAt:hourAt+atMost], at)
	switch {
	case bad != 0:
		d.badTime(at, bad)
		return
	case blank(p):
		d.missing(path)
		return
	case blank(agent):
		d.missing(userAgent)
		return
	}
	end += hourAt
	copy(line[end:end+len(pathName)], pathName)
	end += len(pathName)
	end += copy(line[end:], p)
	copy(line[end:end+len(agentName)], agentName)
	end += len(agentName)
	end += copy(line[end:], agent)
	copy(line[end:end+3], "\"}\n")
	if d.b.clock.hour != d.hour {
		d.turn(d.b.clock.hour, n, d.good)
	}
	d.out = d.out[:n+end+3]
	d.good++
	d.index++
}

// missing reports a record that has no value, or a blank one, in the column.
func (d *decoder) missing(column int) {
	switch d.fields[column].kind {
	case absent:
		d.report(names[column], "is missing")
	case notString:
		d.report(names[column], "is not a string")
	default:
		d.report(names[column], "is empty")
	}
}

// badTime reports a record by its timestamp.
func (d *decoder) badTime(text []byte, why fault) {
	if blank(text) {
		d.missing(timestamp)
		return
	}
	reason := faults[why]
	if d.naming() {
		const enough = 40 // bytes; the longest timestamp there is has 35
		cut := ""
		if len(text) > enough {
			text, cut = text[:enough], "..."
		}
		reason = fmt.Sprintf("\"%s\"%s %s", bytes.ToValidUTF8(text, nil), cut, reason)
	}
	d.report(names[timestamp], reason)
}

// naming reports whether the next error will be named, so that its reason is
// worth the formatting.
func (d *decoder) naming() bool { return d.invalid == nil || len(d.invalid.Errors) < MaxErrors }

// report counts the record that is being read as invalid.
func (d *decoder) report(field, reason string) {
	e := RecordError{Index: d.index, Field: field, Reason: reason}
	d.index++
	if d.bad != nil {
		d.bad(d.line, e)
		return
	}
	if d.invalid == nil {
		d.invalid = new(InvalidError)
	}
	d.invalid.Count++
	if len(d.invalid.Errors) < MaxErrors {
		d.invalid.Errors = append(d.invalid.Errors, e)
	}
}

// nothing reports a body in which there is not even an empty list. No record
// has been seen there, so none is counted.
func (d *decoder) nothing() {
	d.report("record", "the body is empty")
	d.index = 0
}
