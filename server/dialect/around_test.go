package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"logforge/codec"
)

// Bodies of a stream or resource with the labels or attributes given, and n
// records that have them.
var around = map[string]struct {
	take func(w *Writer, body []byte) error
	body func(value string, n int) []byte
}{
	"Loki in protobuf": {
		func(w *Writer, body []byte) error { return decodeLoki(w, &Request{}, body) },
		func(value string, n int) []byte {
			stream := appendProtoBytes(nil, 1, []byte(`{label="`+value+`"}`))
			entry := appendProtoBytes(nil, 2, []byte(`{"path":"/a","userAgent":"b"}`))
			for range n {
				stream = appendProtoBytes(stream, 2, entry)
			}
			return appendProtoBytes(nil, 1, stream)
		},
	},
	"Loki in JSON": {
		(*Writer).takeLokiJSON,
		func(value string, n int) []byte {
			entry := `,["1","{\"path\":\"/a\",\"userAgent\":\"b\"}"]`
			return []byte(`{"streams":[{"stream":{"label":"` + value + `"},"values":[` + strings.Repeat(entry, n)[1:] + `]}]}`)
		},
	},
	"OTLP in protobuf": {
		func(w *Writer, body []byte) error {
			return decodeOTLP(w, &Request{ContentType: []byte("application/x-protobuf")}, body)
		},
		func(value string, n int) []byte {
			resource := appendProtoBytes(nil, 1, stringPair("attribute", value))
			record := appendProtoBytes(nil, 6, stringPair("url.path", "/a"))
			var scope []byte
			for range n {
				scope = appendProtoBytes(scope, 2, record)
			}
			return appendProtoBytes(nil, 1, appendProtoBytes(appendProtoBytes(nil, 1, resource), 2, scope))
		},
	},
	"OTLP in JSON": {
		(*Writer).takeOTLPJSON,
		func(value string, n int) []byte {
			record := `,{"attributes":[{"key":"url.path","value":{"stringValue":"/a"}}]}`
			return []byte(`{"resourceLogs":[{"resource":{"attributes":[{"key":"attribute","value":{"stringValue":"` + value + `"}}]},` +
				`"scopeLogs":[{"logRecords":[` + strings.Repeat(record, n)[1:] + `]}]}]}`)
		},
	},
}

// stringPair returns a KeyValue of OTLP.
func stringPair(key, value string) []byte {
	return appendProtoBytes(appendProtoBytes(nil, 1, []byte(key)), 2, appendProtoBytes(nil, 1, []byte(value)))
}

// What is around records is worked on with each of them: a small body with
// one large label and many records must not become the work of hours.
func TestWriter_WhatStandsAroundRecordsIsBounded(t *testing.T) {
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{SentBytes: 1 << 20, RecordBytes: 1 << 18, Depth: 64},
		Shipper: true, Names: Names(codec.DefaultNames()), NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra})
	if err != nil {
		t.Fatal(err)
	}
	for what, form := range around {
		take := func(value string, n int) (seen int, err error) {
			w := GetWriter()
			defer PutWriter(w)
			w.Batch, w.Rules, w.Arrived = new(codec.Batch), rules, arrived
			w.SetAside = func([]byte, codec.RecordError) {}
			err = form.take(w, form.body(value, n))
			return w.result.records, err
		}
		const size = 1 << 20
		most := maxAround / size
		if seen, err := take(strings.Repeat("v", size), most-1); err != nil || seen != most-1 {
			t.Errorf("%s, below the limit: %d records, %v", what, seen, err)
		}
		seen, err := take(strings.Repeat("v", size), 4*most)
		var limit *codec.LimitError
		if !errors.As(err, &limit) || seen > most+1 {
			t.Errorf("%s, over the limit: %d records of at most %d, %v", what, seen, most+1, err)
		}
	}
}

// Reading labels takes memory in proportion to them, however many there are.
func TestLoki_ManyLabelsTakeNoMoreThanTheirSize(t *testing.T) {
	var labels bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&labels, `l%d="v", `, i)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	members := appendLabels(nil, append(append([]byte{'{'}, labels.Bytes()...), '}'))
	runtime.ReadMemStats(&after)
	if n := bytes.Count(members, []byte(`":"v"`)); n != 20_000 {
		t.Fatalf("%d labels", n)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 50*uint64(labels.Len()) {
		t.Fatalf("%d bytes of labels took %d bytes of memory", labels.Len(), took)
	}
}
