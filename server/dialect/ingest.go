package dialect

// POST /ingest: every form that the codec reads, a file out of a form, and the
// bodies of other systems where their first bytes leave no doubt.

import (
	"bytes"
	"encoding/binary"
	"mime"
	"unicode/utf8"

	"logforge/codec"
)

// ingest takes the body of POST /ingest.
func (w *Writer) ingest(req *Request, body []byte) error {
	if w.Format == codec.Auto {
		switch {
		case hasWord(req.ContentType, "multipart/form-data"):
			file, err := formFile(req.ContentType, body)
			if err != nil {
				return err
			}
			body = file
		case req.isProtobuf():
			return decodeOTLP(w, req, body)
		}
		if decode := sniff(body); decode != nil {
			return decode(w, req, body)
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil // no record, and so none that is wrong
	}
	if !isText(body) {
		if is16(body) {
			return malformed("the body is in UTF-16: UTF-8 is what is read here")
		}
		if !w.holdsARecord(body) {
			return malformed("the body is no text, and no protobuf or compression that is known here")
		}
	}
	return w.strict(req, body)
}

// holdsARecord reports whether anything in a body that does not look like text is a
// record all the same: then the rest is set aside.
func (w *Writer) holdsARecord(body []byte) bool {
	err := w.Batch.DecodeWith(body, w.Format, w.Rules, w.Arrived, func([]byte, codec.RecordError) {})
	return err != nil || w.Batch.Records() > 0
}

// is16 reports whether body begins with a byte order mark of UTF-16.
func is16(body []byte) bool {
	return bytes.HasPrefix(body, []byte("\xff\xfe")) || bytes.HasPrefix(body, []byte("\xfe\xff"))
}

// strict takes the forms of the codec, as the rules have them.
func (w *Writer) strict(_ *Request, body []byte) error {
	err := w.Batch.DecodeWith(body, w.Format, w.Rules, w.Arrived, w.decodedAside)
	w.result.Accepted = w.Batch.Records()
	return err
}

// setDecodedAside is setAside for a body of which the codec counts the records.
func (w *Writer) setDecodedAside(record []byte, e codec.RecordError) {
	w.result.records = e.Index
	w.setAside(record, e)
}

// sniff returns how a body is read that begins as those of other systems do.
func sniff(body []byte) func(*Writer, *Request, []byte) error {
	i := space(body, 0)
	if i == len(body) || body[i] != '{' {
		return nil
	}
	begins := func(name string) bool {
		j := space(body, i+1)
		if !bytes.HasPrefix(body[j:], []byte(name)) {
			return false
		}
		j = space(body, j+len(name))
		return j < len(body) && body[j] == ':'
	}
	switch {
	case begins(`"resourceLogs"`), begins(`"resource_logs"`):
		return func(w *Writer, _ *Request, body []byte) error { return w.takeOTLPJSON(body) }
	case begins(`"streams"`):
		return func(w *Writer, _ *Request, body []byte) error { return w.takeLokiJSON(body) }
	case begins(`"index"`), begins(`"create"`):
		if line, _, ok := nextLine(body); ok && actionOf(line) != noAction {
			return decodeBulk
		}
	}
	return nil
}

// isText reports whether body looks like text. A log may hold a line with NULs
// or with what a client sent instead of a request; a body that is mostly that is
// something else.
func isText(body []byte) bool {
	const looked = 4 << 10
	head := body[:min(len(body), looked)]
	odd := 0
	for len(head) > 0 {
		if len(head) >= 8 && printable(binary.LittleEndian.Uint64(head)) {
			head = head[8:]
			continue
		}
		r, n := utf8.DecodeRune(head)
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != 0x1b || r == 0x7f {
			odd++
		}
		head = head[n:]
	}
	return odd*4 < min(len(body), looked) || bytes.IndexByte(body, '\n') >= 0 && odd*2 < min(len(body), looked)
}

// printable reports whether all eight bytes of w are ASCII that can be seen, or spaces.
func printable(w uint64) bool {
	return ((w-0x20*ones)|w|(w+ones))&highs == 0 // below 0x20; above 0x7f; 0x7f
}

// formFile returns the files of a multipart/form-data body, one after another; or
// its fields, where it has no file.
func formFile(contentType, body []byte) ([]byte, error) {
	_, parameters, err := mime.ParseMediaType(string(contentType))
	if err != nil || parameters["boundary"] == "" {
		return nil, malformed("multipart/form-data needs a boundary in its Content-Type")
	}
	mark := []byte("--" + parameters["boundary"])
	if !bytes.HasPrefix(body, mark) {
		_, after, found := bytes.Cut(body, append([]byte("\r\n"), mark...))
		if !found {
			return nil, malformed("the body has no part of multipart/form-data")
		}
		body = after
	} else {
		body = body[len(mark):]
	}
	mark = append([]byte("\r\n"), mark...)
	var files, others [][]byte
	for !bytes.HasPrefix(body, []byte("--")) {
		part, rest, found := bytes.Cut(body, mark)
		if !found {
			return nil, malformed("the body ends within a part of multipart/form-data")
		}
		body = rest
		head, content, found := bytes.Cut(part, []byte("\r\n\r\n"))
		if !found {
			return nil, malformed("a part of multipart/form-data has no blank line after its header")
		}
		if hasWord(head, "filename") {
			files = append(files, content)
		} else {
			others = append(others, content)
		}
	}
	if len(files) == 0 {
		files = others
	}
	if len(files) == 1 {
		return files[0], nil
	}
	return bytes.Join(files, []byte("\n")), nil
}
