package dialect

// OTLP as protobuf, read with protowire: of the messages ExportLogsServiceRequest,
// ResourceLogs, ScopeLogs, LogRecord, AnyValue and KeyValue the few fields that
// are needed; others are passed over, whatever they are.

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"logforge/codec"
)

// fields walks the fields of a message. f gets the number and type of each and
// what follows its tag; it returns how many bytes the value has, or -1. fields
// reports whether the message is whole.
func fields(message []byte, f func(number protowire.Number, kind protowire.Type, rest []byte) int) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		if n = f(number, kind, message); n < 0 || n > len(message) {
			return false
		}
		message = message[n:]
	}
	return true
}

// skip passes over one value.
func skip(number protowire.Number, kind protowire.Type, rest []byte) int {
	switch kind { // the usual ones without a call that handles groups
	case protowire.BytesType:
		_, n := protowire.ConsumeBytes(rest)
		return n
	case protowire.VarintType:
		_, n := protowire.ConsumeVarint(rest)
		return n
	}
	return protowire.ConsumeFieldValue(number, kind, rest)
}

// otlpProto takes an ExportLogsServiceRequest. It reports false where the
// message is cut short or damaged.
func (w *Writer) otlpProto(body []byte) bool {
	return fields(body, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		message, n := protowire.ConsumeBytes(rest)
		if n < 0 || !w.scopedProto(message, &w.resource, 1, w.scopeLogsProto) {
			return -1
		}
		return n
	})
}

func (w *Writer) scopeLogsProto(message []byte) bool {
	return w.scopedProto(message, &w.scope, 3, w.logRecordProto)
}

// scopedProto reads a message whose field 1 is a message with attributes, which
// count for all messages of field 2. The fields may come in any order.
func (w *Writer) scopedProto(message []byte, attributes *[]byte, attribute protowire.Number, element func([]byte) bool) bool {
	*attributes = (*attributes)[:0]
	whole := fields(message, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		holder, n := protowire.ConsumeBytes(rest)
		ok := n >= 0 && fields(holder, func(number protowire.Number, kind protowire.Type, rest []byte) int {
			if number != attribute || kind != protowire.BytesType {
				return skip(number, kind, rest)
			}
			pair, n := protowire.ConsumeBytes(rest)
			if n < 0 {
				return -1
			}
			dst, damage := appendPair(append(*attributes, ','), pair, 0)
			if damage != none {
				return -1
			}
			*attributes = dst
			return n
		})
		if !ok {
			return -1
		}
		return n
	})
	return whole && fields(message, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 2 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		message, n := protowire.ConsumeBytes(rest)
		if n < 0 || !element(message) {
			return -1
		}
		return n
	})
}

// logRecordProto takes one LogRecord.
func (w *Writer) logRecordProto(record []byte) bool {
	var at, observed uint64
	var body []byte
	worst := none
	whole := fields(record, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		n := 0
		switch {
		case number == 1 && kind == protowire.Fixed64Type:
			at, n = protowire.ConsumeFixed64(rest)
		case number == 11 && kind == protowire.Fixed64Type:
			observed, n = protowire.ConsumeFixed64(rest)
		case number == 5 && kind == protowire.BytesType:
			body, n = protowire.ConsumeBytes(rest)
		default:
			n = skip(number, kind, rest)
		}
		return n
	})
	if !whole {
		return false
	}
	if w.lineProto(record, body, at, observed) {
		return true
	}
	// The body comes first: of members with one name the last counts, and what
	// is looked up in the attributes comes before what the body says.
	dst := w.begin()
	if body != nil {
		dst, worst = appendBody(dst, body)
	}
	dst = w.inherit(dst)
	_ = fields(record, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 6 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		pair, n := protowire.ConsumeBytes(rest)
		var damage damage
		dst, damage = appendPair(append(dst, ','), pair, 0)
		worst = max(worst, damage)
		return n
	})
	var shipped time.Time
	switch {
	case at != 0:
		dst = appendUint(dst, eventTime, at)
	case observed != 0:
		shipped = time.Unix(0, int64(observed))
	}
	switch worst {
	case broken:
		return false
	case tooDeep:
		w.object = dst
		w.reject(record, "is nested too deeply")
		return true
	}
	w.put(dst, shipped)
	return true
}

// lineProto takes the usual LogRecord by a short way: its body is a line, and its
// attributes are strings that no value is looked for in. It reports false for any
// other, which has not been taken then.
func (w *Writer) lineProto(record, body []byte, at, observed uint64) bool {
	if w.Fields == nil || len(w.resource)+len(w.scope) > 0 {
		return false
	}
	line, ok := onlyString(body)
	if !ok || startsObject(line) {
		return false
	}
	extra := w.object[:0]
	whole := fields(record, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 6 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		pair, n := protowire.ConsumeBytes(rest)
		var key, value []byte
		ok := fields(pair, func(number protowire.Number, kind protowire.Type, rest []byte) int {
			v, n := protowire.ConsumeBytes(rest)
			switch {
			case kind != protowire.BytesType:
				return -1
			case number == 1:
				key = v
			case number == 2:
				value = v
			}
			return n
		})
		text, isString := onlyString(value)
		if !ok || !isString || w.Fields.has(key) {
			return -1
		}
		extra = codec.AppendMember(extra, key, text)
		return n
	})
	w.object = extra
	if !whole {
		return false
	}
	if at == 0 {
		at = observed
	}
	shipped := time.Time{}
	if at != 0 {
		shipped = time.Unix(0, int64(at))
	}
	w.add(line, shipped, extra)
	return true
}

