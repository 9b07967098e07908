package codec

import (
	"bytes"
	"unicode/utf8"
)

// Reading what has been written: the canonical line, split into its values.
// Everything that reads lines back (the counts, the archive, the export, the
// verification) does so here.

// Line is a canonical line that has been split. Its slices are parts of the
// line. The values are the bytes of the line, escaped: see Unescape. One value
// has one spelling only, so that equal bytes are equal values.
type Line struct {
	Timestamp []byte // UTC: 2026-02-09T15:23:00Z
	Path      []byte
	UserAgent []byte
	Extra     []byte // the members after the three, without the comma before them: "status":200,"method":"GET"; nil for none
}

// Split splits the first of the lines that b begins with, and returns its
// length with its newline, which may be missing at the end of b. It returns 0
// if that line is not canonical.
//
// It compares what is the same in every line and finds where the values end, and
// no more: the digits of the date and hour, and what is inside of the values,
// may be anything but a quote. That is what a reader wants who looks at many
// lines that were written by this package, and checks a value when it is new
// (IsText) or a whole line when it matters (Valid).
func (l *Line) Split(b []byte) int {
	if len(b) < shortest || (load(b, 0)^braceTimest)|(load(b, 6)^stampColon) != 0 {
		return 0
	}
	i := secondAt + 8 // after the timestamp's quote
	if !isSecond(load(b, secondAt), '"') {
		if i = fraction(b); i < 0 {
			return 0
		}
	}
	if len(b) < i+16 || (load(b, i-1)^commaPath)|(load(b, i+1)^pathColon) != 0 {
		return 0
	}
	l.Timestamp = b[hourAt : i-1]
	i += 9
	end := textEnd(b[i:])
	if end <= 0 {
		return 0
	}
	l.Path = b[i : i+end]
	i += end
	if len(b)-i < len(`","userAgent":"-"}`) || (load(b, i)^commaUserA)|(load(b, i+7)^agentColon) != 0 {
		return 0
	}
	i += 15
	if end = textEnd(b[i:]); end <= 0 {
		return 0
	}
	l.UserAgent = b[i : i+end]
	i += end + 1
	if l.Extra = nil; i < len(b) && b[i] == ',' {
		start := i + 1
		if i = bytes.IndexByte(b[start:], '\n'); i < 0 {
			i = len(b) - start
		}
		if i += start - 1; i <= start || b[start] != '"' {
			return 0
		}
		l.Extra = b[start:i]
	}
	switch {
	case i >= len(b) || b[i] != '}':
		return 0
	case i+1 == len(b):
		return i + 1
	case b[i+1] == '\n':
		return i + 2
	}
	return 0
}

// textEnd returns the index of the quote that ends the text b begins with, or
// -1.
func textEnd(b []byte) int {
	i := bytes.IndexByte(b, '"')
	for i > 0 && b[i-1] == '\\' {
		first := i - 1 // of the backslashes before the quote
		for first > 0 && b[first-1] == '\\' {
			first--
		}
		if (i-first)%2 == 0 {
			return i
		}
		next := bytes.IndexByte(b[i+1:], '"')
		if next < 0 {
			return -1
		}
		i += 1 + next
	}
	return i
}

// Valid reports whether the line that was split is canonical in all its parts.
func (l *Line) Valid() bool {
	var c clock
	c.reset()
	return c.canonicalHour(l.Timestamp) && IsText(l.Path) && IsText(l.UserAgent) && validExtra(l.Extra)
}

// validExtra reports whether extra members are as they are written.
func validExtra(extra []byte) bool {
	if extra == nil {
		return true
	}
	var s scanner
	member := append(append([]byte{','}, extra...), '}')
	return s.members(member, 0, nil) == len(member)-1 && !s.loose
}

// IsText reports whether value is the inside of a JSON string as a canonical
// line has it, and not blank.
func IsText(value []byte) bool {
	if blank(value) {
		return false
	}
	for i := 0; i < len(value); {
		if i = canonicalText(value, i); i < len(value) {
			if i = canonicalEscape(value, i); i < 0 {
				return false
			}
		}
	}
	return true
}

// canonicalEscape returns the index after the \u00xx at value[i], if canonical
// text would have that there, or else -1.
func canonicalEscape(value []byte, i int) int {
	r := codeUnit(value[i:])
	if r < 0 || r >= ' ' {
		return -1
	}
	var text [6]byte
	if string(appendRune(text[:0], r)) != string(value[i:i+6]) {
		return -1
	}
	return i + 6
}

// Unescape appends to dst what value, the inside of a valid JSON string, stands
// for: the values of a Line, or the strings within its extra members.
func Unescape(dst, value []byte) []byte {
	dst, _ = UnescapeValid(dst, value)
	return dst
}

// UnescapeValid is Unescape for the inside of a string that may be no valid JSON: ok is false
// if a backslash in it begins no escape, and stays as it is.
func UnescapeValid(dst, value []byte) (text []byte, ok bool) {
	for ok = true; ; {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return append(dst, value...), ok
		}
		dst = append(dst, value[:i]...)
		r, n := unescape(value[i:])
		if n == 0 {
			r, n, ok = '\\', 1, false
		}
		dst = utf8.AppendRune(dst, r)
		value = value[i+n:]
	}
}

// AppendText appends value to dst as the inside of a canonical JSON string: the
// opposite of Unescape. Invalid UTF-8 becomes U+FFFD, a byte at a time.
func AppendText(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		switch end := ordinaryEnd(value, i); {
		case end > i:
			dst = append(dst, value[i:end]...)
			i = end
		case value[i] < utf8.RuneSelf:
			dst = appendRune(dst, rune(value[i]))
			i++
		default:
			dst, i = copyRune(dst, value, i)
		}
	}
	return dst
}

// ordinaryEnd returns the index of the first byte from b[i] on that has to be
// escaped or is not ASCII, or len(b).
func ordinaryEnd(b []byte, i int) int {
	i = ordinary(b, i)
	for i < len(b) && b[i] >= ' ' && b[i] < utf8.RuneSelf && b[i] != '"' && b[i] != '\\' {
		i++ // the last seven bytes of b are looked at one by one
	}
	return min(i, len(b))
}
