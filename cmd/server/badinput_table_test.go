package main

// What is sent by every route: ways to frame records, records that are bad, bodies
// that are broken.

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// way is one way in: a route, and how records are written in a body of it.
type way struct {
	name, target, kind string
	frame              func(records []string) string
	compressed         bool // by itself, so that no other compression is tried
	whole              bool // a body that is cut short is refused as a whole
}

// jsonText is a JSON string with the bytes of text: what is no UTF-8 stays so.
func jsonText(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// each returns the records, each within what is around it, with a text between them.
func each(records []string, before, between, after string, quote func(string) string) string {
	all := make([]string, len(records))
	for i, r := range records {
		if quote != nil {
			r = quote(r)
		}
		all[i] = before + r + after
	}
	return strings.Join(all, between)
}

// field is a field of a protobuf message that holds bytes.
func field(number protowire.Number, value string) string {
	return string(protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), []byte(value)))
}

// jsonValue is a record as it is if it is JSON, or else as a string.
func jsonValue(r string) string {
	if json.Valid([]byte(r)) {
		return r
	}
	return jsonText(r)
}

var ways = []way{
	{name: "lines", target: "/ingest", frame: func(r []string) string { return strings.Join(r, "\n") + "\n" }},
	{name: "lines at /", target: "/", kind: "application/x-www-form-urlencoded", frame: func(r []string) string { return strings.Join(r, "\r\n") }},
	{name: "array", target: "/ingest", kind: "application/json", frame: func(r []string) string { return "[" + each(r, "", ",", "", jsonValue) + "]" }},
	{name: "wrapped", target: "/ingest", frame: func(r []string) string {
		return `{"logs":[` + each(r, `{"date":1.5,"log":`, ",", "}", jsonText) + "]}"
	}},
	{name: "objects", target: "/ingest", frame: func(r []string) string { return each(r, `{"message":`, "\n", "}", jsonText) }},
	{name: "CSV", target: "/ingest", kind: "text/csv", frame: func(r []string) string {
		return "timestamp,message\n" + each(r, `1431857103,"`, "\n", `"`, func(s string) string { return strings.ReplaceAll(s, `"`, `""`) })
	}},
	{name: "the strict endpoint", target: "/logs?invalid=set-aside", kind: "application/x-ndjson", frame: func(r []string) string {
		all := make([]string, len(r))
		for i := range r { // its good records have another form
			if all[i] = r[i]; strings.Contains(r[i], "/neighbour/") {
				all[i] = fmt.Sprintf(`{"timestamp":"2026-02-09T15:23:00Z","path":"%s","userAgent":"x"}`, strings.Fields(r[i])[6])
			}
		}
		return strings.Join(all, "\n")
	}},
	{name: "_bulk", target: "/_bulk", kind: "application/x-ndjson", frame: func(r []string) string {
		return each(r, "{\"create\":{}}\n{\"message\":", "\n", "}\n", jsonText)
	}},
	{name: "_bulk of what it is", target: "/x/_bulk", kind: "application/x-ndjson", frame: func(r []string) string { return each(r, "{\"index\":{}}\n", "\n", "", nil) }},
	{name: "OTLP", target: "/v1/logs", kind: "application/x-protobuf", whole: true, frame: func(r []string) string {
		return field(1, field(2, each(r, "", "", "", func(s string) string { return field(2, field(5, field(1, s))) })))
	}},
	{name: "OTLP JSON", target: "/otlp/v1/logs", kind: "application/json", whole: true, frame: func(r []string) string {
		return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + each(r, `{"body":{"stringValue":`, ",", "}}", jsonText) + `]}]}]}`
	}},
	{name: "Loki", target: "/loki/api/v1/push", kind: "application/x-protobuf", compressed: true, whole: true, frame: func(r []string) string {
		stream := field(1, `{job="x"}`) + each(r, "", "", "", func(s string) string { return field(2, field(2, s)) })
		return string(s2.EncodeSnappy(nil, []byte(field(1, stream))))
	}},
	{name: "Loki JSON", target: "/loki/api/v1/push", kind: "application/json", whole: true, frame: func(r []string) string {
		return `{"streams":[{"stream":{"job":"x"},"values":[` + each(r, `["1431857103000000000",`, ",", "]", jsonText) + "]}]}"
	}},
	{name: "HEC", target: "/services/collector", kind: "application/json", frame: func(r []string) string { return each(r, `{"event":`, "", "}", jsonText) }},
	{name: "HEC of what it is", target: "/services/collector/event", frame: func(r []string) string { return each(r, `{"event":`, "\n", "}", jsonValue) }},
	{name: "HEC raw", target: "/services/collector/raw", frame: func(r []string) string { return strings.Join(r, "\n") }},
	{name: "Datadog", target: "/api/v2/logs", kind: "application/json", frame: func(r []string) string {
		return "[" + each(r, `{"ddtags":"a:b","message":`, ",", "}", jsonText) + "]"
	}},
	{name: "Datadog's older one", target: "/v1/input", kind: "text/plain", frame: func(r []string) string { return strings.Join(r, "\n") }},
}

