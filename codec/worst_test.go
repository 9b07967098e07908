package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"logforge/codec"
)

// Bodies that a careless loop would take forever for: each is a pattern that
// repeats to the size wanted. The time may grow with the size and not faster:
//
//	go test -run '^$' -bench Worst -benchtime 1x ./codec
//
// shows about the same megabytes a second for each size.
var worstBodies = []struct{ name, head, unit, tail string }{
	{"empty lines", "", "\n", ""},
	{"blank lines", "", " \r\n", ""},
	{"spaces", "", " ", ""},
	{"open braces", "", `{"a":`, ""},
	{"open braces in lines", "", `{"a":` + "\n", ""},
	{"open objects with an array", "[", `{"a":[{},`, ""},
	{"open objects with an array, in lines", "", `{"a":[` + "\n", ""},
	{"open brackets", "", "[", ""},
	{"open brackets in lines", "", "[\n", ""},
	{"open brackets behind a line", "x\n", "[1,\n", ""},
	{"braces and commas", "[", "{,", ""},
	{"open strings", "", "{\"a\n", ""},
	{"open strings, in an array", "[", `{"a":"},`, ""},
	{"quotes", "", `"`, ""},
	{"backslashes", `{"path":"`, `\\`, ""},
	{"members", `{"path":"/x","userAgent":"y"`, `,"a":1`, "}"},
	{"members with spaces", `{"path":"/x","userAgent":"y"`, ` , "a" : 1`, "}"},
	{"members of one name", `{"userAgent":"y"`, `,"path":"/x"`, "}"},
	{"lines in members", `{"a":1`, `,"log":"x"`, "}"},
	{"names that are nearly known", `{"path":"/x"`, `,"request":{"headers":{"User-Agent":[]}}`, "}"},
	{"deep names", `{"path":"/x","request":`, `{"headers":`, ""},
	{"wrappers", "", `{"logs":[{"path":"/x"}]}`, ""},
	{"wrappers within wrappers", "", `{"logs":[`, ""},
	{"wrappers behind something", "", `{"a":1,"logs":[{"path":"/x"}]}`, ""},
	{"brackets in a line", "", "[1 ", ""},
	{"times in a line", "x", " [1", ""},
	{"quotes in a line", combined1[:50], `" `, ""},
	{"escaped quotes in a line", combined1[:50], `\" `, ""},
	{"lines", "", combined1 + "\n", ""},
	{"lines that break off", "", combined1[:len(combined1)-1] + "\n", ""},
	{"lines of many hours", "", "hours", ""},
	{"columns", "path", ",a", "\n"},
	{"columns of one name", "path", ",path", "\n"},
	{"rows with quotes", "path,userAgent\n", "\"x\n", ""},
	{"rows with too many fields", "path,userAgent\n", ",", "\n"},
	{"extended columns", "#Fields: cs-uri-stem", " a", "\n"},
	{"extended directives", "", "#Fields: a b c\n", ""},
	{"Influx tags", "m", ",a=b", " f=1"},
	{"Influx fields", "m f=1", ",a=b", ""},
	{"Influx backslashes", "m ", `\=`, ""},
	{"zero bytes", "", "\x00", ""},
	{"bytes that are no UTF-8", "", "\xff", ""},
	{"digits", `{"path":"/x","ts":`, "1", "}"},
	{"a path of a URL", `{"path":"a:`, "/", `"}`},
	{"spaces in a request", `{"request":"GET`, " ", `"}`},
	{"long blank value", `{"path":"`, `\t`, `"}`},
}

// worst is a body of about n bytes.
func worst(i, n int) []byte {
	w := worstBodies[i]
	if w.unit == "hours" {
		var s strings.Builder
		for k := 0; s.Len() < n; k++ {
			fmt.Fprintf(&s, "h - - [%02d/May/%04d:%02d:05:03 +0000] \"GET / HTTP/1.1\" 200 1\n", 1+k*7%28, 1000+k*13%9000, k*5%24)
		}
		return []byte(s.String())
	}
	return []byte(w.head + strings.Repeat(w.unit, (n-len(w.head)-len(w.tail))/len(w.unit)) + w.tail)
}

func decodeWorst(tb testing.TB, body []byte, limits codec.Limits) {
	var b codec.Batch
	limits.Depth = 64
	for _, shipper := range []bool{true, false} {
		o := codec.Options{Shipper: shipper, NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra, Limits: limits}
		size := 0
		_ = b.DecodeWith(body, codec.Auto, rules(tb, o), arrival, func(record []byte, _ codec.RecordError) { size += len(record) })
		_ = b.DecodeWith(body, codec.Auto, rules(tb, o), arrival, nil)
		if size > len(body)+1024 {
			tb.Errorf("%d bytes of %d are set aside", size, len(body))
		}
	}
	for _, f := range []codec.Format{codec.JSON, codec.NDJSON, codec.CSV} {
		_ = b.Decode(body, f, limits)
	}
	b.Reset()
	b.AppendLines(body, limits, setAside)
}

// TestWorstBodies_AreDecodedInTimeThatGrowsWithTheirSize: a loop over a loop
// would take minutes for one of them, and the test would not end.
func TestWorstBodies_AreDecodedInTimeThatGrowsWithTheirSize(t *testing.T) {
	for i, w := range worstBodies {
		t.Run(w.name, func(t *testing.T) {
			decodeWorst(t, worst(i, 256<<10), codec.Limits{})
			decodeWorst(t, worst(i, 256<<10), codec.Limits{Records: 100_000, RecordBytes: 256 << 10, SentBytes: 2 << 20, Hours: 10_000})
		})
	}
}

func BenchmarkWorst(b *testing.B) {
	for i, w := range worstBodies {
		for _, mib := range []int{2, 32} {
			body := worst(i, mib<<20)
			b.Run(fmt.Sprintf("%s/mib=%d", strings.ReplaceAll(w.name, " ", "-"), mib), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					decodeWorst(b, body, codec.Limits{Records: 100_000, RecordBytes: 256 << 10, SentBytes: 2 << 20, Hours: 10_000})
				}
			})
		}
	}
}
