package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"logforge/codec"
)

// seeds adds the bodies of the samples whose names contain one of the words.
func seeds(f *testing.F, words ...string) {
	files, err := filepath.Glob("testdata/shippers/*.body")
	if err != nil || len(files) == 0 {
		f.Fatal("no samples", err)
	}
	for _, file := range files {
		for _, word := range words {
			if strings.Contains(file, word) {
				body, err := os.ReadFile(file)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(body)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{"{}", "[]", `{"a":[1,-2.5e+3,{"b":null}],"c":"\\\"x"}`, "[[[[]]]]", `{"a":1,}`, "01", "-", "1.", "tru", `"`, `"\"`, "[1 2]", "{1:2}", "  true "} {
		f.Add([]byte(s))
	}
	seeds(f, "")
	f.Fuzz(func(t *testing.T, b []byte) {
		end := valueEnd(b, space(b, 0))
		ok := end >= 0 && space(b, end) == len(b)
		want := json.Valid(b)
		if ok == want {
			return
		}
		// What it leaves to the reader of a string: escapes and control characters.
		if ok && !want && strings.ContainsAny(string(b), "\\\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f") {
			return
		}
		if ok && strings.Count(string(b), "[")+strings.Count(string(b), "{") > 9000 {
			return // encoding/json gives up at 10,000
		}
		t.Errorf("%q: %v, encoding/json says %v", b, ok, want)
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add(`plain`)
	f.Add(`a\n\t\"\\\/\b\f\r\u00e9\ud83d\ude00\ud83dx\udc00`)
	f.Add(`\u12`)
	f.Add(`\x`)
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.ContainsAny(strings.ReplaceAll(raw, `\\`, ""), `"`) || strings.IndexFunc(raw, func(r rune) bool { return r < ' ' }) >= 0 || !utf8.ValidString(raw) {
			return
		}
		var want string
		err := json.Unmarshal([]byte(`"`+raw+`"`), &want)
		got, ok := new(Writer).unescape([]byte(raw))
		if ok != (err == nil) || ok && string(got) != want {
			t.Errorf("%q: %q, %v; encoding/json says %q, %v", raw, got, ok, want, err)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add([]byte("a\"b\\c\n\r\t\x00\x1f\x7f é \xff long enough for more than one word"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got string
		if err := json.Unmarshal(appendString(nil, text), &got); err != nil || got != strings.ToValidUTF8(string(text), "\ufffd") && utf8.Valid(text) {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	})
}

func FuzzOTLPJSON(f *testing.F) {
	seeds(f, "otlp-json")
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}}]}},"attributes":null}],"scope":{"attributes":[{"key":"s","value":{"arrayValue":{"values":[{"boolValue":true},{"doubleValue":1.5}]}}}]}}],"resource":{"attributes":[{"key":"r","value":{"stringValue":"x"}}]}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, ok := parse(string(body))
		records, err := taken(t, func(w *Writer) error { return w.takeOTLPJSON(body) })
		if !ok || !utf8.Valid(body) {
			return // it must not panic, and that is all
		}
		want, wantErr := otlpJSONSafely(v)
		if wantErr != nil || err != nil {
			return // what is of another shape may be refused or passed over
		}
		for _, record := range records {
			if twice(record) { // of a name in two places the last counts
				return
			}
		}
		same(t, records, want)
	})
}

// otlpJSONSafely takes a panic of the oracle, which looks at types only as far as
// it has to, for an error.
func otlpJSONSafely(v any) (records []any, err error) {
	defer func() {
		if recover() != nil {
			err = errShape
		}
	}()
	return otlpJSONOracle(v)
}

func FuzzOTLPProto(f *testing.F) {
	seeds(f, "fluentbit-otlp")
	f.Add(otlpMessage(3))
	f.Add(deepOTLP(40))
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wantErr := otlpProtoOracle(body)
		records, err := taken(t, func(w *Writer) error {
			return decodeOTLP(w, &Request{ContentType: []byte("application/x-protobuf")}, body)
		})
		if (err == nil) != (wantErr == nil || errors.Is(wantErr, errDeep)) {
			t.Fatalf("the error is %v, the oracle's %v", err, wantErr)
		}
		if wantErr == nil {
			same(t, records, want)
		}
	})
}

