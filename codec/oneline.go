package codec

import (
	"bytes"
	"math/bits"
)

// One record by itself: a line of a body, a string in an array, a member of
// another record that holds a line or an object.

// textRecord adds the record of a line that is not JSON, or reports it.
func (d *decoder) textRecord(s []byte) {
	s = bytes.TrimRight(s, " \t\r")
	d.line = s
	if d.fits(len(s)) {
		d.oneText(s)
	}
}

// oneText is textRecord for a line that is within its limit.
func (d *decoder) oneText(s []byte) {
	s = bytes.TrimSpace(s)
	switch {
	case len(s) == 0:
		d.report("record", "is empty")
	case s[0] == '{' && d.only <= NDJSON:
		d.oneObject(s)
	case !d.rules.shipper || d.only == JSON || d.only == NDJSON:
		d.noJSON(s)
	case s[0] == '#' && (d.only == Auto || d.only == W3C) && d.directive(s):
		if d.one { // each that comes by itself has to have an outcome
			d.report("record", isDirective)
		}
	case d.only == W3C || d.only == Auto && d.b.extended.known:
		d.extendedRow(s)
	default:
		l := &d.b.log
		switch why := l.splitLine(s, d.only); {
		case why == "":
			d.addLine(l)
		case d.only == Auto && d.influx(s):
		default:
			d.report("record", why)
		}
	}
}

// oneObject adds the record of the object that s has to be.
func (d *decoder) oneObject(s []byte) {
	o := &d.b.outer
	switch end := d.read(o, s, 0); {
	case end < 0:
		d.syntax(s, d.b.scan.at, d.b.scan.where)
	case end < len(s):
		d.syntax(s, skipSpace(s, end), "after the record")
	case d.b.scan.deep:
		d.put()
	default:
		d.record(o)
	}
}

// noJSON reports a line that is not JSON where it has to be.
func (d *decoder) noJSON(s []byte) {
	if end := d.b.scan.skip(s, 0); end == len(s) {
		d.noObject()
	} else if end < 0 {
		d.syntax(s, d.b.scan.at, d.b.scan.where)
	} else {
		d.syntax(s, skipSpace(s, end), "after the value")
	}
}

// fromLine looks for an access log line, or a JSON object, in the members of o
// that may hold one, and makes it the record's; what it does not have is taken
// from o. If there is none it returns why the first of them is not.
func (d *decoder) fromLine(o *object) (done bool, why string) {
	inner := &d.b.inner
	for v := o.nextLine(); v.rank > 0; v = o.nextLine() {
		src, start := o.src[:v.end], v.start
		if v.kind == textKind {
			d.b.plain = Unescape(d.b.plain[:0], src[start:])
			src, start = bytes.TrimSpace(d.b.plain), 0
		}
		if src[start] != '{' {
			l := &d.b.log
			bad := l.splitLine(src, Auto)
			if bad == "" {
				o.consume(&v)
				d.fillLine(l)
				d.keepMembers(o)
				d.keepLine(l)
				return true, ""
			}
			if why == "" {
				why = v.use.name + " " + bad
			}
			continue
		}
		deep := d.b.scan.deep
		if end := d.read(inner, src, start); end == len(src) && !d.b.scan.deep && (inner.first[path].rank > 0 || inner.first[userAgent].rank > 0) {
			o.consume(&v)
			d.fill(inner)
			d.fill(o)
			d.keepMembers(o)
			d.keepMembers(inner)
			return true, ""
		}
		d.b.scan.deep = deep
	}
	return false, why
}

// nextLine returns the best of the values that may be a line, and takes it out;
// its rank is 0 if there is none.
func (o *object) nextLine() value {
	for w := range o.has {
		if o.has[w] != 0 {
			i := bits.TrailingZeros64(o.has[w])
			o.has[w] &= o.has[w] - 1
			return o.lines[64*w+i]
		}
	}
	return value{}
}
