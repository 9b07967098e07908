package dialect

// The slow and obvious way to read what the dialects read: encoding/json into
// maps, and protobuf into a tree of fields. Tests and fuzzing compare with it.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"logforge/codec"
)

var arrived = time.Date(2026, 2, 9, 15, 23, 0, 0, time.UTC)

// object is one record as the codec gets it: its members, the last of each name.
type object = map[string]any

// taken returns the records that a dialect hands to the codec: with a codec that
// takes none, they are all set aside.
func taken(t testing.TB, take func(w *Writer) error) (records []string, err error) {
	t.Helper()
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{SentBytes: -1, RecordBytes: 1, Depth: 1000}, Shipper: true, Names: Names(codec.DefaultNames())})
	if err != nil {
		t.Fatal(err)
	}
	w := GetWriter()
	defer PutWriter(w)
	w.Batch, w.Rules, w.Arrived = new(codec.Batch), rules, arrived
	w.SetAside = func(record []byte, _ codec.RecordError) { records = append(records, string(record)) }
	err = take(w)
	return records, err
}

// parse reads JSON as encoding/json does. It reports false for what that does
// not take, and for objects with a member twice, of which the two may keep
// another one.
func parse(text string) (v any, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return v, !twice(text)
}

// twice reports whether an object in text has a member twice.
func twice(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	type level struct {
		names map[string]bool
		value bool
	}
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		if n := len(levels) - 1; n >= 0 && levels[n].names != nil && token != json.Delim('}') {
			l := &levels[n]
			if !l.value {
				if l.names[token.(string)] {
					return true
				}
				l.names[token.(string)] = true
			}
			l.value = !l.value
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}

// same reports whether the records are these objects.
func same(t testing.TB, records []string, want []any) {
	t.Helper()
	if len(records) != len(want) {
		t.Fatalf("%d records instead of %d: %q, want %v", len(records), len(want), records, want)
	}
	for i, record := range records {
		d := json.NewDecoder(strings.NewReader(record))
		d.UseNumber()
		var got any
		if err := d.Decode(&got); err != nil {
			if s, ok := want[i].(string); ok && record == s {
				continue
			}
			t.Fatalf("record %d is %q: %v, want %v", i, record, err, want[i])
		}
		if s, ok := want[i].(string); ok && record == s {
			continue
		}
		if !reflect.DeepEqual(normal(got), normal(want[i])) {
			t.Fatalf("record %d is\n%q\n%v, want\n%v", i, record, normal(got), normal(want[i]))
		}
	}
}

// normal makes values comparable: numbers as they are written, times as instants.
func normal(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for name, value := range v {
			out[valid(name)] = normal(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normal(v[i])
		}
		return out
	case json.Number:
		return "number " + v.String()
	case string:
		return valid(v)
	}
	return v
}

// valid is a text in which every byte that is no UTF-8 is U+FFFD.
func valid(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteRune(r)
	}
	return b.String()
}

// --- OTLP as JSON

func field(v any, names ...string) any {
	o, _ := v.(object)
	for _, name := range names {
		if got, ok := o[name]; ok {
			return got
		}
	}
	return nil
}

var errShape = errors.New("not of this shape")

// otlpJSONOracle returns the records of an ExportLogsServiceRequest.
func otlpJSONOracle(v any) (records []any, err error) {
	list := func(v any, names ...string) []any {
		got := field(v, names...)
		if l, ok := got.([]any); ok || got == nil {
			return l
		}
		err = errShape
		return nil
	}
	attributes := func(v any) []any {
		if v == nil {
			return nil
		}
		if _, ok := v.(object); !ok {
			err = errShape
		}
		return list(v, "attributes")
	}
	if _, ok := v.(object); !ok {
		return nil, errShape
	}
	for _, rl := range list(v, "resourceLogs", "resource_logs") {
		resource := attributes(field(rl, "resource"))
		for _, sl := range list(rl, "scopeLogs", "scope_logs") {
			scope := attributes(field(sl, "scope"))
			for _, r := range list(sl, "logRecords", "log_records") {
				if _, ok := r.(object); !ok {
					return nil, errShape
				}
				o := object{}
				body := field(r, "body")
				if m := field(body, "kvlistValue", "kvlist_value"); m != nil {
					for _, pair := range list(m, "values") {
						o[field(pair, "key").(string)] = anyJSON(field(pair, "value"))
					}
				} else if body != nil {
					o["body"] = anyJSON(body)
				}
				for _, attributes := range [][]any{resource, scope, list(r, "attributes")} {
					for _, pair := range attributes {
						o[field(pair, "key").(string)] = anyJSON(field(pair, "value"))
					}
				}
				if at := field(r, "timeUnixNano", "time_unix_nano"); at != nil && fmt.Sprint(at) != "0" && at != "" {
					o[eventTime] = at
				} else if observed := field(r, "observedTimeUnixNano", "observed_time_unix_nano"); observed != nil {
					at, ok := epochOracle(fmt.Sprint(observed))
					if _, has := o[envelopeTime]; !has && ok && !at.IsZero() {
						o[envelopeTime] = at.UTC().Format(time.RFC3339Nano)
					}
					if !ok {
						o[observedTime] = observed
					}
				}
				records = append(records, o)
			}
		}
	}
	return records, err
}

