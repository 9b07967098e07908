package dialect

// OTLP as JSON: the JSON form of protobuf (names in lower camel case, those with
// underscores taken as well, 64 bit integers as strings).

import (
	"bytes"
	"time"

	"logforge/codec"
)

// otlpJSON takes an ExportLogsServiceRequest. It reports false where body is not
// JSON of that shape.
func (w *Writer) otlpJSON(body []byte) bool {
	i := members(body, space(body, 0), func(name []byte, i int) int {
		if !either(name, "resourceLogs", "resource_logs") {
			return valueEnd(body, i)
		}
		return listOrNull(body, i, func(i int) int { return w.resourceLogsJSON(body, i) })
	})
	return i >= 0 && space(body, i) == len(body)
}

// either reports whether name is one of the two, as bytes.
func either(name []byte, a, b string) bool { return string(name) == a || string(name) == b }

// listOrNull walks an array, or passes over null, which is an empty list.
func listOrNull(b []byte, i int, element func(i int) int) int {
	if i < len(b) && b[i] == 'n' {
		return literalEnd(b, i, "null")
	}
	return elements(b, i, element)
}

func (w *Writer) resourceLogsJSON(b []byte, i int) int {
	return w.scopedJSON(b, i, "is no resourceLogs of OTLP", "resource", "scopeLogs", "scope_logs", &w.resource, w.scopeLogsJSON)
}

func (w *Writer) scopeLogsJSON(b []byte, i int) int {
	return w.scopedJSON(b, i, "is no scopeLogs of OTLP", "scope", "logRecords", "log_records", &w.scope, w.logRecordJSON)
}

// scopedJSON reads an object of which one member has attributes that count for
// the list in another one. The attributes go into attributes as members of a
// JSON object, each with a comma before it. They usually come before the list;
// where they do not, the list is passed over and read afterwards. strange is why
// what is no object is set aside.
func (w *Writer) scopedJSON(b []byte, i int, strange, holder, list, list2 string, attributes *[]byte, element func(b []byte, i int) int) int {
	*attributes, w.aroundKnown = (*attributes)[:0], false
	unfit := &w.unfit[0]
	if attributes == &w.scope {
		unfit = &w.unfit[1]
	}
	*unfit = false
	known := false
	waiting := -1
	read := func(i int) int { return listOrNull(b, i, func(i int) int { return element(b, i) }) }
	if end := w.strange(b, i, '{', strange); end > 0 {
		return end
	}
	end := members(b, i, func(name []byte, i int) int {
		switch {
		case string(name) == holder:
			known = true
			if i < len(b) && b[i] == 'n' {
				return literalEnd(b, i, "null")
			}
			return members(b, i, func(name []byte, i int) int {
				if string(name) != "attributes" {
					return valueEnd(b, i)
				}
				dst, end := appendAttributesJSON((*attributes)[:0], b, i, 0)
				*attributes, w.aroundKnown = dst, false
				if *unfit = end < 0 || w.tooLarge(end-i); *unfit {
					*attributes = dst[:0]
					return valueEnd(b, i)
				}
				return end
			})
		case !either(name, list, list2):
			return valueEnd(b, i)
		case known:
			return read(i)
		case waiting >= 0:
			return -1 // the list twice
		}
		waiting = i
		return valueEnd(b, i)
	})
	if end >= 0 && waiting >= 0 && read(waiting) < 0 {
		return -1
	}
	return end
}