func repeated(s string, n int) string { return strings.Repeat(s, n) }

// badRecords are records of which none may harm its neighbours, none with a
// newline in it.
var badRecords = map[string]string{
	"junk":                        "what is this",
	"half a line":                 `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /x HT`,
	"a line of 1 MB":              repeated("x", 1<<20),
	"a record of 1 MB":            `{"path":"/` + repeated("x", 1<<20) + `","agent":"y"}`,
	"a member of 1 MB":            `{"path":"/","agent":"y","more":"` + repeated("x", 1<<20) + `"}`,
	"control characters":          `{"path":"/","agent":"` + repeated(`\u0001`, 40_000) + `"}`,
	"raw control characters":      "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /" + repeated("\x01", 40_000) + ` HTTP/1.1" 200 1`,
	"bytes that are no UTF-8":     `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /` + repeated("\xe9", 80_000) + ` HTTP/1.1" 200 1`,
	"NULs":                        "\x00\x00\x00",
	"a NUL in a path":             "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /\x00 HTTP/1.1\" 200 1",
	"invalid UTF-8":               "\xff\xfe\xc3(",
	"Windows-1252":                "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /caf\xe9 HTTP/1.1\" 200 1 \"-\" \"\x93quoted\x94\"",
	"bidirectional characters":    "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /\u202egnp.exe HTTP/1.1\" 200 1 \"-\" \"\u2066\u2069\"",
	"a lone surrogate":            `{"path":"/\ud800","agent":"\udc00x"}`,
	"null":                        "null",
	"an empty array":              "[]",
	"an empty object":             "{}",
	"a number":                    "17",
	"numbers":                     "[1,2,3]",
	"a string":                    `"x"`,
	"a brace":                     "{",
	"a quote":                     `"`,
	"a bracket":                   "[",
	"many brackets":               repeated("[", 20_000),
	"many braces":                 repeated(`{"a":`, 20_000),
	"deep":                        `{"path":"/","agent":"y","more":` + repeated("[", 90) + repeated("]", 90) + "}",
	"very deep":                   `{"path":"/","agent":"y","more":` + repeated("[", 20_000) + repeated("]", 20_000) + "}",
	"an object in the path":       `{"path":{"a":1},"agent":["x"]}`,
	"names twice":                 `{"path":"/a","path":"/b","agent":"x","agent":null,"time":1,"time":"never"}`,
	"a name that is another case": `{"PATH":"/a","Path":"/b","Agent":"x"}`,
	"1e999":                       `{"path":"/","agent":"x","time":1e999,"n":-1e-999}`,
	"a number of 1,000 digits":    `{"path":"/","agent":"x","time":` + repeated("9", 1000) + "}",
	"NaN":                         `{"path":"/","agent":"x","time":NaN}`,
	"seconds":                     `{"path":"/","agent":"x","time":1431857103}`,
	"milliseconds":                `{"path":"/","agent":"x","time":"1431857103000"}`,
	"microseconds":                `{"path":"/","agent":"x","time":1431857103000000}`,
	"nanoseconds":                 `{"path":"/","agent":"x","time":1431857103000000000}`,
	"a time before 1970":          `{"path":"/","agent":"x","time":-1.5}`,
	"a time of no calendar":       `{"path":"/","agent":"x","time":"2026-02-30T25:61:61Z"}`,
	"a time before the year 0":    `{"path":"/","agent":"x","time":"0000-01-01T00:00:00+23:59"}`,
	"a time after the year 9999":  `{"path":"/","agent":"x","time":253402300800}`,
	"true for a time":             `{"path":"/","agent":"x","time":true}`,
	"a time in brackets":          `192.0.2.1 - - [99/Foo/2015:10:05:03 +0000] "GET /x HTTP/1.1" 200 1`,
	"an action":                   `{"delete":{"_id":"1"}}`,
	"W3C without its fields":      "2015-05-17 10:05:03 192.0.2.1 GET /x 200",
	"quotes":                      `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /"x" HTTP/1.1" 200 1 """ """`,
	"backslashes":                 `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /\x HTTP/1.1" 200 1 "\\" "\"`,
	"Influx lines":                `cpu,host=a usage=1.5,more="x y" 1431857103000000000`,
	"syslog":                      `<190>1 2015-05-17T10:05:03Z host nginx - - - 192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /x HTTP/1.1" 200 1`,
	"a deep OTLP value":           `{"attributes":[{"key":"a","value":` + repeated(`{"arrayValue":{"values":[`, 40) + repeated(`]}}`, 40) + "}]}",
}

