package codec

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// CSV as RFC 4180 has it and encoding/csv reads it, but that a quoted field
// keeps its line ends as they are. Every line that is no record is one error,
// and the scan goes on with the next line.

// csv reads a whole body.
func (d *decoder) csv(b []byte) {
	i := d.header(b)
	for i < len(b) {
		if n := lineEnd(b, i); n > 0 {
			i += n
			continue
		}
		if !d.admit() {
			return
		}
		if next := d.plainRow(b, i); next > 0 {
			i = next
		} else if i = d.row(b, i); d.over != nil {
			return
		}
	}
}

// plainRow is row for a record that is as most are: its hour is the one
// remembered, nothing in it needs rewriting, and its path is before its user
// agent. The texts are copied as they are scanned, to where they will be, since
// the timestamp's length is known. It returns 0 on any surprise, and when the
// output has to grow: then row looks at the record, and nothing has happened.
func (d *decoder) plainRow(b []byte, i int) int {
	const pathAt = hourAt + len(`2026-02-09T15:23:00Z","path":"`)
	line := d.out[len(d.out):cap(d.out)]
	if len(line) < pathAt {
		return 0
	}
	begin, end, seen := i, pathAt, uint8(0) // end is that of the line so far
	for k, column := range d.b.order {
		switch {
		case i >= len(b):
			return 0
		case column == timestamp:
			if len(b)-i < 20 || !d.clock.is(b[i:]) || !isSecond(load(b, i+12)>>8, 0) {
				return 0
			}
			copy20(line[hourAt:], b[i:])
			i += 20
		default:
			if column == userAgent {
				const name = `","userAgent":"`
				if seen&(1<<path) == 0 || len(line)-end < len(name) {
					return 0
				}
				copy(line[end:end+len(name)], name)
				end += len(name)
			}
			start, quote := i, 0
			if b[i] == '"' {
				start, quote = i+1, 1
				if i = copyQuoted(line[end:], b, start); i >= len(b) || b[i] != '"' {
					return 0
				}
			} else {
				i = copyField(line[end:], b, start)
			}
			if column != none {
				if i == start || !inked(b[start]) {
					return 0
				}
				end += i - start
			}
			i += quote
		}
		seen |= 1 << column
		switch {
		case i >= len(b):
			return 0
		case k < len(d.b.order)-1:
			if b[i] != ',' {
				return 0
			}
			i++
		default:
			n := lineEnd(b, i)
			if n == 0 || d.limits.RecordBytes > 0 && i-begin > d.limits.RecordBytes {
				return 0
			}
			i += n
		}
	}
	if len(line)-end < 3 {
		return 0
	}
	copy(line[:hourAt], `{"timestamp":"`)
	copy(line[hourAt+20:pathAt], `","path":"`)
	copy(line[end:end+3], "\"}\n")
	if d.clock.hour != d.hour {
		d.turn(d.clock.hour, len(d.out), d.good)
	}
	d.out = d.out[:len(d.out)+end+3]
	d.good++
	d.index++
	return i
}

// copyQuoted is ordinary, and copies to dst what it passes over, and some more,
// as far as there is room. It stops early near the end of either.
func copyQuoted(dst, b []byte, i int) int {
	for n := 0; i <= len(b)-16 && n <= len(dst)-16; n += 16 {
		s, t := b[i:i+16:i+16], dst[n:n+16:n+16]
		w0, w1 := load(s, 0), load(s, 8)
		binary.LittleEndian.PutUint64(t, w0)
		binary.LittleEndian.PutUint64(t[8:], w1)
		m0, m1 := special(w0), special(w1)
		if m0|m1 != 0 {
			if m0 != 0 {
				return i + firstMark(m0)
			}
			return i + 8 + firstMark(m1)
		}
		i += 16
	}
	return len(b)
}

// copyField is copyQuoted for a field without quotes: it ends at commas too.
func copyField(dst, b []byte, i int) int {
	for n := 0; i <= len(b)-16 && n <= len(dst)-16; n += 16 {
		s, t := b[i:i+16:i+16], dst[n:n+16:n+16]
		w0, w1 := load(s, 0), load(s, 8)
		binary.LittleEndian.PutUint64(t, w0)
		binary.LittleEndian.PutUint64(t[8:], w1)
		m0, m1 := commaOr(w0), commaOr(w1)
		if m0|m1 != 0 {
			if m0 != 0 {
				return i + firstMark(m0)
			}
			return i + 8 + firstMark(m1)
		}
		i += 16
	}
	return len(b)
}

// ordinaryField is ordinary for a field without quotes: it ends at commas too.
func ordinaryField(b []byte, i int) int {
	for ; i <= len(b)-16; i += 16 {
		s := b[i : i+16 : i+16]
		m0, m1 := commaOr(load(s, 0)), commaOr(load(s, 8))
		if m0|m1 != 0 {
			if m0 != 0 {
				return i + firstMark(m0)
			}
			return i + 8 + firstMark(m1)
		}
	}
	if i <= len(b)-8 {
		if m := commaOr(load(b, i)); m != 0 {
			return i + firstMark(m)
		}
		i += 8
	}
	return i
}

// lineEnd returns the length of the line end at b[i], or 0 if there is none. A
// carriage return alone is one at the end of the body only.
func lineEnd(b []byte, i int) int {
	switch {
	case b[i] == '\n':
		return 1
	case b[i] != '\r':
		return 0
	case i+1 == len(b):
		return 1
	case b[i+1] == '\n':
		return 2
	}
	return 0
}

