package dialect

import (
	"bytes"

	"logforge/codec"
)

// unescape returns the text of a JSON string, given without its quotes. It is
// valid until the next call. ok is false where an escape is none.
func (w *Writer) unescape(raw []byte) (text []byte, ok bool) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	w.text, ok = codec.UnescapeValid(w.text[:0], raw)
	return w.text, ok
}
