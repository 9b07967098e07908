package dialect

import (
	"bytes"
	"math/bits"
)

// A scanner for the JSON around records: the envelopes of OTLP, Loki, HEC. It
// allocates nothing, unless something is nested more than 128 deep. Indexes are
// into the body; a negative one means that the body is not JSON at that place.
//
// The codec has a scanner of its own, which cannot take its place: it reads each value
// once and refuses what is no JSON at the first byte, where this one only finds where
// values end. A string with an invalid escape, a control character or too much nesting in
// it so spoils its own record, when that is read, and not the body with its neighbours.

// space returns the index of the first byte from b[i] on that is no white space.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// stringEnd returns the index after the string that begins with the quote at
// b[i], or -1. Its escapes are checked when the text is read.
func stringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	i++
	for i < len(b) {
		end := bytes.IndexByte(b[i:], '"')
		if end < 0 {
			return -1
		}
		end += i
		// A quote counts when an even number of backslashes comes before it.
		n := 0
		for end-1-n >= i && b[end-1-n] == '\\' {
			n++
		}
		i = end + 1
		if n%2 == 0 {
			return i
		}
	}
	return -1
}

// valueEnd returns the index after the value at b[i], or -1.
func valueEnd(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		return stringEnd(b, i)
	case '{', '[':
		return nestedEnd(b, i)
	case 't':
		return literalEnd(b, i, "true")
	case 'f':
		return literalEnd(b, i, "false")
	case 'n':
		return literalEnd(b, i, "null")
	default:
		return numberEnd(b, i)
	}
}

func literalEnd(b []byte, i int, word string) int {
	if end := i + len(word); end <= len(b) && string(b[i:end]) == word {
		return end
	}
	return -1
}

// numberEnd returns the index after a number as JSON writes it.
func numberEnd(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' < 10 {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// nestedEnd returns the index after the array or object at b[i], however deeply it
// is nested: what is too deep is found when it is read, and harms no neighbour then.
func nestedEnd(b []byte, i int) int {
	var first [2]uint64
	objects := first[:] // one bit a level: set for an object
	depth := 0
	for {
		// A value is expected at b[i].
		if i >= len(b) {
			return -1
		}
		if c := b[i]; c == '{' || c == '[' {
			if depth == 64*len(objects) {
				objects = append(objects, 0)
			}
			bit := uint64(1) << (depth % 64)
			if c == '{' {
				objects[depth/64] |= bit
			} else {
				objects[depth/64] &^= bit
			}
			depth++
			i = space(b, i+1)
			if i < len(b) && b[i] == c+2 { // empty: ']' is '['+2, '}' is '{'+2
				depth--
				i++
			} else {
				if c == '{' {
					if i = nameEnd(b, i); i < 0 {
						return -1
					}
				}
				continue
			}
		} else if i = valueEnd(b, i); i < 0 {
			return -1
		}
		// A value has ended at b[i].
		for {
			if depth == 0 {
				return i
			}
			i = space(b, i)
			if i >= len(b) {
				return -1
			}
			level := depth - 1
			object := objects[level/64]>>(level%64)&1 == 1
			if b[i] == ',' {
				i = space(b, i+1)
				if object {
					if i = nameEnd(b, i); i < 0 {
						return -1
					}
				}
				break
			}
			if object && b[i] != '}' || !object && b[i] != ']' {
				return -1
			}
			depth--
			i++
		}
	}
}

// nesting returns how deeply the value at b[0] is nested: 0 for a string or number,
// 1 for an array of those.
func nesting(b []byte) int {
	depth, most := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			end := stringEnd(b, i)
			if end < 0 {
				return most
			}
			i = end - 1
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	return most
}

// nameEnd returns where the value begins whose member's name is at b[i].
func nameEnd(b []byte, i int) int {
	if i = stringEnd(b, i); i < 0 {
		return -1
	}
	if i = space(b, i); i >= len(b) || b[i] != ':' {
		return -1
	}
	return space(b, i+1)
}

// members walks the object at b[i]: it calls member with each name, without its
// quotes and not unescaped, and the index of its value; member returns the index
// after the value, or a negative one to end. members returns the index after the
// object, or -1.
func members(b []byte, i int, member func(name []byte, i int) int) int {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		start := i
		end := stringEnd(b, i)
		if end < 0 {
			return -1
		}
		if i = space(b, end); i >= len(b) || b[i] != ':' {
			return -1
		}
		if i = member(b[start+1:end-1], space(b, i+1)); i < 0 {
			return -1
		}
		if i = space(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case '}':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return -1
		}
	}
}

// elements walks the array at b[i] as members walks an object.
func elements(b []byte, i int, element func(i int) int) int {
	if i >= len(b) || b[i] != '[' {
		return -1
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = element(i); i < 0 {
			return -1
		}
		if i = space(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ']':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return -1
		}
	}
}

// appendString appends text as a JSON string. Bytes that are no UTF-8 stay as
// they are: the codec replaces them.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, text)
	return append(dst, '"')
}

func appendEscaped(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	for {
		n := plain(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return dst
		}
		switch c := text[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		text = text[n+1:]
	}
}

// For looking at the eight bytes of a word together.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns how many bytes text begins with that a JSON string has as they
// are. Eight bytes are looked at at a time.
func plain(text []byte) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// The high bit of a byte below 0x20, or equal to one of the two; a byte
		// above the first such one may be set wrongly, which does not matter.
		found := ((w - ones*0x20) | (quote - ones) | (slash - ones)) & ^w & highs
		if found == 0 {
			// A byte with its high bit set is none of them, and ^w has ruled it out.
			continue
		}
		return i + bits.TrailingZeros64(found)/8
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}
