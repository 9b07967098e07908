package codec

import (
	"bytes"
	"math"
)

// The fast path: records that already are what would be written. They are
// compared with the bytes every such record has, their strings are passed over
// eight bytes at a time, and they are copied many at once. On any surprise the
// record is left to the general path, which knows every form: so what is
// accepted here must be accepted there, with the same bytes.

// framing is what is between the records of a body.
type framing uint8

const (
	inArray   framing = iota // commas
	inLines                  // newlines
	inObjects                // newlines, or nothing
)

// The bytes that every record has, as words: the first character is the
// lowest byte. Where a text is longer than a word, the next one overlaps it.
const (
	braceTimest  = '{' | '"'<<8 | 't'<<16 | 'i'<<24 | 'm'<<32 | 'e'<<40 | 's'<<48 | 't'<<56
	quoteTimesta = '"' | 't'<<8 | 'i'<<16 | 'm'<<24 | 'e'<<32 | 's'<<40 | 't'<<48 | 'a'<<56
	stampColon   = 's' | 't'<<8 | 'a'<<16 | 'm'<<24 | 'p'<<32 | '"'<<40 | ':'<<48 | '"'<<56
	stampBlank   = 's' | 't'<<8 | 'a'<<16 | 'm'<<24 | 'p'<<32 | '"'<<40 | ':'<<48 | ' '<<56
	commaPath    = '"' | ','<<8 | '"'<<16 | 'p'<<24 | 'a'<<32 | 't'<<40 | 'h'<<48 | '"'<<56
	pathColon    = '"' | 'p'<<8 | 'a'<<16 | 't'<<24 | 'h'<<32 | '"'<<40 | ':'<<48 | '"'<<56
	pathBlank    = '"' | 'p'<<8 | 'a'<<16 | 't'<<24 | 'h'<<32 | '"'<<40 | ':'<<48 | ' '<<56
	commaUserA   = '"' | ','<<8 | '"'<<16 | 'u'<<24 | 's'<<32 | 'e'<<40 | 'r'<<48 | 'A'<<56
	quoteUserAge = '"' | 'u'<<8 | 's'<<16 | 'e'<<24 | 'r'<<32 | 'A'<<40 | 'g'<<48 | 'e'<<56
	agentColon   = 'A' | 'g'<<8 | 'e'<<16 | 'n'<<24 | 't'<<32 | '"'<<40 | ':'<<48 | '"'<<56
	agentBlank   = 'A' | 'g'<<8 | 'e'<<16 | 'n'<<24 | 't'<<32 | '"'<<40 | ':'<<48 | ' '<<56
)

