package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text: the values of path and userAgent, from whatever form they were sent in
// to the one form they are stored in. Most of it is canonical already, so the
// scanning is eight bytes at a time and the answer mostly "take it as it is".

// kind says what is known of a value after it has been scanned.
type kind uint8

const (
	absent    kind = iota // the record has no such member
	notString             // a JSON value, but no string
	plain                 // canonical text: can be copied as it stands
	escaped               // JSON text with other escapes than ours, or with invalid UTF-8
	raw                   // CSV text with something in it that has to be escaped
	quoted                // the same, in which a quote is doubled
)

// field is one value of a record, still within the body.
type field struct {
	text []byte // without its quotes
	kind kind
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }

// special marks, by their high bit, the bytes of w that cannot simply be
// passed over within JSON text: quotes, backslashes, control characters and
// what is not ASCII. Above the lowest marked byte there may be false marks
// (the subtractions borrow), never below it, and it is the lowest that counts.
//
// The trick: x^2 exchanges the quote 0x22 with the blank 0x20 and keeps the
// control characters below 0x20, so that one subtraction of 0x21 finds both.
func special(w uint64) uint64 {
	return (((w ^ 0x02*ones) - 0x21*ones) | ((w ^ 0x5c*ones) - ones) | w) & highs
}

// firstMark returns the index of the lowest byte that m marks.
func firstMark(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// shortEscape marks the characters that follow a backslash in canonical text.
var shortEscape = [256]bool{'"': true, '\\': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// scanText reads JSON text from b[i] on, which is the byte after the opening
// quote. It returns the index of the closing quote, and plain or escaped; or,
// with absent, the index of the byte at which b is not JSON.
func scanText(b []byte, i int) (int, kind) {
	k := plain
	for {
		for i+8 <= len(b) {
			if m := special(load(b, i)); m != 0 {
				i += firstMark(m)
				break
			}
			i += 8
		}
		if i >= len(b) {
			return i, absent
		}
		switch c := b[i]; {
		case c == '"':
			return i, k
		case c == '\\':
			if i+1 == len(b) {
				return i + 1, absent
			}
			switch e := b[i+1]; {
			case shortEscape[e]:
				i += 2
			case e == '/':
				k = escaped
				i += 2
			case e == 'u':
				for j := i + 2; j < i+6; j++ {
					if j >= len(b) || unhex[b[j]] < 0 {
						return min(j, len(b)), absent
					}
				}
				k = escaped
				i += 6
			default:
				return i + 1, absent
			}
		case c < 0x20:
			return i, absent
		case c < utf8.RuneSelf: // the last seven bytes of b are looked at one by one
			i++
		default:
			n := runeLen(b[i:])
			if n == 0 {
				k = escaped
				n = 1
			}
			i += n
		}
	}
}

// runeLen returns the bytes of the multi-byte character that b begins with, or
// 0 if it is not valid UTF-8.
func runeLen(b []byte) int {
	if len(b) >= 2 && b[0]-0xc2 < 0x1e && b[1]&0xc0 == 0x80 {
		return 2
	}
	if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n == 3 {
		return n
	}
	return 0
}

var unhex = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "0123456789abcdef" {
		t[c] = int8(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = int8(10 + i)
	}
	return t
}()

// hex4 returns the code unit of \uXXXX, of which s begins with the digits.
func hex4(s []byte) rune {
	return rune(unhex[s[0]])<<12 | rune(unhex[s[1]])<<8 | rune(unhex[s[2]])<<4 | rune(unhex[s[3]])
}

// next decodes the first character of f's text: its rune, and its length in
// the text. Invalid UTF-8 is U+FFFD, a byte at a time, and so is each half of
// a surrogate pair that stands alone. The text must not be empty.
func (f field) next() (rune, int) {
	s := f.text
	switch {
	case s[0] == '\\' && (f.kind == plain || f.kind == escaped):
		switch s[1] {
		case 'b':
			return '\b', 2
		case 'f':
			return '\f', 2
		case 'n':
			return '\n', 2
		case 'r':
			return '\r', 2
		case 't':
			return '\t', 2
		case 'u':
			r := hex4(s[2:])
			if !utf16.IsSurrogate(r) {
				return r, 6
			}
			if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
				if r := utf16.DecodeRune(r, hex4(s[8:])); r != utf8.RuneError {
					return r, 12
				}
			}
			return utf8.RuneError, 6
		default: // quote, backslash, slash
			return rune(s[1]), 2
		}
	case s[0] == '"' && f.kind == quoted:
		return '"', 2
	case s[0] < utf8.RuneSelf:
		return rune(s[0]), 1
	}
	return utf8.DecodeRune(s)
}

// blank reports whether nothing is left of the value once it is trimmed.
func (f field) blank() bool {
	if len(f.text) > 0 && inked(f.text[0]) {
		return false
	}
	for len(f.text) > 0 {
		r, n := f.next()
		if !unicode.IsSpace(r) {
			return false
		}
		f.text = f.text[n:]
	}
	return true
}

// append appends the value in canonical form: valid UTF-8 in which only quote,
// backslash and control characters are escaped.
func (f field) append(dst []byte) []byte {
	if f.kind == plain {
		return append(dst, f.text...)
	}
	for len(f.text) > 0 {
		if n := passable(f.text); n > 0 {
			dst = append(dst, f.text[:n]...)
			f.text = f.text[n:]
			continue
		}
		r, n := f.next()
		dst = appendRune(dst, r)
		f.text = f.text[n:]
	}
	return dst
}

// passable returns how many bytes s begins with that stand for themselves in
// every form: ASCII without quotes, backslashes and control characters.
func passable(s []byte) int {
	i := 0
	for i+8 <= len(s) {
		if m := special(load(s, i)); m != 0 {
			return i + firstMark(m)
		}
		i += 8
	}
	for i < len(s) && s[i]-' ' < 0x80-' ' && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

// appendRune appends one character, escaped if canonical text has it escaped.
func appendRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(dst, r)
	}
	switch r {
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
}

// appendValue appends the value itself, with no escape left in it.
func (f field) appendValue(dst []byte) []byte {
	for len(f.text) > 0 {
		r, n := f.next()
		dst = utf8.AppendRune(dst, r)
		f.text = f.text[n:]
	}
	return dst
}