var plainNumber = regexp.MustCompile(`^\d+(\.\d*)?$`)

// epochOracle reads a time since 1970 in the unit that its size tells, digits past
// the nanosecond left out. ok is false for what is no plain number below 2^63, and
// the zero time is none.
func epochOracle(text string) (at time.Time, ok bool) {
	if text = strings.Trim(text, `"`); text == "" || text == "<nil>" || text == "null" {
		return at, true
	}
	n, _ := new(big.Rat).SetString(strings.TrimSuffix(text, "."))
	if n == nil || !plainNumber.MatchString(text) || n.Cmp(big.NewRat(1<<63-1, 1)) > 0 {
		return at, false
	}
	if n.Cmp(big.NewRat(1, 1)) < 0 {
		return at, true
	}
	nanos := big.NewRat(1, 1) // in one unit
	for _, unit := range []struct{ below, nanos int64 }{{1e11, 1e9}, {1e14, 1e6}, {1e17, 1e3}} {
		if n.Cmp(big.NewRat(unit.below, 1)) < 0 {
			nanos.SetInt64(unit.nanos)
			break
		}
	}
	n.Mul(n, nanos)
	whole := new(big.Int).Quo(n.Num(), n.Denom())
	seconds, rest := new(big.Int).QuoRem(whole, big.NewInt(1e9), new(big.Int))
	return time.Unix(seconds.Int64(), rest.Int64()), true
}

func anyJSON(v any) any {
	o, _ := v.(object)
	for name, value := range o {
		switch name {
		case "stringValue", "bytesValue", "boolValue", "doubleValue":
			return value
		case "intValue":
			return json.Number(fmt.Sprint(value))
		case "arrayValue":
			list := []any{}
			for _, element := range field(value, "values").([]any) {
				list = append(list, anyJSON(element))
			}
			return list
		case "kvlistValue":
			m := object{}
			for _, pair := range field(value, "values").([]any) {
				m[field(pair, "key").(string)] = anyJSON(field(pair, "value"))
			}
			return m
		}
	}
	return nil
}

// --- Loki

func lokiJSONOracle(v any) (records []any, err error) {
	if _, ok := v.(object); !ok {
		return nil, errShape
	}
	streams, ok := field(v, "streams").([]any)
	if !ok && field(v, "streams") != nil {
		return nil, errShape
	}
	for _, stream := range streams {
		if _, ok := stream.(object); !ok {
			return nil, errShape
		}
		values, ok := field(stream, "values").([]any)
		if !ok && field(stream, "values") != nil {
			return nil, errShape
		}
		for _, entry := range values {
			parts, ok := entry.([]any)
			if !ok {
				return nil, errShape
			}
			line, ok := "", false
			if len(parts) >= 2 {
				line, ok = parts[1].(string)
			}
			if !ok {
				records = append(records, entry)
				continue
			}
			o := object{}
			if at, ok := epochOracle(fmt.Sprint(parts[0])); !ok {
				o[envelopeTime] = parts[0]
			} else if !at.IsZero() {
				o[envelopeTime] = at.UTC().Format(time.RFC3339Nano)
			}
			labels, _ := field(stream, "stream").(object)
			for name, value := range labels {
				o[name] = value
			}
			if len(parts) > 2 {
				meta, _ := parts[2].(object)
				for name, value := range meta {
					o[name] = value
				}
			}
			records = append(records, whole(o, line))
		}
	}
	return records, nil
}

// whole is a line with what was around it.
func whole(o object, line string) any {
	if len(o) == 0 {
		return line
	}
	if strings.HasPrefix(strings.TrimLeft(line, " \n\r\t"), "{") {
		return nil // the members are put into the text, whatever it is
	}
	o[lineName] = line
	return o
}

func lines(text string) (all []string) {
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\xef\xbb\xbf"), "\n") {
		if line = string(bytes.TrimSpace([]byte(line))); line != "" {
			all = append(all, line)
		}
	}
	return all
}