// logRecordJSON takes one LogRecord.
func (w *Writer) logRecordJSON(b []byte, i int) int {
	if !w.carry() {
		return valueEnd(b, i)
	}
	if end := w.strange(b, i, '{', "is no LogRecord of OTLP"); end > 0 {
		return end
	}
	var at, observed, body, attributes span
	end := members(b, i, func(name []byte, i int) int {
		end := valueEnd(b, i)
		switch {
		case end < 0:
		case either(name, "timeUnixNano", "time_unix_nano"):
			at = span{i, end}
		case either(name, "observedTimeUnixNano", "observed_time_unix_nano"):
			observed = span{i, end}
		case string(name) == "body":
			body = span{i, end}
		case string(name) == "attributes":
			attributes = span{i, end}
		}
		return end
	})
	switch {
	case end < 0:
		return -1
	case w.tooLarge(end - i):
		w.reject(b[i:end], w.sizeReason(end-i))
		return end
	case w.unfit != [2]bool{}:
		w.reject(b[i:end], aroundReason)
		return end
	}
	if w.lineJSON(b[:end], body, attributes, at, observed) {
		return end
	}
	// The body comes first: of members with one name the last counts, and what
	// is looked up in the attributes comes before what the body says.
	dst, ok := w.begin(), 0
	if body.end > 0 {
		dst, ok = appendBodyJSON(dst, b, body.start)
	}
	dst = w.inherit(dst)
	if attributes.end > 0 && ok >= 0 {
		dst, ok = appendAttributesJSON(dst, b, attributes.start, 0)
	}
	if ok < 0 {
		w.reject(b[i:end], "has a value that is no AnyValue of OTLP, or is nested too deeply")
		return end
	}
	if raw := b[at.start:at.end]; !zeroNumber(raw) {
		w.put(appendRaw(dst, eventTime, raw), time.Time{})
		return end
	}
	raw := b[observed.start:observed.end]
	shipped, known := epoch(raw)
	if !known { // the codec says what is wrong with it
		dst = appendRaw(dst, observedTime, raw)
	}
	w.put(dst, shipped)
	return end
}

// lineJSON takes the usual LogRecord by a short way, as lineProto does. It reports
// false for any other, which has not been taken then.
func (w *Writer) lineJSON(b []byte, body, attributes, at, observed span) bool {
	const begin, follows = `{"stringValue":"`, `"}`
	if w.Fields == nil || !bytes.HasPrefix(b[body.start:body.end], []byte(begin)) {
		return false
	}
	for _, t := range []span{at, observed} {
		if _, known := epoch(b[t.start:t.end]); !known {
			return false
		}
	}
	around, ok := w.plainAround()
	if !ok {
		return false
	}
	extra := append(w.object[:0], around...)
	if attributes.end > 0 && listOrNull(b, attributes.start, func(i int) int {
		var end int
		extra, end = w.appendTextJSON(extra, b, i)
		return end
	}) < 0 {
		w.object = extra
		return false
	}
	w.object = extra
	return w.addPlain(b[:body.end], body.start+len(begin), follows, extra) > 0
}

// appendTextJSON appends the KeyValue at b[i] as a member, if its value is a string and
// no value of a record is looked for under its name. It returns the index after it, or
// a negative one for any other.
func (w *Writer) appendTextJSON(dst, b []byte, i int) (extra []byte, end int) {
	var key, value span
	end = members(b, i, func(name []byte, i int) int {
		switch string(name) {
		case "key":
			key.start, key.end = i, valueEnd(b, i)
			return key.end
		case "value":
			return members(b, i, func(name []byte, i int) int {
				if string(name) != "stringValue" || value.end > 0 {
					return -1
				}
				value.start, value.end = i, valueEnd(b, i)
				return value.end
			})
		}
		return -1
	})
	if end < 0 || key.end == 0 || value.end == 0 || b[key.start] != '"' || b[value.start] != '"' {
		return dst, -1
	}
	name := b[key.start+1 : key.end-1]
	if bytes.IndexByte(name, '\\') >= 0 || w.Fields.has(name) {
		return dst, -1
	}
	text, ok := w.unescape(b[value.start+1 : value.end-1])
	if !ok {
		return dst, -1
	}
	return codec.AppendMember(dst, name, text), end
}

// strange sets aside the element at b[i] of a list if it does not begin as it has to,
// and returns the index after it; or 0 if it does, or is not JSON.
func (w *Writer) strange(b []byte, i int, begin byte, why string) int {
	if i >= len(b) || b[i] == begin {
		return 0
	}
	end := valueEnd(b, i)
	if end < 0 {
		return 0
	}
	w.reject(b[i:end], why)
	return end
}

// zeroNumber reports whether text, a JSON number or a string of digits, is
// missing or 0, which is how protobuf says that a time is not known.
func zeroNumber(text []byte) bool {
	text = bytes.Trim(text, `"`)
	return len(text) == 0 || string(text) == "0" || string(text) == "null"
}
