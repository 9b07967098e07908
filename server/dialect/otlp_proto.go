package dialect

// OTLP as protobuf, read with protowire: of the messages ExportLogsServiceRequest,
// ResourceLogs, ScopeLogs, LogRecord, AnyValue and KeyValue the few fields that
// are needed; others are passed over, whatever they are.

import (
	"time"

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
	*attributes, w.aroundKnown = (*attributes)[:0], false
	unfit := &w.unfit[0]
	if attributes == &w.scope {
		unfit = &w.unfit[1]
	}
	*unfit = false
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
			if *unfit = *unfit || w.tooLarge(len(holder)); *unfit {
				return n
			}
			dst, damage := appendPair(append(*attributes, ','), pair, 0)
			switch damage {
			case broken:
				return -1
			case tooDeep:
				*unfit, dst = true, dst[:0]
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
	if !w.carry() {
		return true
	}
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
	switch {
	case !whole:
		return false
	case w.tooLarge(len(record)):
		w.reject(record, w.sizeReason(len(record)))
		return true
	case w.unfit != [2]bool{}:
		w.reject(record, aroundReason)
		return true
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
		var known bool
		if shipped, known = epochOf(observed); !known {
			dst = appendUint(dst, observedTime, observed) // the codec says what is wrong with it
		}
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
	line, ok := onlyString(body)
	if w.Fields == nil || !ok || startsObject(line) {
		return false
	}
	around, ok := w.plainAround()
	if !ok {
		return false
	}
	extra := append(w.object[:0], around...)
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
	shipped, known := epochOf(at)
	if !known {
		return false
	}
	w.add(line, shipped, extra)
	return true
}

// epochOf is epoch for a number of nanoseconds, or of what it is by its magnitude.
func epochOf(n uint64) (at time.Time, ok bool) {
	switch {
	case n == 0:
		return at, true
	case n < 1e11:
		return time.Unix(int64(n), 0), true
	case n < 1e14:
		return time.UnixMilli(int64(n)), true
	case n < 1e17:
		return time.UnixMicro(int64(n)), true
	}
	return time.Unix(0, int64(n)), n < 1<<63
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
