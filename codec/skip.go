package codec

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// scanner reads JSON values (RFC 8259) without decoding them: it finds where they
// end, and whether they are JSON at all. It does not recurse, so that no
// nesting, however deep, costs more than a bit a level.
type scanner struct {
	nesting []uint64 // one bit a level: the level outside it is an array
	depth   int      // levels of nesting that are allowed; 0 is any number
	open    int      // levels that are open around the value

	// What has been found since these were last reset:
	deep  bool // a value is nested deeper than depth
	loose bool // white space between two tokens, or text that is not UTF-8

	name []byte // of a member, without its escapes

	// Where and why the last value was not JSON.
	at    int
	where string
}

// fail notes why the value is not JSON at index i. It returns -1.
func (s *scanner) fail(i int, where string) int {
	s.at, s.where = i, where
	return -1
}

// space returns the index of the first byte from b[i] on that is not white
// space, and notes if there was any.
func (s *scanner) space(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	end := skipSpace(b, i)
	s.loose = s.loose || end > i
	return end
}

// skip reads the value at b[i], which is not white space, and returns the
// index after it, or -1 if it is not JSON. A value that is nested too deeply is
// read to its end.
func (s *scanner) skip(b []byte, i int) int {
	depth := 0       // arrays and objects that are open
	inArray := false // the innermost one is an array
value:
	if i == len(b) {
		return s.fail(i, "where a value was expected")
	}
	switch c := b[i]; c {
	case '"':
		i = s.text(b, i+1)
	case '{', '[':
		depth++
		if s.depth > 0 && depth+s.open > s.depth {
			s.deep = true
		}
		s.push(depth, inArray)
		inArray = c == '['
		i = s.space(b, i+1)
		if i < len(b) && b[i] == c+2 { // ] and } are two after [ and {
			i++
			inArray = s.pop(depth)
			depth--
			break
		}
		if inArray {
			goto value
		}
		goto name
	case 't':
		i = s.word(b, i, "true")
	case 'f':
		i = s.word(b, i, "false")
	case 'n':
		i = s.word(b, i, "null")
	default:
		end, ok := number(b, i)
		if !ok {
			where := "where a value was expected"
			if end > i {
				where = "in a number"
			}
			return s.fail(end, where)
		}
		i = end
	}
	if i < 0 {
		return i
	}
after:
	if depth == 0 {
		return i
	}
	i = s.space(b, i)
	switch {
	case i < len(b) && b[i] == ',':
		i = s.space(b, i+1)
		if inArray {
			goto value
		}
	case i < len(b) && (inArray && b[i] == ']' || !inArray && b[i] == '}'):
		i++
		inArray = s.pop(depth)
		depth--
		goto after
	default:
		return s.fail(i, "where a comma or an end was expected")
	}
name:
	if i == len(b) || b[i] != '"' {
		return s.fail(i, "where a member's name was expected")
	}
	if i = s.text(b, i+1); i < 0 {
		return i
	}
	if i = s.space(b, i); i == len(b) || b[i] != ':' {
		return s.fail(i, "where a colon was expected")
	}
	i = s.space(b, i+1)
	goto value
}

// push and pop keep, a bit a level, whether the level outside the one numbered
// depth is an array.
func (s *scanner) push(depth int, inArray bool) {
	word, bit := depth/64, uint64(1)<<(depth%64)
	if word == len(s.nesting) {
		s.nesting = append(s.nesting, 0)
	}
	if inArray {
		s.nesting[word] |= bit
	} else {
		s.nesting[word] &^= bit
	}
}

func (s *scanner) pop(depth int) (inArray bool) {
	return s.nesting[depth/64]>>(depth%64)&1 != 0
}

// word reads true, false or null.
func (s *scanner) word(b []byte, i int, want string) int {
	for j := range len(want) {
		if i+j == len(b) || b[i+j] != want[j] {
			return s.fail(i+j, "in "+want)
		}
	}
	return i + len(want)
}

// number reads a number at b[i] and returns the index after it; or of the byte
// at which it is none.
func number(b []byte, i int) (int, bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	end := digits(b, i)
	if end == i {
		return i, false
	}
	if b[i] == '0' {
		end = i + 1 // no digit may follow
	}
	if i = end; i < len(b) && b[i] == '.' {
		i++
		if end = digits(b, i); end == i {
			return i, false
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if end = digits(b, i); end == i {
			return i, false
		}
		i = end
	}
	return i, true
}

// digits returns the index after the digits from b[i] on.
func digits(b []byte, i int) int {
	for ; i <= len(b)-8; i += 8 {
		w := load(b, i) ^ '0'*ones
		if m := (w + 0x76*ones | w) & highs; m != 0 {
			return i + firstMark(m)
		}
	}
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// text returns the index after the closing quote of the string whose text is
// from b[i] on, or -1 if it is not JSON.
func (s *scanner) text(b []byte, i int) int {
	if end := shortText(b, i); end > 0 {
		return end
	}
	for {
		if i = canonicalText(b, i); i >= len(b) {
			return s.fail(i, "in a string")
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			_, n := unescape(b[i:])
			if n == 0 {
				return s.fail(min(i+1, len(b)), "after a backslash")
			}
			i += n
		case c < ' ':
			return s.fail(i, "in a string")
		default: // invalid UTF-8
			s.loose = true
			i++
		}
	}
}

// columnOf returns the column that a member's name, as it is written in JSON, is
// the name of; or none.
func (s *scanner) columnOf(name []byte) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		s.name = Unescape(s.name[:0], name)
		name = s.name
	}
	for column, n := range names {
		if string(name) == n {
			return column
		}
	}
	return none
}

// isOneOf reports whether a member's name, as it is written in JSON, is one of the others
// in whatever case, or has an escape and could be.
func (s *scanner) isOneOf(name []byte, others []string) bool {
	for _, other := range others {
		if len(name) == len(other) && strings.EqualFold(string(name), other) {
			return true
		}
	}
	return bytes.IndexByte(name, '\\') >= 0
}

// skip is scanner.skip; a value that is not JSON is reported.
func (d *decoder) skip(b []byte, i int) int {
	s := &d.b.scan
	if i = s.skip(b, i); i < 0 {
		return d.syntax(b, s.at, s.where)
	}
	return i
}

// compact appends JSON that the scanner has found to be valid to dst, without
// the white space between its tokens, and with U+FFFD for each byte in its
// strings that is not UTF-8.
func compact(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c <= ' ':
			i++
		case c != '"':
			dst = append(dst, c)
			i++
		default:
			dst = append(dst, c)
			for i++; b[i] != '"'; {
				switch {
				case b[i] == '\\':
					dst = append(dst, b[i], b[i+1])
					i += 2
				case b[i] >= utf8.RuneSelf:
					dst, i = copyRune(dst, b, i)
				default:
					dst = append(dst, b[i])
					i++
				}
			}
			dst = append(dst, '"')
			i++
		}
	}
	return dst
}
