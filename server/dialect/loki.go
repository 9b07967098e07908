package dialect

// Grafana Loki: streams of labels with entries of a time, a line and, since
// Loki 3, structured metadata; as JSON or as protobuf compressed with snappy.

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"logforge/codec"
)

// lokiJSON takes the body of a push. It reports false where body is not JSON of
// that shape.
func (w *Writer) lokiJSON(body []byte) bool {
	i := members(body, space(body, 0), func(name []byte, i int) int {
		if string(name) != "streams" {
			return valueEnd(body, i)
		}
		return listOrNull(body, i, func(i int) int {
			if end := w.strange(body, i, '{', "is no stream of Loki"); end > 0 {
				return end
			}
			return w.lokiStreamJSON(body, i)
		})
	})
	return i >= 0 && space(body, i) == len(body)
}

// lokiStreamJSON reads one stream. Its labels usually come before its values;
// where they do not, the values are passed over and read afterwards.
func (w *Writer) lokiStreamJSON(b []byte, i int) int {
	w.resource, w.unfit = w.resource[:0], [2]bool{}
	known, waiting := false, -1
	values := func(i int) int {
		return listOrNull(b, i, func(i int) int {
			if end := w.strange(b, i, '[', lokiEntry); end > 0 {
				return end
			}
			return w.lokiEntryJSON(b, i)
		})
	}
	end := members(b, i, func(name []byte, i int) int {
		switch {
		case string(name) == "stream":
			known = true
			end := valueEnd(b, i)
			if end >= 0 && b[i] == '{' {
				w.resource = w.appendMembers(w.resource, b[i:end])
				w.unfit[0] = w.tooLarge(end - i)
			}
			return end
		case string(name) != "values":
			return valueEnd(b, i)
		case known:
			return values(i)
		case waiting >= 0:
			return -1 // the values twice
		}
		waiting = i
		return valueEnd(b, i)
	})
	if end >= 0 && waiting >= 0 && values(waiting) < 0 {
		return -1
	}
	return end
}

// lokiEntryJSON reads [time, line] or [time, line, metadata].
func (w *Writer) lokiEntryJSON(b []byte, i int) int {
	if !w.carry() {
		return valueEnd(b, i)
	}
	if end := w.lokiPlainJSON(b, i); end > 0 {
		return end
	}
	var parts [3]span
	n := 0
	start := i
	end := elements(b, i, func(i int) int {
		end := valueEnd(b, i)
		if n < len(parts) {
			parts[n] = span{i, end}
		}
		n++
		return end
	})
	if end < 0 {
		return -1
	}
	switch {
	case n < 2 || b[parts[1].start] != '"':
		w.reject(b[start:end], lokiEntry)
		return end
	case w.tooLarge(end - start):
		w.reject(b[start:end], w.sizeReason(end-start))
		return end
	case w.unfit[0]:
		w.reject(b[start:end], aroundReason)
		return end
	}
	raw := b[parts[1].start+1 : parts[1].end-1]
	extra := w.resource
	if meta := parts[2]; n > 2 && b[meta.start] == '{' {
		w.object = w.appendMembers(append(w.object[:0], w.resource...), b[meta.start:meta.end])
		extra = w.object
	}
	line, ok := w.unescape(raw)
	if !ok {
		w.reject(b[start:end], "is not JSON: its line has an escape that there is not")
		return end
	}
	raw = b[parts[0].start:parts[0].end]
	if at, known := epoch(raw); known {
		w.add(line, at, extra)
	} else {
		w.addTimed(line, raw, extra)
	}
	return end
}

// lokiPlainJSON takes the usual entry, a time and a line of the usual form, and returns
// the index after it. It returns 0 for any other, which has not been taken then.
func (w *Writer) lokiPlainJSON(b []byte, i int) int {
	if w.unfit[0] || i+24 > len(b) || b[i] != '[' || b[i+1] != '"' {
		return 0
	}
	i += len(`["`)
	for last := i + 19; i < last && b[i]-'0' < 10; { // no time can be wrong with so few digits
		i++
	}
	if b[i-1] == '"' || string(b[i:i+3]) != `","` {
		return 0
	}
	return w.addPlain(b, i+3, `"]`, w.resource)
}