// header finds out the order of the columns, and returns where the records
// begin. The first line is a header if it has all three names among its
// fields; no record could have. Columns with other names are skipped, as other
// members of JSON are; of two with one name the last one counts, as there.
func (d *decoder) header(b []byte) int {
	i := 0
	for i < len(b) {
		n := lineEnd(b, i)
		if n == 0 {
			break
		}
		i += n
	}
	start := i
	order := d.b.order[:0]
	var found [columns]bool
	for more := true; more; {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			found = [columns]bool{}
			break
		}
		column := none
		for c, name := range names {
			if string(f.text) == name {
				column = c
				found[c] = true
			}
		}
		order = append(order, uint8(column))
	}
	if found != [columns]bool{true, true, true} {
		order, i = append(order[:0], timestamp, path, userAgent), start
	}
	d.b.order = order
	return i
}

// row reads the record at b[i] and returns the index of the next line.
func (d *decoder) row(b []byte, i int) int {
	start, n := i, 0
	d.fields, d.b.scratch = [columns]field{}, d.b.scratch[:0]
	for more := true; more; n++ {
		var f field
		if f, i, more = d.field(b, i); f.kind == absent {
			return d.noRow(b, start, i)
		}
		if n < len(d.b.order) {
			if column := d.b.order[n]; column < none {
				d.fields[column] = f
			}
		}
	}
	end := i
	if end > start && b[end-1] == '\n' {
		end--
	}
	if end > start && b[end-1] == '\r' {
		end--
	}
	switch {
	case !d.fits(end - start):
	case n != len(d.b.order):
		reason := "has the wrong number of fields"
		if d.naming() {
			reason = "has " + strconv.Itoa(n) + " fields instead of " + strconv.Itoa(len(d.b.order))
		}
		d.report("record", reason)
	default:
		d.put()
	}
	return i
}

// noRow reports that the record which begins at start is not CSV at b[i], and
// returns the index of the next line.
func (d *decoder) noRow(b []byte, start, i int) int {
	next := len(b)
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		next = i + n + 1
	}
	switch {
	case !d.fits(i - start):
	case i == len(b):
		d.report("record", "is not CSV: a quoted field is not closed")
	default:
		d.report("record", "is not CSV: a quote where there may be none; double it within a quoted field")
	}
	return next
}

// commaOr adds commas to what special marks.
func commaOr(w uint64) uint64 { return special(w) | ((w^','*ones)-ones)&highs }

// field reads the field at b[i]. It returns its text in canonical form, the
// index after what ends it, and whether that was a comma. The field is absent
// where b is not CSV, which is so at the index returned then.
func (d *decoder) field(b []byte, i int) (f field, next int, more bool) {
	if i < len(b) && b[i] == '"' {
		return d.quotedField(b, i+1)
	}
	start := i
	mark := -1 // where in the scratch memory the text begins, if it is not as in b
	for {
		i = ordinaryField(b, i)
		end, n, c := i >= len(b), 0, byte('\n')
		if !end {
			c = b[i]
		}
		switch {
		case end:
		case c == ',':
			end, n = true, 1
		case c == '"':
			return field{}, i, false
		case c >= utf8.RuneSelf:
			if n = runeLen(b[i:]); n > 0 {
				i += n
				continue
			}
		case c < ' ':
			n = lineEnd(b, i)
			end = n > 0
		case c != '\\': // the last seven bytes of b are looked at one by one
			i++
			continue
		}
		if end {
			text := b[start:i]
			if mark >= 0 {
				d.b.scratch = append(d.b.scratch, text...)
				text = d.b.scratch[mark:]
			}
			return field{text, present}, i + n, c == ','
		}
		if mark < 0 {
			mark = len(d.b.scratch)
		}
		d.rewrite(b, start, i)
		i++
		start = i
	}
}

// quotedField is field after an opening quote.
func (d *decoder) quotedField(b []byte, i int) (f field, next int, more bool) {
	start, mark := i, -1
	for {
		if i = ordinary(b, i); i >= len(b) {
			return field{}, len(b), false
		}
		n := 1
		switch c := b[i]; {
		case c == '"' && i+1 < len(b) && b[i+1] == '"':
			n = 2
		case c == '"':
			text := b[start:i]
			if mark >= 0 {
				d.b.scratch = append(d.b.scratch, text...)
				text = d.b.scratch[mark:]
			}
			f = field{text, present}
			if i++; i == len(b) {
				return f, i, false
			}
			if b[i] == ',' {
				return f, i + 1, true
			}
			if n = lineEnd(b, i); n > 0 {
				return f, i + n, false
			}
			return field{}, i, false
		case c >= utf8.RuneSelf:
			if n := runeLen(b[i:]); n > 0 {
				i += n
				continue
			}
		case c >= ' ' && c != '\\':
			i++
			continue
		}
		if mark < 0 {
			mark = len(d.b.scratch)
		}
		d.rewrite(b, start, i)
		i += n
		start = i
	}
}

// rewrite appends b[start:i] to the scratch memory, and b[i] as canonical text
// has it: escaped, or U+FFFD.
func (d *decoder) rewrite(b []byte, start, i int) {
	out := append(d.b.scratch, b[start:i]...)
	if c := b[i]; c < utf8.RuneSelf {
		out = appendRune(out, rune(c))
	} else {
		out = append(out, "\ufffd"...)
	}
	d.b.scratch = out
}
