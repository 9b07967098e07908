package dialect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// --- protobuf as a tree

// protoField is one field of a message: a number, or bytes.
type protoField struct {
	number int
	v      uint64
	bytes  []byte
	kind   protowire.Type
}

func protoFields(message []byte) (list []protoField, err error) {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		f := protoField{number: int(number), kind: kind}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return nil, protowire.ParseError(n)
		}
		switch kind {
		case protowire.VarintType:
			f.v, _ = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.v, _ = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.bytes, _ = protowire.ConsumeBytes(message)
		}
		list = append(list, f)
		message = message[n:]
	}
	return list, nil
}

// each calls f with the messages in one field of a message.
func each(message []byte, number int, f func([]byte) error) error {
	list, err := protoFields(message)
	for i := 0; err == nil && i < len(list); i++ {
		if list[i].number == number && list[i].kind == protowire.BytesType {
			err = f(list[i].bytes)
		}
	}
	return err
}

// deepValue is what a value is that is nested more deeply than it may be.
var errDeep = errors.New("nested too deeply")

func pairsOracle(o object, message []byte, number, depth int) error {
	var deep error
	err := each(message, number, func(pair []byte) error {
		list, err := protoFields(pair)
		if err != nil {
			return err
		}
		var key, value []byte
		for _, f := range list {
			if f.kind == protowire.BytesType && f.number == 1 {
				key = f.bytes
			}
			if f.kind == protowire.BytesType && f.number == 2 {
				value = f.bytes
			}
		}
		v, err := valueOracle(value, depth+1)
		if errors.Is(err, errDeep) {
			deep = err
			return nil
		}
		o[string(key)] = v
		return err
	})
	return errors.Join(err, deep)
}

func valueOracle(message []byte, depth int) (v any, err error) {
	if depth > maxValueDepth {
		return nil, errDeep
	}
	list, err := protoFields(message)
	if err != nil {
		return nil, err
	}
	var deep error
	for _, f := range list {
		switch {
		case f.number == 1 && f.kind == protowire.BytesType:
			v = string(f.bytes)
		case f.number == 2 && f.kind == protowire.VarintType:
			v = f.v != 0
		case f.number == 3 && f.kind == protowire.VarintType:
			v = json.Number(strconv.FormatInt(int64(f.v), 10))
		case f.number == 4 && f.kind == protowire.Fixed64Type:
			d := math.Float64frombits(f.v)
			v = json.Number(strconv.FormatFloat(d, 'g', -1, 64))
			if math.IsNaN(d) || math.IsInf(d, 0) {
				v = map[bool]string{true: "NaN"}[math.IsNaN(d)]
				if math.IsInf(d, 1) {
					v = "Infinity"
				}
				if math.IsInf(d, -1) {
					v = "-Infinity"
				}
			}
		case f.number == 5 && f.kind == protowire.BytesType:
			all := []any{}
			err := each(f.bytes, 1, func(element []byte) error {
				e, err := valueOracle(element, depth+1)
				if errors.Is(err, errDeep) {
					deep, err = err, nil
				}
				all = append(all, e)
				return err
			})
			if err != nil {
				return nil, err
			}
			v = all
		case f.number == 6 && f.kind == protowire.BytesType:
			m := object{}
			if err := pairsOracle(m, f.bytes, 1, depth); errors.Is(err, errDeep) {
				deep = err
			} else if err != nil {
				return nil, err
			}
			v = m
		case f.number == 7 && f.kind == protowire.BytesType:
			v = base64.StdEncoding.EncodeToString(f.bytes)
			if utf8.Valid(f.bytes) {
				v = string(f.bytes)
			}
		}
	}
	return v, deep
}

// otlpProtoOracle returns the records of an ExportLogsServiceRequest. One that is
// nested too deeply is its own bytes.
func otlpProtoOracle(body []byte) (records []any, err error) {
	err = each(body, 1, func(rl []byte) error {
		resource := object{}
		if err := each(rl, 1, func(m []byte) error { return pairsOracle(resource, m, 1, 0) }); err != nil {
			return err
		}
		return each(rl, 2, func(sl []byte) error {
			scope := object{}
			if err := each(sl, 1, func(m []byte) error { return pairsOracle(scope, m, 3, 0) }); err != nil {
				return err
			}
			return each(sl, 2, func(record []byte) error {
				o, err := recordOracle(record, resource, scope)
				if errors.Is(err, errDeep) {
					records = append(records, string(record))
					return nil
				}
				records = append(records, o)
				return err
			})
		})
	})
	return records, err
}

func recordOracle(record []byte, resource, scope object) (object, error) {
	list, err := protoFields(record)
	if err != nil {
		return nil, err
	}
	o := object{}
	var at, observed uint64
	var body []byte
	for _, f := range list {
		switch {
		case f.number == 1 && f.kind == protowire.Fixed64Type:
			at = f.v
		case f.number == 11 && f.kind == protowire.Fixed64Type:
			observed = f.v
		case f.number == 5 && f.kind == protowire.BytesType:
			body = f.bytes
		}
	}
	var deep error
	if body != nil {
		v, err := valueOracle(body, 1)
		if errors.Is(err, errDeep) {
			deep = err
		} else if err != nil {
			return nil, err
		}
		if m, ok := v.(object); ok {
			for name, value := range m {
				o[name] = value
			}
		} else {
			o[bodyName] = v
		}
	}
	for _, attributes := range []object{resource, scope} {
		for name, value := range attributes {
			o[name] = value
		}
	}
	if err := pairsOracle(o, record, 6, 0); errors.Is(err, errDeep) {
		deep = err
	} else if err != nil {
		return nil, err
	}
	switch {
	case at != 0:
		o[eventTime] = json.Number(strconv.FormatUint(at, 10))
	case observed != 0:
		at, ok := epochOracle(strconv.FormatUint(observed, 10))
		if _, has := o[envelopeTime]; !has && ok {
			o[envelopeTime] = at.UTC().Format(time.RFC3339Nano)
		}
		if !ok {
			o[observedTime] = json.Number(strconv.FormatUint(observed, 10))
		}
	}
	return o, deep
}
