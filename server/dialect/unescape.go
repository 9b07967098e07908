package dialect

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape returns the text of a JSON string, given without its quotes. It is
// valid until the next call. ok is false where an escape is none.
func (w *Writer) unescape(raw []byte) (text []byte, ok bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	dst := w.text[:0]
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			w.text = append(dst, raw...)
			return w.text, true
		}
		dst = append(dst, raw[:i]...)
		if i+1 == len(raw) {
			return nil, false
		}
		switch c := raw[i+1]; c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := unicodeEscape(raw[i:])
			if n == 0 {
				return nil, false
			}
			dst = utf8.AppendRune(dst, r)
			raw = raw[i+n:]
			continue
		default:
			return nil, false
		}
		raw = raw[i+2:]
	}
}

// unicodeEscape reads \u0041, or two of them that are halves of one character. A
// half alone is U+FFFD. It returns how many bytes it has read, 0 for none.
func unicodeEscape(b []byte) (r rune, n int) {
	first, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if second, ok := hex4(b[6:]); ok {
			if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
				return r, 12
			}
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