const (
	hourAt   = len(`{"timestamp":"`)
	secondAt = hourAt + len(`2026-02-09T15`)
	// shortest is the length of the shortest canonical record.
	shortest = len(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"-"}`)
)

// canonical takes canonical records from b[i] on, as many as come one after
// another, and returns the index after them. whole: the last record was not
// followed by a separator (the body has ended, for example); otherwise a record
// is still expected at that index. In lines every
// record that is taken has its line to itself.
//
// They are copied in pieces of many records, in which each keeps its distance
// to the others: newlines take the place of commas.
func (d *decoder) canonical(b []byte, i int, between framing) (next int, whole bool) {
	if d.over != nil || d.missed > 3 && d.index%16 != 0 {
		return i, false // records of this body are not canonical: ask now and then only
	}
	room, longest := math.MaxInt, math.MaxInt
	if d.limits.Records > 0 {
		room = d.limits.Records - d.index
	}
	if d.limits.RecordBytes > 0 {
		longest = d.limits.RecordBytes
	}
	separator := byte('\n')
	if between == inArray {
		separator = ','
	}
	c := &d.b.clock
	good := d.good
	from, n := i, 0 // where the piece begins that is not copied yet, and its commas
	for ; room > 0 && !whole; room-- {
		size := c.record(b[i:])
		if size < -1 && d.rules.keep {
			size = d.extras(b[i:], -size)
		}
		if size < 0 || size > longest || d.rules.shipper && !plainPath(b[i:]) {
			break
		}
		end := i + size
		separated := end < len(b) && b[end] == separator
		if between == inLines && !separated && end < len(b) && !crlf(b[end:]) {
			break
		}
		if c.hour != d.hour {
			if !d.within.hour(c.hour) {
				break
			}
			d.startRun(c.hour, len(d.out)+i-from, good)
		}
		good++
		i = end
		switch {
		case separated && between == inArray && n == len(d.b.commas)-1:
			d.b.commas[n] = i - from
			i++
			d.copy(b[from:i], n+1)
			from, n = i, 0
		case separated && between == inArray:
			d.b.commas[n] = i - from
			n++
			i++
		case separated:
			i++
		default:
			d.copy(b[from:i], n)
			d.out = append(d.out, '\n')
			n = 0
			switch {
			case i < len(b) && between == inLines:
				i += len("\r\n")
			case i < len(b) && between == inObjects && b[i] == '{':
			default:
				whole = true
			}
			from = i
		}
	}
	if d.missed++; good == d.good {
		return i, whole
	}
	if i > from {
		d.copy(b[from:i], n)
	}
	d.missed = 0
	d.index += good - d.good
	d.good = good
	return i, whole
}

// plainPath reports whether the path of the canonical record that b begins with is one
// that shippers' rules leave as it is: no URL and no request line.
func plainPath(b []byte) bool {
	i := secondAt + 6 // after the second
	if b[i] != 'Z' {
		i += bytes.IndexByte(b[i:], 'Z')
	}
	i += len(`Z","path":"`)
	return b[i] == '/' || b[i] == '-' && b[i+1] == '"'
}

// crlf reports whether b begins with a line end of two bytes.
func crlf(b []byte) bool { return len(b) > 1 && b[0] == '\r' && b[1] == '\n' }

// copy appends a piece, and writes newlines over its first n commas. A newline
// fits behind it.
func (d *decoder) copy(piece []byte, n int) {
	if cap(d.out)-len(d.out) <= len(piece) && !d.grow(len(piece)+len("\n")) {
		return
	}
	base := len(d.out)
	d.out = append(d.out, piece...)
	written := d.out[base:]
	for _, at := range d.b.commas[:n] {
		written[at] = '\n'
	}
}

// record returns the length of the canonical record that b begins with, and
// leaves its hour in c. It returns -1 if there is none; or, if extra members
// follow the three, the index of the comma before them, negated.
func (c *clock) record(b []byte) int {
	if len(b) < shortest || (load(b, 0)^braceTimest)|(load(b, 6)^stampColon) != 0 {
		return -1
	}
	i := secondAt + 8 // after the timestamp's quote
	if !isSecond(load(b, secondAt), '"') {
		if i = fraction(b); i < 0 {
			return -1
		}
	}
	if (load(b, i-1)^commaPath)|(load(b, i+1)^pathColon) != 0 {
		return -1
	}
	if !c.is(b[hourAt:]) && !c.canonicalHour(b[hourAt:]) {
		return -1
	}
	i += 9
	start := i
	if i = ordinary(b, i); i < len(b) && b[i] != '"' {
		i = canonicalText(b, i)
	}
	if i == start || !startsNonBlank(b[start]) || len(b)-i < len(`","userAgent":"-"}`) ||
		(load(b, i)^commaUserA)|(load(b, i+7)^agentColon) != 0 {
		return -1
	}
	i += 15
	start = i
	if i = ordinary(b, i); i >= len(b) || b[i] != '"' {
		i = canonicalText(b, i)
	}
	if i == start || !startsNonBlank(b[start]) || i+1 >= len(b) || b[i] != '"' || b[i+1] != '}' {
		if i > start && startsNonBlank(b[start]) && i+1 < len(b) && b[i] == '"' && b[i+1] == ',' {
			return -i - 1
		}
		return -1
	}
	return i + 2
}

// extras reads the extra members of the canonical record that b begins with,
// from the comma at b[i] on, and returns the length of the record; or -1 if
// they are not as they would be written.
func (d *decoder) extras(b []byte, i int) int {
	s := &d.b.scan
	s.loose, s.deep = false, false
	if i = s.members(b, i, d.rules.unlessNamed); i < 0 || s.loose || s.deep {
		return -1
	}
	return i + 1
}

// members reads extra members of a canonical record, of which each follows a
// comma, from b[i] on. It returns the index after them, which is that of the
// closing brace; or -1 if they are not JSON, or one has the name of a member
// that is not extra, or one of the others in whatever case.
func (s *scanner) members(b []byte, i int, others []string) int {
	for i < len(b) && b[i] == ',' {
		if i++; i == len(b) || b[i] != '"' {
			return -1
		}
		start := i + 1
		if i = s.text(b, start); i < 0 || i == len(b) || b[i] != ':' {
			return -1
		}
		if s.columnOf(b[start:i-1]) != none || len(others) > 0 && s.isOneOf(b[start:i-1], others) {
			return -1
		}
		if i++; i == len(b) {
			return -1
		}
		if i = s.skip(b, i); i < 0 {
			return -1
		}
	}
	if i == len(b) || b[i] != '}' {
		return -1
	}
	return i
}

// fraction reads `:MM:SS.` and 1 to 9 digits, of which the last is no zero, `Z`
// and a quote, at the place a record has them, and returns the index after
// them; or a negative one.
func fraction(b []byte) int {
	const dot, sixBytes = secondAt + 6, 1<<48 - 1
	// The seconds as if there were no fraction after them.
	if b[dot] != '.' || !isSecond(load(b, secondAt)&sixBytes|'Z'<<48, 0) {
		return -1
	}
	i := dot + 1
	for i < dot+10 && b[i]-'0' < 10 {
		i++
	}
	if i == dot+1 || b[i-1] == '0' || b[i] != 'Z' || b[i+1] != '"' {
		return -1
	}
	return i + 2
}
