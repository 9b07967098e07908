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
	var shipped time.Time
	if at.end > 0 {
		shipped = epoch(bytes.Trim(b[at.start:at.end], `"`))
	}
	switch {
	case event.end == 0:
		w.reject(b[i:end], "has no event")
	case b[event.start] == '"':
		line, ok := w.unescape(b[event.start+1 : event.end-1])
		if !ok {
			w.reject(b[i:end], "is not JSON: its event has an escape that there is not")
			break
		}
		w.add(line, shipped, extra)
	default:
		w.add(b[event.start:event.end], shipped, extra)
	}
	return end
}

// epoch reads a time since 1970 as a decimal number: seconds, or by its magnitude
// milliseconds, microseconds or nanoseconds. What is none is the zero time.
func epoch(text []byte) time.Time {
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	var n int64
	for _, c := range whole {
		if c-'0' > 9 || n > (1<<63-1-9)/10 {
			return time.Time{}
		}
		n = n*10 + int64(c-'0')
	}
	var nanos, unit int64 = 0, 1e8
	for _, c := range fraction {
		if c-'0' > 9 {
			return time.Time{}
		}
		nanos += int64(c-'0') * unit
		unit /= 10
	}
	switch {
	case len(whole) == 0 || n == 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, nanos)
	case n < 1e14:
		return time.UnixMilli(n).Add(time.Duration(nanos / 1e3))
	case n < 1e17:
		return time.UnixMicro(n)
	}
	return time.Unix(0, n)
}
