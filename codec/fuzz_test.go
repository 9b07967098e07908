package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gojson "github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"

	"logforge/bench/corpus"
	"logforge/codec"
)

// Differential fuzzing: the same outcome and the same bytes as the slow
// opinion of oracle_test.go. What the fuzzer found is kept in testdata/fuzz.

var seeds = []string{
	`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0"}`,
	`[{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0 (X11; Linux x86_64)"},{"timestamp":"2026-02-09T14:59:59.5Z","path":"/\u00fcber\/x","userAgent":"curl/8.0 \"quoted\" \\"}]`,
	"{\"timestamp\":\"2026-02-09T15:23:00Z\",\"path\":\"/a\",\"userAgent\":\"b\"}\r\n{\"userAgent\":\"b\",\"path\":\"/ö\",\"timestamp\":\"2026-02-09t17:23:00.120+02:00\"}",
	`{"timestamp":"2026-02-09T15:23:00.123456789Z","path":"/a","userAgent":"b","extra":[1,-2.5e+3,{"a":[true,false,null]},"\ud83d\ude00"],"path":"/last"}{}`,
	"[1,null,{\"timestamp\":1},\n{\"path\" : \"\x01\"}]",
	"timestamp,path,userAgent\n2026-02-09T15:23:00Z,/home,\"Mozilla/5.0 (KHTML, like Gecko) \"\"x\"\"\"\n",
	"userAgent,timestamp,x,path\r\n\"a\r\nb\",2026-02-09T15:23:00+01:00,,/\\p\r\n\r\nbad\r\n",
	"2026-02-09T15:23:00Z,/home,a\"b\n2026-02-09T15:23:00Z,\"/home\"x,b\n2026-02-09T15:23:00Z,/home,\"b",
	"\xef\xbb\xbf[]", "", " ", "[", "{", `{"a":"\ud800"}`, "\"\n",
	"path,timestamp,userAgent,path\n/first,2026-02-09T15:23:00Z,u,/page/of/somebody\n/first,2026-02-09T15:23:00Z,u,/page/of/somebody\n",
}

func addSeeds(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	recs := corpus.Records(3, 60, 3)
	for _, form := range corpus.Forms {
		f.Add(form.Append(nil, recs[:3]))
		f.Add(form.Append(nil, recs))
	}
}

func differ(t *testing.T, got, want outcome) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{}, line{}, mistake{})); diff != "" {
		t.Fatalf("(-slow +codec)\n%s", diff)
	}
}

const depth = 5

// used has decoded whatever came before, as batches from the pool have.
var used codec.Batch

func decode(body []byte, f codec.Format) outcome {
	var b codec.Batch
	before := bytes.Clone(body)
	v := decoded(&b, b.Decode(body, f, codec.Limits{Depth: depth}))
	if again := decoded(&used, used.Decode(body, f, codec.Limits{Depth: depth})); !same(v, again) {
		panic(fmt.Sprintf("%+v, and in a batch used before %+v", v, again))
	}
	if !bytes.Equal(before, body) {
		panic("the body was written to")
	}
	return v
}

func FuzzJSON(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if nestedTooDeepForThem(body) {
			return
		}
		got := decode(body, codec.JSON)
		differ(t, got, expect(body, codec.JSON, depth).grouped())
		secondOpinion(t, body, got)
	})
}

// nestedTooDeepForThem: encoding/json and goccy give up 10,000 levels deep, by
// calling it a syntax error; here the depth is a limit like others, and the
// scan goes on.
func nestedTooDeepForThem(body []byte) bool {
	return bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > 9000
}

// secondOpinion asks goccy/go-json too. It is asked about arrays that we take
// only, since it is known to be lenient: it takes control characters within
// strings, numbers such as 01 and 1., and what follows a value unseparated. It
// also keeps invalid UTF-8 and makes other things of lone surrogates.
func secondOpinion(t *testing.T, body []byte, got outcome) {
	body = bytes.TrimPrefix(body, mark)
	if got.count > 0 || body[0] != '[' || !utf8.Valid(body) || bytes.Contains(bytes.ToLower(body), []byte(`\ud`)) {
		return
	}
	var values []map[string]any
	dec := gojson.NewDecoder(bytes.NewReader(body))
	dec.UseNumber() // 1e999 is JSON, and no float64
	if err := dec.Decode(&values); err != nil {
		t.Fatalf("goccy/go-json: %v", err)
	}
	var v outcome
	for _, value := range values {
		var text [3]*string
		for i, name := range []string{"timestamp", "path", "userAgent"} {
			if s, ok := value[name].(string); ok {
				text[i] = &s
			}
		}
		v.put(text[0], text[1], text[2])
	}
	differ(t, got, v.grouped())
}

func FuzzNDJSON(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		if nestedTooDeepForThem(body) {
			return
		}
		differ(t, decode(body, codec.NDJSON), expect(body, codec.NDJSON, depth).grouped())
	})
}

func FuzzCSV(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		got, want := decode(body, codec.CSV), expect(body, codec.CSV, depth).grouped()
		// encoding/csv makes one newline of every line end, here they are kept
		// within quotes (RFC 4180 counts them as data).
		unify(t, got.lines)
		unify(t, want.lines)
		differ(t, got, want)
	})
}

