package dialect

// Values of OTLP in protobuf, written as JSON.

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

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
