package codec

import (
	"math"
	"math/bits"
	"unicode/utf8"
)

// The fields of CSV, in every form they can have. Texts come out canonical: as
// they are in the body, or, from the first character that has to be escaped,
// rewritten in the scratch memory.

// commaOr adds commas to what marks marks.
func commaOr(w uint64) uint64 { return marks(w) | ((w ^ ','*ones) - ones) }

// ordinaryField is ordinary for a field without quotes: it ends at commas too.
func ordinaryField(b []byte, i int) int {
	for ; i <= len(b)-16; i += 16 {
		s := b[i : i+16 : i+16]
		m0, m1 := commaOr(load(s, 0)), commaOr(load(s, 8))
		if (m0|m1)&highs != 0 {
			return i + bits.TrailingZeros64(bytesOf(m0)|bytesOf(m1)<<8)
		}
	}
	if i <= len(b)-8 {
		if m := commaOr(load(b, i)) & highs; m != 0 {
			return i + firstMark(m)
		}
		i += 8
	}
	return i
}

// field reads the field at b[i]. It returns its text in canonical form, the
// index after what ends it, and whether that was a comma. Where b is not CSV the
// field is absent, and next is the index of the byte that is wrong.
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
				d.toScratch(text)
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
				d.toScratch(text)
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
	d.toScratch(b[start:i])
	out := d.b.scratch
	if len(out) > d.scratchLimit() {
		return
	}
	if c := b[i]; c < utf8.RuneSelf {
		out = appendRune(out, rune(c))
	} else {
		out = append(out, "\ufffd"...)
	}
	d.b.scratch = out
}

// toScratch appends text to the scratch memory, unless that is full.
func (d *decoder) toScratch(text []byte) {
	if len(d.b.scratch)+len(text) <= d.scratchLimit() {
		d.b.scratch = append(d.b.scratch, text...)
	}
}

// scratchLimit returns how many bytes of scratch memory are enough for a record
// within the limit of what may be sent: a byte becomes six at most. What is
// written after that is not kept, as the record will be refused.
func (d *decoder) scratchLimit() int {
	if d.limits.SentBytes <= 0 {
		return math.MaxInt
	}
	return 6*d.limits.SentBytes + 64
}
