package aggregator

import (
	"bytes"
	"unicode/utf8"

	"github.com/goccy/go-json/jsontext"
)

// Keys are kept the way a canonical line spells them: the inside of a JSON
// string in which only the quote, the backslash and control characters are
// escaped, each in one way (RFC 8785, section 3.2.2.2). One value then has one
// spelling, equal bytes are equal values, and neither counting nor writing a
// summary has to unescape anything.

// canonical reports whether raw is the inside of a JSON string in that form,
// and not blank.
func canonical(raw []byte) bool {
	escaped := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c < ' ' || c == '"':
			return false
		case c == '\\':
			n := escapeLen(raw[i:])
			if n == 0 {
				return false
			}
			escaped = true
			i += n - 1
		}
	}
	if !utf8.Valid(raw) {
		return false
	}
	if escaped {
		raw = unquoted(raw)
	}
	return len(bytes.TrimSpace(raw)) > 0
}

// escapeLen returns the length of the escape that b begins with, or 0 if a
// canonical line would not have it.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 || string(b[2:4]) != "00" || b[4] != '0' && b[4] != '1' {
			return 0
		}
		switch b[5] {
		case '8', '9', 'a', 'c', 'd': // \b \t \n \f \r are shorter
			if b[4] == '0' {
				return 0
			}
			return 6
		case '0', '1', '2', '3', '4', '5', '6', '7', 'b', 'e', 'f':
			return 6
		}
	}
	return 0
}

// unquoted returns the value of the inside of a valid JSON string.
func unquoted(raw []byte) []byte {
	quoted := append(append([]byte{'"'}, raw...), '"')
	value, _ := jsontext.AppendUnquote(nil, quoted)
	return value
}
