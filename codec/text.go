package codec

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text: strings, from whatever form they were sent in to the one form they are
// stored in. Most of them are canonical already, so the scanning is many bytes
// at a time and the answer mostly "copy it unchanged".

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
func special(w uint64) uint64 { return marks(w) & highs }

// marks is special with other bits beside the high ones.
func marks(w uint64) uint64 { return ((w ^ 0x02*ones) - 0x21*ones) | ((w ^ 0x5c*ones) - ones) | w }

// firstMark returns the index of the lowest byte that m marks.
func firstMark(m uint64) int { return bits.TrailingZeros64(m) >> 3 }

// bytesOf gathers the high bits of m, which marks bytes: bit k of the result is
// that of byte k. (Each of them is moved to its place by one bit of the factor,
// and no two products meet.)
func bytesOf(m uint64) uint64 { return (m & highs) * 0x0002040810204081 >> 56 }

// ordinary passes over the bytes from b[i] on that special does not mark, and
// returns the index of the first that it does; or, where b ends before, len(b) or
// an index with fewer than eight bytes left. It is only certain that the bytes it
// has passed over are ordinary: near the end of b it may stop at one that is, too.
//
// It reads 32 bytes at a time, and finds the marked one among them without a
// branch: how long a text is cannot be predicted. It is written so that the
// compiler sees that each load is in bounds.
func ordinary(b []byte, i int) int {
	for ; i <= len(b)-32; i += 32 {
		s := b[i : i+32 : i+32]
		m0, m1, m2, m3 := marks(load(s, 0)), marks(load(s, 8)), marks(load(s, 16)), marks(load(s, 24))
		if (m0|m1|m2|m3)&highs != 0 {
			return i + bits.TrailingZeros64(bytesOf(m0)|bytesOf(m1)<<8|bytesOf(m2)<<16|bytesOf(m3)<<24)
		}
	}
	if last := len(b) - 32; last >= 0 { // what is left, with some bytes before it
		s := b[last : last+32 : last+32]
		m0, m1, m2, m3 := marks(load(s, 0)), marks(load(s, 8)), marks(load(s, 16)), marks(load(s, 24))
		m := (bytesOf(m0) | bytesOf(m1)<<8 | bytesOf(m2)<<16 | bytesOf(m3)<<24) >> ((i - last) & 63)
		return i + bits.TrailingZeros64(m|1<<((len(b)-i)&63))
	}
	for ; i <= len(b)-8; i += 8 {
		if m := special(load(b, i)); m != 0 {
			return i + firstMark(m)
		}
	}
	return i
}

