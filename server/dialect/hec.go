package dialect

// Splunk's HTTP Event Collector: JSON objects one after another, each with an
// event and what is known about it; or, at /raw, lines.

import (
	"bytes"
	"time"
)

// hec takes the body of /services/collector/event. An event that is not JSON is
// set aside together with what follows it up to the end of its line.
func (w *Writer) hec(body []byte) {
	i := space(body, 0)
	array := i < len(body) && body[i] == '['
	if array {
		i = space(body, i+1)
	}
	for i < len(body) && !w.full {
		if array && (body[i] == ',' || body[i] == ']') {
			i = space(body, i+1)
			continue
		}
		end := w.hecEvent(body, i)
		if end < 0 {
			end = len(body)
			if n := bytes.IndexByte(body[i:], '\n'); n >= 0 {
				end = i + n
			}
			w.reject(bytes.TrimSpace(body[i:end]), "is not JSON")
		}
		i = space(body, end)
	}
}

// hecEvent takes one event and returns the index after it, or -1 if it is not
// JSON.
func (w *Writer) hecEvent(b []byte, i int) int {
	var at, event span
	extra := w.object[:0]
	end := members(b, i, func(name []byte, i int) int {
		end := valueEnd(b, i)
		if end < 0 {
			return -1
		}
		switch string(name) {
		case "time":
			at = span{i, end}
		case "event":
			event = span{i, end}
		case "fields":
			if b[i] == '{' {
				extra = w.appendMembers(extra, b[i:end])
			}
		default:
			extra = w.appendMember(extra, name, b[i:end])
		}
		return end
	})
	w.object = extra
	if end < 0 {
		return -1
	}
	shipped, known := epoch(b[at.start:at.end])
	add := func(record []byte) {
		if known {
			w.add(record, shipped, extra)
		} else {
			w.addTimed(record, b[at.start:at.end], extra)
		}
	}
	switch {
	case w.tooLarge(end - i):
		w.reject(b[i:end], w.sizeReason(end-i))
	case event.end == 0:
		w.reject(b[i:end], "has no event")
	case b[event.start] == '"' && known && w.addPlain(b[:event.end], event.start+1, `"`, extra) > 0:
	case b[event.start] == '"':
		line, ok := w.unescape(b[event.start+1 : event.end-1])
		if !ok {
			w.reject(b[i:end], "is not JSON: its event has an escape that there is not")
			break
		}
		add(line)
	default:
		add(b[event.start:event.end])
	}
	return end
}

// epoch reads a time since 1970, a number as JSON has it or a string of one: seconds,
// or by its magnitude milliseconds, microseconds or nanoseconds. Nothing, null and 0
// are the zero time: none is known. ok is false for what is not read here: the codec
// is to say what it is.
func epoch(text []byte) (at time.Time, ok bool) {
	if text = bytes.Trim(text, `"`); len(text) == 0 || string(text) == "null" {
		return at, true
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	var n int64
	for _, c := range whole {
		if c-'0' > 9 || n > (1<<63-1-9)/10 {
			return at, false
		}
		n = n*10 + int64(c-'0')
	}
	var nanos, unit int64 = 0, 1e8
	for _, c := range fraction {
		if c-'0' > 9 {
			return at, false
		}
		nanos += int64(c-'0') * unit
		unit /= 10
	}
	switch {
	case len(whole) == 0:
		return at, false
	case n == 0:
		return at, true
	case n < 1e11:
		return time.Unix(n, nanos), true
	case n < 1e14:
		return time.UnixMilli(n).Add(time.Duration(nanos / 1e3)), true
	case n < 1e17:
		return time.UnixMicro(n).Add(time.Duration(nanos / 1e6)), true
	}
	return time.Unix(0, n), true
}
