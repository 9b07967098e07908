package codec

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Format is the form of a request body.
type Format uint8

// The forms a body can have. Auto decides by the first byte that is neither
// white space nor part of a byte order mark: { or [ is JSON, anything else CSV.
// By the rules of shippers it looks at each line: what is not JSON, and not CSV
// from the first line on, is an access log line.
const (
	Auto     Format = iota
	JSON            // an array of records, one record, or records one after another
	NDJSON          // one record a line; blank lines are skipped
	CSV             // RFC 4180, header line optional
	Combined        // access log lines with referer and user agent
	Common          // access log lines without them
	W3C             // W3C extended log files, with their #Fields line
	ALB             // access log lines of AWS load balancers
)

// SentPerStored is how many bytes a record may have as it was sent for each byte
// that its canonical line may have: Limits.SentBytes of a server that limits
// RecordBytes. A character that is written as an escape has up to six bytes for
// one, and what is skipped or white space has any number.
const SentPerStored = 8

// Limits bound one batch. Zero means no limit.
type Limits struct {
	Records     int           // records a batch
	RecordBytes int           // bytes of a record's canonical line, without its newline
	SentBytes   int           // bytes of a record as it was sent, without what is between records
	Depth       int           // nesting inside members that are not one of the three
	Hours       int           // different hours a batch
	MaxAge      time.Duration // how long before now a record's time may be
	MaxFuture   time.Duration // how long after now a record's time may be
}

// Decode replaces the contents of b by the records of body. It keeps nothing
// of body. The error is an *InvalidError, a *LimitError, or what the batch's Room
// returned, and b is then empty.
//
// A body without any record is an error, except where it says itself that it
// is an empty list: the array [], or a CSV header line alone.
func (b *Batch) Decode(body []byte, f Format, l Limits) error {
	b.rules.limits.set(&l)
	b.rules.keep = false
	var now time.Time
	if l.MaxAge > 0 || l.MaxFuture > 0 {
		now = time.Now()
	}
	return b.DecodeWith(body, f, &b.rules, now, nil)
}

// set copies l, one field after another: a copy in larger pieces would have to wait
// until the fields, which the caller has just written, have arrived in the cache.
func (m *Limits) set(l *Limits) {
	m.Records, m.RecordBytes, m.SentBytes, m.Depth = l.Records, l.RecordBytes, l.SentBytes, l.Depth
	m.Hours, m.MaxAge, m.MaxFuture = l.Hours, l.MaxAge, l.MaxFuture
}

// AppendLines adds the records of NDJSON lines to b, with their extra members.
// Lines that do not parse, or are over a limit, are handed to bad (the line
// without its end is valid during the call only) and left out; the others are
// kept. Of the limits, those on a single record count, but not MaxAge and
// MaxFuture: the caller, who appends, knows how much is enough, and a line that
// was accepted once is not too old later. The index in the error counts the
// lines of this call that are not blank. While bad is called the batch is not
// to be used.
func (b *Batch) AppendLines(lines []byte, l Limits, bad func(line []byte, e RecordError)) {
	b.rules.limits, b.rules.keep = Limits{RecordBytes: l.RecordBytes, SentBytes: l.SentBytes, Depth: l.Depth}, true
	var d decoder
	d.start(b, &b.rules, time.Time{})
	d.bad = bad
	lines = withoutMark(lines)
	d.reserve(len(lines))
	d.lines(lines)
	d.close()
}

func withoutMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }

// decoder is one Decode or AppendLines under way. It is kept small, since for a
// body of one record it is a good part of the work to make one: what only few
// bodies need is in the Batch.
type decoder struct {
	b      *Batch
	out    []byte // b's buffer while it grows
	rules  *Rules
	limits *Limits // those of rules
	index  int     // records seen, good and bad: the index of the next one
	good   int     // records in b

	hour   Hour  // of the last run
	first  int   // good when the last run began
	within hours // in which the records' times are without a closer look

	invalid *InvalidError
	over    *LimitError // not nil: the scan ends, with this error
	bad     func(line []byte, e RecordError)
	line    []byte // the line that is being read, for bad

	missed int // times in a row that a record was not canonical
	known  int // of b.skipped

	large    bool   // so was the record before: see account
	one      bool   // records come one at a time: see Begin
	hasTime  bool   // b.now is the record's own, known from elsewhere
	only     Format // of a body of a shipper: Auto if it may have several
	wrappers bool   // the body has lists of records within objects
	arrays   bool   // the body is an array, or several

	// Of the record that is being read:
	badMoment  fault // its time is of no known kind
	noEscapes  bool  // it is a log line in which a backslash is a backslash
	lineMember span  // in the extra members: that of a CSV column which may hold a line
	fields     [columns]field
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

// start makes d, which is zero, append to b. now is when the records arrive.
func (d *decoder) start(b *Batch, r *Rules, now time.Time) {
	d.b, d.out, d.rules, d.limits = b, b.buf, r, &r.limits
	d.good, d.first, d.hour = b.records, b.records, noHour
	d.within = hours{math.MinInt64, math.MaxInt64}
	if d.limits.MaxAge > 0 || d.limits.MaxFuture > 0 {
		b.bounds = intervalOf(now, d.limits)
		d.within = b.bounds.hours
	}
	b.now, b.arrival = now, b.arrival[:0]
	if b.noRoom != nil {
		b.noRoom = nil
	}
	b.scan.depth, b.scan.deep = d.limits.Depth, false
	if r.table != nil {
		b.recent.reset(r.table)
	}
	if b.clock.head == 0 { // a new batch
		b.clock.reset()
	}
	if n := len(b.runs); n > 0 {
		last := &b.runs[n-1]
		d.hour = last.Hour
		d.first -= last.Records
	}
}

// reserve makes room for what a body of n bytes usually becomes.
func (d *decoder) reserve(n int) bool { return cap(d.out)-len(d.out) >= n+64 || d.grow(n+64) }

func (d *decoder) body(body []byte, f Format) {
	if d.bad != nil || d.rules.shipper || f > CSV {
		d.shipperBody(body, f)
		return
	}
	i := skipSpace(body, 0)
	if i == len(body) {
		d.reportEmpty()
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

// startRun begins a run: from the record number good and the byte at of the output
// on, everything is of hour h.
func (d *decoder) startRun(h Hour, at, good int) {
	runs := d.b.runs
	if n := len(runs); n > 0 {
		last := &runs[n-1]
		last.end, last.Records = at, good-d.first
		d.b.unsorted = d.b.unsorted || h <= last.Hour
	}
	if len(runs) == cap(runs) && !d.growRuns() {
		return
	}
	d.b.runs = append(d.b.runs, Run{Hour: h, start: at})
	d.hour, d.first = h, good
}

// close hands what has been decoded to the batch.
func (d *decoder) close() {
	if d.large {
		d.account(0)
	}
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

// fits reports whether a record of n bytes, as it was sent, is within the
// limit. If not, the scan is to end, or, where single records can be bad, to go
// on with the next.
func (d *decoder) fits(n int) bool {
	if (n > largeRecord || d.large) && !d.account(n) {
		return false
	}
	if d.limits.SentBytes <= 0 || n <= d.limits.SentBytes {
		return true
	}
	d.tooLong(n, d.limits.SentBytes, "record bytes as sent")
	return false
}

// tooLong reports a record of n bytes, which is over the limit of most.
func (d *decoder) tooLong(n, most int, what string) {
	if d.bad != nil || d.one {
		d.report("record", fmt.Sprintf("is %d bytes, over the limit of %d %s", n, most, what))
		return
	}
	d.over = &LimitError{Index: d.index, What: what, Max: most, Records: d.index}
}

// put adds the record whose fields have been read, or reports what is wrong
// with it.
func (d *decoder) put() {
	if d.b.scan.deep {
		d.report("record", "is nested deeper than the limit of "+strconv.Itoa(d.limits.Depth))
		return
	}
	at, p, agent := d.fields[timestamp].text, d.fields[path].text, d.fields[userAgent].text
	arrived := false
	if d.rules.arrival || d.rules.dash || d.hasTime {
		if d.badMoment == 0 && blank(at) && (d.rules.arrival || d.hasTime) {
			at, arrived = d.arrivalText(), !d.hasTime
		}
		if d.rules.dash {
			switch noPath, noAgent := blank(p), blank(agent); {
			case noPath && noAgent:
				d.report("record", "has neither a path nor a user agent")
				return
			case noPath:
				p = dash
			case noAgent:
				agent = dash
			}
		}
	}
	const atMost, pathName, agentName = len("2026-02-09T15:23:00.123456789Z"), `","path":"`, `","userAgent":"`
	n := len(d.out)
	if size := hourAt + atMost + len(pathName) + len(p) + len(agentName) + len(agent) + len(d.b.extra) + 3; cap(d.out)-n < size && !d.grow(size) {
		return
	}
	line := d.out[n:cap(d.out)]
	copy(line[:hourAt], `{"timestamp":"`)
	end, bad := d.b.clock.write(line[hourAt:hourAt+atMost], at)
	if d.badMoment != 0 {
		bad = d.badMoment
	}
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
	end = writeTexts(line, hourAt+end, p, agent)
	if len(d.b.extra) > 0 {
		end += copy(line[end:], d.b.extra)
	}
	copy(line[end:end+2], "}\n")
	end++
	if d.limits.RecordBytes > 0 && end > d.limits.RecordBytes {
		d.tooLong(end, d.limits.RecordBytes, "record bytes")
		return
	}
	if h := d.b.clock.hour; h != d.hour {
		whole := d.within.hour(h)
		if !whole {
			if why := d.b.bounds.outside(line[hourAt:]); why != "" {
				d.report(names[timestamp], why)
				return
			}
		}
		d.startRun(h, n, d.good)
		if !whole {
			d.hour = noHour // the next record of this hour is looked at, too
		}
	}
	d.out = d.out[:n+end+1]
	if arrived {
		d.b.arrived++
	}
	d.good++
	d.index++
}

// dash stands for a path or a user agent that a record does not have.
var dash = []byte("-")

// arrivalText returns the time of a record that has none of its own: the one at
// which the batch arrived, or that AppendRecord was given.
func (d *decoder) arrivalText() []byte {
	b := d.b
	if len(b.arrival) == 0 {
		b.arrival = b.now.UTC().AppendFormat(b.arrival, time.RFC3339Nano)
	}
	return b.arrival
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
		ellipsis := ""
		if len(text) > enough {
			text, ellipsis = text[:enough], "..."
		}
		reason = fmt.Sprintf("\"%s\"%s %s", bytes.ToValidUTF8(text, nil), ellipsis, reason)
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
	if d.one {
		d.b.last = e
		return
	}
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

// reportEmpty reports a body in which there is not even an empty list. No record
// has been seen there, so none is counted.
func (d *decoder) reportEmpty() {
	d.report("record", "the body is empty")
	d.index = 0
}