// shortEscape marks the characters that follow a backslash in canonical text.
var shortEscape = [256]bool{'"': true, '\\': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// canonicalText passes over JSON text from b[i] on, for as long as it is
// canonical: to its closing quote, to the first byte that is not, or to the
// end of b.
func canonicalText(b []byte, i int) int {
	for {
		// Between two characters that are not ordinary there are often few bytes.
		if i > len(b)-8 {
			i = ordinary(b, i)
		} else if m := special(load(b, i)); m != 0 {
			i += firstMark(m)
		} else {
			i = ordinary(b, i+8)
		}
		if i >= len(b) {
			return i
		}
		switch c := b[i]; {
		case c == '"' || c < ' ':
			return i
		case c == '\\':
			if i+1 == len(b) || !shortEscape[b[i+1]] {
				return i
			}
			i += 2
		case c < utf8.RuneSelf: // the last seven bytes of b are looked at one by one
			i++
		default:
			n := runeLen(b[i:])
			if n == 0 {
				return i
			}
			i += n
		}
	}
}

// text reads JSON text from b[start] on, which is the byte after the opening
// quote, and returns it in canonical form, with the index after the closing
// quote. Up to b[i] nothing in it is special. The text is part of b, or of d's scratch memory and then valid until
// the next record. Where b is not JSON, it reports that, and the index is
// negative.
func (d *decoder) text(b []byte, start, i int) ([]byte, int) {
	if i = canonicalText(b, i); i < len(b) && b[i] == '"' {
		return b[start:i], i + 1
	}
	full := d.scratchLimit()
	out := d.b.scratch
	mark := len(out)
	if mark+i-start <= full {
		out = append(out, b[start:i]...)
	}
	for {
		// Whole words are written, and counted up to the first special byte.
		for i <= len(b)-8 {
			n := len(out)
			if cap(out)-n < 8 {
				if n > full {
					n = mark
				}
				out = slices.Grow(out[:n], 64)
			}
			w := load(b, i)
			binary.LittleEndian.PutUint64(out[n:n+8], w)
			if m := special(w); m != 0 {
				first := firstMark(m)
				out = out[:n+first]
				i += first
				break
			}
			out = out[:n+8]
			i += 8
		}
		if i == len(b) {
			return nil, d.syntax(b, i, "in a string")
		}
		switch c := b[i]; {
		case c == '\\':
			if i+1 < len(b) && b[i+1] == '/' {
				out = append(out, '/')
				i += 2
				continue
			}
			r, n := unescape(b[i:])
			if n == 0 {
				return nil, d.syntax(b, min(i+1, len(b)), "after a backslash")
			}
			out = appendRune(out, r)
			i += n
		case c == '"':
			if d.b.scratch = out; len(out) > full {
				d.b.scratch = out[:mark]
			}
			return out[mark:], i + 1
		case c < ' ':
			return nil, d.syntax(b, i, "in a string")
		case c < utf8.RuneSelf: // the last seven bytes of b are looked at one by one
			out = append(out, c)
			i++
		default:
			out, i = copyRune(out, b, i)
		}
	}
}

// shortText returns the index after the closing quote of a text from b[i] on,
// if it has at most seven bytes, none of them special; or else 0.
func shortText(b []byte, i int) int {
	if i <= len(b)-8 {
		if n := firstMark(special(load(b, i))); n < 8 && b[i+n] == '"' {
			return i + n + 1
		}
	}
	return 0
}

// copyRune appends the character at b[i], which is not ASCII; or U+FFFD for one
// byte of what is not UTF-8.
func copyRune(dst, b []byte, i int) ([]byte, int) {
	if n := runeLen(b[i:]); n > 0 {
		return append(dst, b[i:i+n]...), i + n
	}
	return append(dst, "\ufffd"...), i + 1
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

// unescape decodes the escape that s begins with: its character, and its
// length, which is 0 if it is none. Each half of a surrogate pair that is
// alone is U+FFFD.
func unescape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
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
	}
	r := codeUnit(s)
	switch {
	case r < 0:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	if r = utf16.DecodeRune(r, codeUnit(s[6:])); r != utf8.RuneError {
		return r, 12
	}
	return r, 6
}

// codeUnit returns the XXXX of the \uXXXX that s begins with, or a negative
// number.
func codeUnit(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	// -1 has all bits set, and they stay.
	return unhex[s[2]]<<12 | unhex[s[3]]<<8 | unhex[s[4]]<<4 | unhex[s[5]]
}

var unhex = func() (t [256]rune) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range "0123456789abcdef" {
		t[c] = rune(i)
	}
	for i, c := range "ABCDEF" {
		t[c] = rune(10 + i)
	}
	return t
}()

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

// startsNonBlank reports whether c, as the first byte of a text, is enough to know that
// the text is not blank.
func startsNonBlank(c byte) bool { return c-'!' < 0x7f-'!' && c != '\\' }

// blank reports whether nothing is left of a canonical text once it is trimmed.
func blank(text []byte) bool {
	if len(text) > 0 && startsNonBlank(text[0]) {
		return false
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == '\\' {
			r, n = unescape(text)
		}
		if !unicode.IsSpace(r) {
			return false
		}
		text = text[n:]
	}
	return true
}