// onlyString returns the text of an AnyValue that is a string and nothing else.
func onlyString(value []byte) ([]byte, bool) {
	number, kind, n := protowire.ConsumeTag(value)
	if n < 0 || number != 1 || kind != protowire.BytesType {
		return nil, false
	}
	text, m := protowire.ConsumeBytes(value[n:])
	return text, m > 0 && n+m == len(value)
}

// damage is what can be wrong with a value.
type damage uint8

const (
	none    damage = iota
	tooDeep        // this record cannot be taken
	broken         // the message is no protobuf here
)

// appendBody appends the body of a record: the members of a map, or else a
// member of that name.
func appendBody(dst, value []byte) ([]byte, damage) {
	const kvlist = 6
	list, isMap := lastOf(value, kvlist)
	if !isMap {
		return appendValue(append(dst, `,"`+bodyName+`":`...), value, 1)
	}
	return appendPairs(dst, list, 1)
}

// lastOf returns the value of the last field of a message, if it has this number
// and is a message itself: of the fields of a oneof the last one counts.
func lastOf(message []byte, want protowire.Number) (value []byte, ok bool) {
	_ = fields(message, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number == want && kind == protowire.BytesType {
			v, n := protowire.ConsumeBytes(rest)
			value, ok = v, n >= 0
			return n
		}
		ok = ok && number > 7
		return skip(number, kind, rest)
	})
	return value, ok
}

// appendPairs appends the pairs of a KeyValueList as members, each with a comma
// before it.
func appendPairs(dst, list []byte, depth int) ([]byte, damage) {
	worst := none
	if !fields(list, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		pair, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			return -1
		}
		var damage damage
		dst, damage = appendPair(append(dst, ','), pair, depth)
		worst = max(worst, damage)
		return n
	}) {
		worst = broken
	}
	return dst, worst
}

// appendPair appends a KeyValue as a member.
func appendPair(dst, pair []byte, depth int) ([]byte, damage) {
	var key, value []byte
	if !fields(pair, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if kind == protowire.BytesType && (number == 1 || number == 2) {
			v, n := protowire.ConsumeBytes(rest)
			if number == 1 {
				key = v
			} else {
				value = v
			}
			return n
		}
		return skip(number, kind, rest)
	}) {
		return dst, broken
	}
	dst = append(appendString(dst, key), ':')
	return appendValue(dst, value, depth+1)
}

// appendValue appends an AnyValue as JSON; one without a value is null.
func appendValue(dst, value []byte, depth int) ([]byte, damage) {
	if depth > maxValueDepth {
		return append(dst, "null"...), tooDeep
	}
	start := len(dst)
	worst := none
	whole := fields(value, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		var damage damage
		switch {
		case number == 2 && kind == protowire.VarintType:
			v, n := protowire.ConsumeVarint(rest)
			dst = strconv.AppendBool(dst[:start], v != 0)
			return n
		case number == 3 && kind == protowire.VarintType:
			v, n := protowire.ConsumeVarint(rest)
			dst = strconv.AppendInt(dst[:start], int64(v), 10)
			return n
		case number == 4 && kind == protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(rest)
			dst = appendDouble(dst[:start], math.Float64frombits(v))
			return n
		case kind != protowire.BytesType || number != 1 && (number < 5 || number > 7):
			return skip(number, kind, rest)
		}
		v, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			return -1
		}
		dst = dst[:start]
		switch {
		case number == 1, number == 7 && utf8.Valid(v):
			dst = appendString(dst, v)
		case number == 7:
			dst = append(base64.StdEncoding.AppendEncode(append(dst, '"'), v), '"')
		case number == 5:
			dst, damage = appendArray(dst, v, depth)
		default:
			if dst, damage = appendPairs(dst, v, depth); len(dst) > start {
				dst[start] = '{' // instead of the first comma
			} else {
				dst = append(dst, '{')
			}
			dst = append(dst, '}')
		}
		worst = max(worst, damage)
		return n
	})
	if !whole {
		worst = broken
	}
	if len(dst) == start {
		dst = append(dst, "null"...)
	}
	return dst, worst
}

func appendArray(dst, array []byte, depth int) ([]byte, damage) {
	worst := none
	dst = append(dst, '[')
	first := true
	if !fields(array, func(number protowire.Number, kind protowire.Type, rest []byte) int {
		if number != 1 || kind != protowire.BytesType {
			return skip(number, kind, rest)
		}
		value, n := protowire.ConsumeBytes(rest)
		if n < 0 {
			return -1
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		var damage damage
		dst, damage = appendValue(dst, value, depth+1)
		worst = max(worst, damage)
		return n
	}) {
		worst = broken
	}
	return append(dst, ']'), worst
}

// appendDouble appends a number as JSON has it; what JSON has no number for is a
// string, as in the JSON form of protobuf.
func appendDouble(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