// unify writes every line again with its CRLFs made newlines.
func unify(t *testing.T, lines []line) {
	for i, l := range lines {
		var r struct{ Timestamp, Path, UserAgent string }
		if err := json.Unmarshal([]byte(l.text), &r); err != nil {
			t.Fatalf("%q: %v", l.text, err)
		}
		at, err := time.Parse(time.RFC3339Nano, r.Timestamp)
		if err != nil {
			t.Fatal(err)
		}
		lf := strings.NewReplacer("\r\n", "\n").Replace
		if text := canonical(at, r.Path, r.UserAgent); text != l.text {
			t.Fatalf("%q is not canonical, that is %q", l.text, text)
		}
		lines[i].text = canonical(at, lf(r.Path), lf(r.UserAgent))
	}
}

func FuzzTimestamp(f *testing.F) {
	for _, s := range []string{
		"2026-02-09T15:23:00Z", "2026-02-09t15:23:00z", "2026-02-09T15:23:00.120Z", "2026-02-09T15:23:00.123456789+05:30",
		"2026-02-09T15:23:00.1234567890Z", "2024-02-29T23:59:59-23:59", "2023-02-29T00:00:00Z", "2016-12-31T23:59:60Z",
		"0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
		"2026-02-09T5:23:00Z", "2026-02-09T15:23:00,5Z", "2026-02-09T15:23:00+24:00", "2026-02-09T15:23:00+01:60", "1970-01-01T00:59:60+01:00",
		"2026-02-09 15:23:00Z", "2026-02-09T15:23:00", "2026-02-09T15:23:00.Z", "2026-02-09T24:00:00Z", "1900-02-29T00:00:00Z", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s)) // RFC 3339 5.6 allows t and z, time.Parse does not
		known := !rfc3339.MatchString(s)                              // time.Parse also takes hours of one digit, a comma, offsets up to 24:60, more digits than it keeps
		if year := want.UTC().Year(); err == nil && (year < 0 || year > 9999) {
			known = true // no such year can be written
		}
		body, _ := json.Marshal([]map[string]string{{"timestamp": s, "path": "/", "userAgent": "-"}})
		var b codec.Batch
		switch refused := b.Decode(body, codec.JSON, codec.Limits{}); {
		case refused == nil && (err != nil || known):
			t.Fatalf("%q is taken; time.Parse: %v", s, err)
		case refused != nil && err == nil && !known:
			t.Fatalf("%q: %v; time.Parse takes it", s, refused)
		case refused == nil:
			differ(t, decoded(&b, nil), outcome{records: 1, lines: []line{{codec.HourOf(want), canonical(want, "/", "-")}}})
		}
	})
}

// FuzzAuto: whatever is sent, with every form guessed at, there is no panic,
// and what comes out is canonical: decoded again it is the same.
func FuzzAuto(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var b, again codec.Batch
		if b.Decode(body, codec.Auto, codec.Limits{Records: 50, RecordBytes: 400, Depth: depth}) != nil {
			return
		}
		var lines []byte
		for _, r := range b.Runs() {
			lines = append(lines, b.Lines(r)...)
		}
		if len(lines) == 0 {
			return
		}
		if err := again.Decode(lines, codec.NDJSON, codec.Limits{}); err != nil {
			t.Fatal(err)
		}
		differ(t, decoded(&again, nil), decoded(&b, nil))
	})
}

// FuzzAppendLines: what is appended, in pieces, is what the lines that are good
// come to one by one.
func FuzzAppendLines(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), []byte(seeds[0]))
	}
	recs := corpus.Records(3, 60, 3)
	for _, form := range corpus.Forms {
		f.Add(form.Append(nil, recs[:7]), form.Append(nil, recs))
	}
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var want outcome
		var bad [][]byte
		for _, body := range [][]byte{one, two} {
			index := 0
			for _, l := range bytes.Split(bytes.TrimPrefix(body, mark), []byte("\n")) {
				if l = bytes.Trim(l, " \t\r"); len(l) == 0 {
					continue
				}
				v := decode(append([]byte("\n"), l...), codec.NDJSON) // the newline: only a body may begin with a mark
				want.lines = append(want.lines, v.lines...)
				if want.records += v.records; v.count > 0 {
					want.records--
					want.errs = append(want.errs, mistake{index, v.errs[0].field})
					bad = append(bad, l)
				}
				index++
			}
		}
		b := &used
		b.Reset()
		var errs []mistake
		for _, body := range [][]byte{one, two} {
			b.AppendLines(body, codec.Limits{Depth: depth}, func(line []byte, e codec.RecordError) {
				if n := len(errs); n == len(bad) || !bytes.Equal(line, bad[n]) {
					t.Fatalf("bad line %d is %q", n, line)
				}
				errs = append(errs, mistake{e.Index, e.Field})
			})
		}
		got := decoded(b, nil)
		got.errs = errs
		differ(t, got, want.grouped())
	})
}

// TestTheFuzzCorpusIsThere: go test runs the kept corpus as seeds; this holds
// that it is not lost.
func TestTheFuzzCorpusIsThere(t *testing.T) {
	for _, target := range []string{
		"FuzzJSON", "FuzzNDJSON", "FuzzCSV", "FuzzTimestamp", "FuzzAuto", "FuzzAppendLines",
		"FuzzShipper", "FuzzLine", "FuzzMoment", "FuzzObject", "FuzzShipperCSV",
	} {
		if files, err := os.ReadDir(filepath.Join("testdata", "fuzz", target)); err != nil || len(files) == 0 {
			t.Errorf("%s: %v", target, err)
		}
	}
}