const lokiEntry = "is no entry of Loki: it has to be [time, line]"

// lokiProto takes a PushRequest. It reports false where the message is cut short
// or damaged.
func (w *Writer) lokiProto(body []byte) bool {
	return fields(body, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		stream, n := protowire.ConsumeBytes(rest)
		if n < 0 || !w.lokiStreamProto(stream) {
			return -1
		}
		return n
	})
}

func (w *Writer) lokiStreamProto(stream []byte) bool {
	w.resource, w.unfit = w.resource[:0], [2]bool{}
	if !fields(stream, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		labels, n := protowire.ConsumeBytes(rest)
		if w.unfit[0] = w.tooLarge(len(labels)); !w.unfit[0] {
			w.resource = appendLabels(w.resource[:0], labels)
		}
		return n
	}) {
		return false
	}
	return fields(stream, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 2 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		entry, n := protowire.ConsumeBytes(rest)
		if n < 0 || !w.lokiEntryProto(entry) {
			return -1
		}
		return n
	})
}

// lokiEntryProto reads an EntryAdapter.
func (w *Writer) lokiEntryProto(entry []byte) bool {
	if !w.carry() {
		return true
	}
	switch {
	case w.tooLarge(len(entry)):
		w.reject(entry, w.sizeReason(len(entry)))
		return true
	case w.unfit[0]:
		w.reject(entry, aroundReason)
		return true
	}
	var at time.Time
	var line []byte
	extra := w.resource
	whole := fields(entry, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if kind != protowire.BytesType || number > 3 {
			return skip(number, kind, rest)
		}
		value, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			return -1
		}
		ok := true
		switch number {
		case 1:
			at, ok = timestampProto(value)
		case 2:
			line = value
		case 3:
			if len(extra) == 0 || len(w.resource) > 0 && &extra[0] == &w.resource[0] {
				w.object = append(w.object[:0], w.resource...)
			}
			w.object, ok = appendLabelProto(w.object, value)
			extra = w.object
		}
		if !ok {
			return -1
		}
		return n
	})
	if whole {
		w.add(line, at, extra)
	}
	return whole
}

// timestampProto reads a google.protobuf.Timestamp; the zero time stands for 0.
func timestampProto(message []byte) (at time.Time, ok bool) {
	var seconds, nanos uint64
	ok = fields(message, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if kind != protowire.VarintType || number > 2 {
			return skip(number, kind, rest)
		}
		v, n := protowire.ConsumeVarint(rest)
		if number == 1 {
			seconds = v
		} else {
			nanos = v
		}
		return n
	})
	if !ok || seconds == 0 && nanos == 0 {
		return at, ok
	}
	return time.Unix(int64(seconds), int64(int32(nanos))), true
}

// appendLabelProto appends a LabelPairAdapter as a member, with a comma before it
// if it is not the first.
func appendLabelProto(dst, pair []byte) ([]byte, bool) {
	var name, value []byte
	ok := fields(pair, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if kind != protowire.BytesType || number > 2 {
			return skip(number, kind, rest)
		}
		v, n := protowire.ConsumeBytes(rest)
		if number == 1 {
			name = v
		} else {
			value = v
		}
		return n
	})
	return codec.AppendMember(dst, name, value), ok
}

// appendLabels appends labels as Prometheus writes them, {job="nginx", host="a"},
// as members. What is not written so is left out.
func appendLabels(dst, labels []byte) []byte {
	text := strings.TrimPrefix(string(bytes.TrimSpace(labels)), "{") // one copy, not one for each label
	for {
		name, rest, found := strings.Cut(strings.TrimLeft(text, ", "), "=")
		rest = strings.TrimLeft(rest, " ")
		quoted, err := strconv.QuotedPrefix(rest)
		if !found || err != nil {
			return dst
		}
		text = rest[len(quoted):]
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return dst
		}
		dst = codec.AppendMember(dst, []byte(strings.TrimSpace(name)), []byte(value))
	}
}