func FuzzLokiJSON(f *testing.F) {
	seeds(f, "loki")
	f.Add([]byte(`{"streams":[{"values":[["1","a",{"m":"n"}],["x","y"],[1],["2","{\"a\":1}"]],"stream":{"job":"j"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		v, ok := parse(string(body))
		records, err := taken(t, func(w *Writer) error { return w.takeLokiJSON(body) })
		if !ok || err != nil || !utf8.Valid(body) {
			return
		}
		want, wantErr := lokiJSONOracle(v)
		if wantErr != nil {
			return
		}
		if len(records) != len(want) {
			t.Fatalf("%d records instead of %d: %q", len(records), len(want), records)
		}
		for i := range want {
			if want[i] == nil || twice(records[i]) {
				continue
			}
			same(t, records[i:i+1], want[i:i+1])
		}
	})
}

func FuzzLokiProto(f *testing.F) {
	f.Add(lokiMessage(2))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, wantErr := 0, error(nil)
		wantErr = each(body, 1, func(stream []byte) error {
			if err := each(stream, 1, func([]byte) error { return nil }); err != nil {
				return err
			}
			return each(stream, 2, func(entry []byte) error {
				n++
				if err := each(entry, 1, func(at []byte) error { _, err := protoFields(at); return err }); err != nil {
					return err
				}
				return each(entry, 3, func(label []byte) error { _, err := protoFields(label); return err })
			})
		})
		records, err := taken(t, func(w *Writer) error {
			return decodeLoki(w, &Request{ContentType: []byte("application/x-protobuf")}, body)
		})
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("the error is %v, the oracle's %v", err, wantErr)
		}
		if err == nil && len(records) != n {
			t.Fatalf("%d records, the oracle has %d", len(records), n)
		}
	})
}

func FuzzHEC(f *testing.F) {
	seeds(f, "splunk")
	f.Add([]byte(`{"event":"a line","time":"1.5","host":"h","fields":{"a":"b"}} {"event":{"x":[1]}}` + "\n{broken\n" + `{"time":1}[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := taken(t, func(w *Writer) error { return decodeHEC(w, nil, body) })
		if err != nil {
			t.Fatal(err)
		}
		// Of events that are all right there are as many records as events.
		d := json.NewDecoder(strings.NewReader(string(body)))
		n := 0
		for {
			var o map[string]any
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || o == nil {
				return
			}
			n++
		}
		if len(records) != n && utf8.Valid(body) {
			t.Errorf("%d records, encoding/json finds %d: %q", len(records), n, records)
		}
	})
}

// bulkOracle reads a _bulk body with encoding/json.
func bulkOracle(body string) (items []string, documents []string) {
	all := lines(body)
	action := func(line string) string {
		if twice(line) {
			return "?"
		}
		var o map[string]json.RawMessage
		if json.Unmarshal([]byte(line), &o) != nil || len(o) != 1 {
			return ""
		}
		for name, value := range o {
			var about map[string]any
			if name != "index" && name != "create" && name != "update" && name != "delete" ||
				json.Unmarshal(value, &about) != nil || about == nil {
				return ""
			}
			for key := range about {
				if !metadata([]byte(key)) {
					return ""
				}
			}
			return name
		}
		return ""
	}
	for i := 0; i < len(all); i++ {
		a := action(all[i])
		switch {
		case a == "":
			items, documents = append(items, "index"), append(documents, all[i])
		case a == "delete":
			items, documents = append(items, a), append(documents, all[i])
		case i+1 == len(all) || action(all[i+1]) != "":
			items, documents = append(items, a), append(documents, all[i])
		default:
			i++
			items, documents = append(items, a), append(documents, all[i])
		}
	}
	return items, documents
}

func FuzzBulk(f *testing.F) {
	seeds(f, "elasticsearch", "fluentbit-es")
	f.Add([]byte("{\"index\":{}}\n{\"a\":1}\n{\"delete\":{\"_id\":\"1\"}}\n{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n{\"create\":{}}\n{\"create\":{}}\r\n\r\nx\n{\"index\":{\"a\":1}}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) || strings.Contains(string(body), `\`) {
			return
		}
		wantItems, want := bulkOracle(string(body))
		var items []string
		records, err := taken(t, func(w *Writer) error {
			err := decodeBulk(w, nil, body)
			for _, item := range w.result.Items {
				items = append(items, actionNames[item.Action])
				if item.Error == "" {
					t.Error("an item without an error, and nothing was stored")
				}
			}
			return err
		})
		if err != nil || !reflect.DeepEqual(items, wantItems) || !reflect.DeepEqual(records, want) {
			for _, line := range lines(string(body)) {
				if twice(line) {
					return
				}
			}
			t.Errorf("%q, items %q, %v; want %q, %q", records, items, err, want, wantItems)
		}
	})
}

