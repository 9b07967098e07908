package dialect

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"logforge/codec"
)

// stored returns the lines that an OTLP body becomes, and what is set aside. Without
// fields the short way is not taken.
func stored(t testing.TB, kind string, body []byte, fields FieldSet) (all []string) {
	t.Helper()
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{SentBytes: 1 << 20, RecordBytes: 1 << 20, Depth: 64},
		Shipper: true, Names: Names(codec.DefaultNames()), NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra})
	if err != nil {
		t.Fatal(err)
	}
	w := GetWriter()
	defer PutWriter(w)
	w.Batch, w.Rules, w.Arrived, w.Fields = new(codec.Batch), rules, arrived, fields
	w.SetAside = func([]byte, codec.RecordError) { all = append(all, "set aside") }
	if err := decodeOTLP(w, &Request{ContentType: []byte(kind)}, body); err != nil {
		return []string{"refused"}
	}
	for _, run := range w.Batch.Runs() {
		all = append(all, strings.SplitAfter(string(w.Batch.Lines(run)), "\n")...)
	}
	return all
}

// bothWays compares the short way with the one that every record can go.
func bothWays(t testing.TB, kind string, body []byte) {
	t.Helper()
	short, long := stored(t, kind, body, NewFieldSet(Names(codec.DefaultNames()))), stored(t, kind, body, nil)
	if strings.Join(short, "") != strings.Join(long, "") {
		t.Errorf("%s, %q becomes\n%sby the short way, and\n%sby the long one", kind, body, strings.Join(short, ""), strings.Join(long, ""))
	}
}

// otlpAround returns a body with the attributes of resource and scope around two lines,
// in both encodings. Those that end in a colon have a number.
func otlpAround(resource, scope, record []string) (json, proto []byte) {
	inJSON := func(pairs []string) string {
		var all []string
		for _, key := range pairs {
			value := `{"stringValue":"a \"b\"\n\b\u001f"}`
			if name, isNumber := strings.CutSuffix(key, ":"); isNumber {
				key, value = name, `{"intValue":"7"}`
			}
			all = append(all, fmt.Sprintf(`{"key":%q,"value":%s}`, key, value))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	inProto := func(dst []byte, number protowire.Number, pairs []string) []byte {
		for _, key := range pairs {
			pair := stringPair(key, "a \"b\"\n\b\x1f")
			if name, isNumber := strings.CutSuffix(key, ":"); isNumber {
				pair = appendProtoBytes(appendProtoBytes(nil, 1, []byte(name)), 2, appendProtoUint(nil, 3, 7))
			}
			dst = appendProtoBytes(dst, number, pair)
		}
		return dst
	}
	line := `{"body":{"stringValue":"` + strings.ReplaceAll(accessLine, `"`, `\"`) + `"},"attributes":` + inJSON(record) + `}`
	json = []byte(`{"resourceLogs":[{"resource":{"attributes":` + inJSON(resource) + `},"scopeLogs":[{"scope":{"attributes":` + inJSON(scope) + `},"logRecords":[` +
		line + "," + line + `]},{"logRecords":[` + line + `]}]}]}`)
	message := inProto(appendProtoBytes(nil, 5, appendProtoBytes(nil, 1, []byte(accessLine))), 6, record)
	first := appendProtoBytes(nil, 1, inProto(nil, 3, scope))
	first = appendProtoBytes(appendProtoBytes(first, 2, message), 2, message)
	logs := appendProtoBytes(nil, 1, inProto(nil, 1, resource))
	logs = appendProtoBytes(appendProtoBytes(logs, 2, first), 2, appendProtoBytes(nil, 2, message))
	return json, appendProtoBytes(nil, 1, logs)
}

func TestOTLP_WhatStandsAroundALineIsTheSameByTheShortWay(t *testing.T) {
	for _, resource := range [][]string{nil, {"service.name"}, {"service.name", "host"}, {"n:"}, {"path"}, {"User_Agent"}, {"time_unix_nano"}, {"service.name", "url.path"}, {"a\"b"}, {"é"}} {
		for _, scope := range [][]string{nil, {"library"}, {"library", "n:"}, {"timestamp"}, {"service.name"}} {
			for _, record := range [][]string{nil, {"log.file.name"}, {"n:"}, {"library"}} {
				json, proto := otlpAround(resource, scope, record)
				bothWays(t, typeJSON, json)
				bothWays(t, typeProtobuf, proto)
				a, b := stored(t, typeJSON, json, nil), stored(t, typeProtobuf, proto, nil)
				if strings.Join(a, "") != strings.Join(b, "") {
					t.Errorf("%q %q %q:\n%sin JSON\n%sin protobuf", resource, scope, record, a, b)
				}
			}
		}
	}
}

// FuzzOTLPShort: the short way makes of each body what the long one makes of it.
func FuzzOTLPShort(f *testing.F) {
	json, proto := otlpAround([]string{"service.name", "host"}, []string{"library"}, []string{"log.file.name"})
	f.Add(true, json)
	f.Add(false, proto)
	f.Add(false, otlpMessage(2))
	f.Fuzz(func(t *testing.T, isJSON bool, body []byte) {
		kind := typeProtobuf
		if isJSON {
			kind = typeJSON
		}
		bothWays(t, kind, body)
	})
}