// bodies are what becomes of a body as a whole: the status classes that are right,
// and whether both of its records are still stored.
type wholeBody struct {
	name     string
	encoding string
	change   func(w *way, body string) string
	statuses []int
	kept     int // records that have to be stored; -1: any number
}

func gzipOf(body string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, body)
	_ = z.Close()
	return b.String()
}

func zlibOf(body string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, body)
	_ = z.Close()
	return b.String()
}

func zstdOf(body string) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll([]byte(body), nil)
}

// bomb is 1 GiB of zeros after gzip.
var bomb = func() string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
}()

var (
	taken   = []int{200, 202, 204}
	refused = []int{400}
	either  = []int{200, 202, 204, 400}
)

var wholeBodies = []wholeBody{
	{"as it is", "", func(_ *way, b string) string { return b }, taken, 2},
	{"gzip", "gzip", func(_ *way, b string) string { return gzipOf(b) }, taken, 2},
	{"zstd", "zstd", func(_ *way, b string) string { return string(zstdOf(b)) }, taken, 2},
	{"zlib", "deflate", func(_ *way, b string) string { return zlibOf(b) }, taken, 2},
	{"snappy", "snappy", func(_ *way, b string) string { return string(s2.EncodeSnappy(nil, []byte(b))) }, taken, 2},
	{"zstd of gzip", "gzip, zstd", func(_ *way, b string) string { return string(zstdOf(gzipOf(b))) }, taken, 2},
	{"gzip that nobody declares", "", func(_ *way, b string) string { return gzipOf(b) }, taken, 2},
	{"gzip cut short", "gzip", func(_ *way, b string) string { b = gzipOf(b); return b[:len(b)-9] }, refused, 0},
	{"gzip with another checksum", "gzip", func(_ *way, b string) string { b = gzipOf(b); return b[:len(b)-8] + "12345678" }, refused, 0},
	{"a gzip bomb", "gzip", func(*way, string) string { return bomb }, []int{413}, 0},
	{"no gzip", "gzip", func(_ *way, b string) string { return b }, refused, 0},
	{"no zstd", "zstd", func(_ *way, b string) string { return b }, refused, 0},
	{"no snappy", "snappy", func(*way, string) string { return "\xff\xff\xff\xff\xff\xff" }, refused, 0},
	{"no deflate", "deflate", func(*way, string) string { return "\x07" }, refused, 0},
	{"a coding that there is not", "br", func(_ *way, b string) string { return b }, []int{415}, 0},
	{"nothing", "", func(*way, string) string { return "" }, either, 0},
	{"blanks", "", func(*way, string) string { return " \r\n\t\n" }, either, 0},
	{"null", "", func(*way, string) string { return "null" }, either, 0},
	{"an empty array", "", func(*way, string) string { return "[]" }, either, 0},
	{"an empty object", "", func(*way, string) string { return "{}" }, either, 0},
	{"numbers", "", func(*way, string) string { return "[1,2,3]" }, either, 0},
	{"NULs", "", func(*way, string) string { return repeated("\x00", 1000) }, either, 0},
	{"half of it", "", func(_ *way, b string) string { return b[:len(b)*3/4] }, either, -1},
	{"without its last byte", "", func(_ *way, b string) string { return b[:len(b)-1] }, either, -1},
	{"a byte order mark", "", func(w *way, b string) string {
		if w.compressed || strings.Contains(w.kind, "protobuf") {
			return b
		}
		return "\xef\xbb\xbf" + b
	}, taken, 2},
	{"CRLF", "", func(w *way, b string) string {
		if w.compressed || strings.Contains(w.kind, "protobuf") {
			return b
		}
		return strings.ReplaceAll(strings.ReplaceAll(b, "\r\n", "\n"), "\n", "\r\n")
	}, taken, 2},
	{"UTF-16", "", func(_ *way, b string) string {
		var u strings.Builder
		u.WriteString("\xff\xfe")
		for _, r := range b {
			u.Write([]byte{byte(r), byte(r >> 8)})
		}
		return u.String()
	}, either, 0},
	{"a form that is none", "", func(*way, string) string { return "a=1&b=2" }, either, 0},
	{"many brackets", "", func(*way, string) string { return repeated("[", 100_000) }, either, 0},
	{"a picture", "", func(*way, string) string {
		return "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + repeated("\x00\x01\x02", 100)
	}, either, 0},
	{"half junk", "", func(w *way, _ string) string {
		var records []string
		for i := range 400 {
			records = append(records, fmt.Sprintf(`192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /neighbour/junk/%d HTTP/1.1" 200 1 "-" "x"`, i), "junk")
		}
		return w.frame(records)
	}, taken, 400},
}