func FuzzIngest(f *testing.F) {
	seeds(f, "")
	f.Add([]byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nline\r\n--x--\r\n"))
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{SentBytes: 1 << 16, RecordBytes: 1 << 16, Depth: 64, Records: 1000},
		Shipper: true, Names: Names(codec.DefaultNames()), NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra})
	if err != nil {
		f.Fatal(err)
	}
	batch, again := new(codec.Batch), new(codec.Batch)
	types := []string{"", "application/json", "multipart/form-data; boundary=x", "application/x-protobuf", "text/plain"}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range Table {
			for _, kind := range types {
				w := GetWriter()
				aside := 0
				w.Batch, w.Rules, w.MaxRecords = batch, rules, 1000
				batch.Reset()
				w.SetAside = func([]byte, codec.RecordError) { aside++ }
				req := &Request{ContentType: []byte(kind), Query: func(string) []byte { return nil }, Arrived: arrived}
				r, err := d.Decode(w, req, body)
				if err == nil {
					if r.Accepted != w.Batch.Records() || r.Rejected != aside {
						t.Errorf("%s: accepted %d, in the batch %d; rejected %d, set aside %d", d.Route, r.Accepted, w.Batch.Records(), r.Rejected, aside)
					}
					canonical(t, w.Batch, again)
					a := d.Answer(nil, req, r)
					if len(a.Body) > maxAnswer+400 && d.Route != "/_bulk" {
						t.Errorf("%s: an answer of %d bytes", d.Route, len(a.Body))
					}
					if strings.HasSuffix(a.ContentType, "json") && !json.Valid(a.Body) {
						t.Errorf("%s: the answer is not JSON: %s", d.Route, a.Body)
					}
				}
				PutWriter(w)
			}
		}
	})
}

// canonical fails unless every line of a batch is what the codec would make of it
// again.
func canonical(t *testing.T, b, again *codec.Batch) {
	t.Helper()
	for _, run := range b.Runs() {
		for line := range bytes.Lines(b.Lines(run)) {
			if !json.Valid(line) {
				t.Errorf("a line is not JSON: %s", line)
			}
			again.Reset()
			again.AppendLines(line, codec.Limits{Depth: 1000}, func(_ []byte, e codec.RecordError) { t.Errorf("%s %s: %s", e.Field, e.Reason, line) })
			for _, run := range again.Runs() {
				if got := again.Lines(run); !bytes.Equal(got, line) {
					t.Errorf("%s becomes %s", line, got)
				}
			}
		}
	}
}

// TestDialect_TheFuzzCorpusIsThere: go test runs the kept inputs as seeds; this holds
// that they are not lost.
func TestDialect_TheFuzzCorpusIsThere(t *testing.T) {
	for _, target := range []string{
		"FuzzScan", "FuzzUnescape", "FuzzAppendString", "FuzzOTLPJSON", "FuzzOTLPProto", "FuzzLokiJSON", "FuzzLokiProto", "FuzzHEC", "FuzzBulk", "FuzzIngest",
	} {
		if files, err := os.ReadDir(filepath.Join("testdata", "fuzz", target)); err != nil || len(files) == 0 {
			t.Errorf("%s: %v", target, err)
		}
	}
}
