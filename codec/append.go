package codec

import (
	"bytes"
	"time"
)

// Records that do not come in a body of one of the forms, but one at a time:
// from a protocol that has the values already, or wraps each record in its own
// way.
//
//	b.Begin(rules, now)
//	for … {
//		if e, ok := b.Append(at, path, userAgent, extra); !ok {
//			setAside(record, e)
//		}
//	}
//	err := b.End()

// Begin empties b and begins to add records to it, one at a time, by rules. now
// is when they arrived: what MaxAge and MaxFuture count from, and the time of
// records without one. Until End, only Append, AppendRecord and Len may be
// called.
func (b *Batch) Begin(r *Rules, now time.Time) {
	b.Reset()
	b.one = decoder{one: true}
	b.shippers = true
	b.one.start(b, r, now)
	b.extended.known = false
}

// Append adds a record of which the values are known: its time, the path and
// the user agent as they are (neither quoted nor escaped: invalid UTF-8 becomes
// U+FFFD), and its extra members as JSON without white space between the tokens
// and without a comma before the first: "status":200,"method":"GET". They must
// be valid (AppendMember makes them so), and are dropped unless the rules keep
// them. The zero time is no time. It keeps nothing of what it is given.
//
// ok is false if the record was not added, and e then says why; its index counts
// the records of this batch, added or not.
func (b *Batch) Append(at time.Time, path, userAgent, extra []byte) (e RecordError, ok bool) {
	d := &b.one
	if !d.admit() {
		return RecordError{d.index, "record", d.over.Error()}, false
	}
	good := d.good
	d.setValues(at, path, userAgent, extra)
	d.put()
	return d.added(good)
}

// AppendRecord adds a record in one of the forms that a single one can have: a
// JSON object, or, by the rules of shippers, an access log line, or a JSON
// string of either. A time within it wins over at, which is the zero time if
// there is none. The extra members, as those of Append, come before its own.
func (b *Batch) AppendRecord(record []byte, at time.Time, extra []byte) (e RecordError, ok bool) {
	d := &b.one
	if !d.admit() {
		return RecordError{d.index, "record", d.over.Error()}, false
	}
	good := d.good
	d.line = record
	if !d.fits(len(record)) {
		return d.added(good)
	}
	if len(record) > 0 && record[0] == '{' && len(extra) == 0 && d.plainObject(record, 0, wholeText) > 0 || d.plainRecord(record, extra) {
		return RecordError{}, true
	}
	if record = bytes.TrimSpace(record); d.rules.shipper && len(record) > 1 && record[0] == '"' && d.b.scan.skip(record, 0) == len(record) {
		d.b.plain = Unescape(d.b.plain[:0], record[1:len(record)-1])
		record = d.b.plain
	}
	arrival := d.b.now
	if d.b.before = extra; !at.IsZero() {
		d.b.now, d.hasTime, d.b.arrival = at, true, d.b.arrival[:0]
	}
	d.oneText(record)
	if d.b.before = nil; d.hasTime {
		d.b.now, d.hasTime, d.b.arrival = arrival, false, d.b.arrival[:0]
	}
	return d.added(good)
}

// AppendPlain adds the record of the access log line that begins at b[i], within a
// JSON string, if it is one that is read at once: of the combined form, with nothing in
// it that has to be rewritten, and with the text follows right behind its end, or behind
// a line end. It returns the index after that text. Of anything else it adds nothing and
// returns 0: the string is then to be unescaped, and AppendRecord says what it is.
func (b *Batch) AppendPlain(body []byte, i int, follows string, extra []byte) int {
	d := &b.one
	if !d.admit() {
		return 0
	}
	return d.plainWithin(body, i, follows, extra)
}

// AppendPlainObject adds the record of the JSON object that begins at b[i] and has its line
// to itself, if it has the members of the one before in the same order and is read at once.
// It returns the index after it, which is that of the newline or of the end of the body. Of
// anything else it adds nothing and returns 0: AppendRecord says what it is.
func (b *Batch) AppendPlainObject(body []byte, i int) int {
	d := &b.one
	if i >= len(body) || body[i] != '{' || !d.admit() {
		return 0
	}
	return d.plainObject(body, i, wholeLine)
}

// End completes the batch that Begin began. The error is a *LimitError, for the
// whole batch, or nil; after an error b is empty.
func (b *Batch) End() error {
	d := &b.one
	d.close()
	err := d.end()
	b.one = decoder{}
	return err
}

// AppendMember appends an extra member whose value is a string to members, with
// a comma before it if it is not the first. A name of one of the three members
// of a record is left out, as extra members cannot have it.
func AppendMember(members, name, value []byte) []byte {
	if n := string(name); n == names[timestamp] || n == names[path] || n == names[userAgent] {
		return members
	}
	if len(members) > 0 {
		members = append(members, ',')
	}
	members = append(members, '"')
	members = AppendText(members, name)
	members = append(members, `":"`...)
	members = AppendText(members, value)
	return append(members, '"')
}

// added returns what Append returns, of a record before which good had been
// added.
func (d *decoder) added(good int) (RecordError, bool) {
	switch {
	case d.good > good:
		return RecordError{}, true
	case d.over != nil:
		return RecordError{d.index, "record", d.over.Error()}, false
	}
	return d.b.last, false
}

// setValues makes the values of Append those of the record that put adds.
func (d *decoder) setValues(at time.Time, p, agent, extra []byte) {
	d.fields, d.b.extra = [columns]field{}, d.b.extra[:0]
	d.b.scan.deep = false
	text := d.b.scratch[:0]
	if !at.IsZero() {
		text = at.UTC().AppendFormat(text, time.RFC3339Nano)
	}
	a := len(text)
	text = AppendText(text, p)
	c := len(text)
	text = AppendText(text, agent)
	d.fields = [columns]field{{text[:a], present}, {text[a:c], present}, {text[c:], present}}
	d.b.scratch = text
	if d.rules.keep && len(extra) > 0 {
		d.b.extra = append(append(d.b.extra, ','), extra...)
	}
}
