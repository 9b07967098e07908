package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"

	"logforge/config"
	"logforge/sink"
)

// rejects is a sink.RejectSink that keeps what it gets, or fails.
type rejects struct {
	mu      sync.Mutex
	records []sink.Rejected
	acks    []sink.Ack
	err     error
}

func (r *rejects) Reject(_ context.Context, records []sink.Rejected, ack sink.Ack) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	for _, one := range records {
		one.Record = bytes.Clone(one.Record)
		r.records = append(r.records, one)
	}
	r.acks = append(r.acks, ack)
	return nil
}

func (r *rejects) all() []sink.Rejected {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records
}

// startShippers starts a server that can set records aside.
func startShippers(t *testing.T, change func(*config.Config)) (*fixture, *rejects) {
	t.Helper()
	f := start(t, change)
	aside := &rejects{}
	f.SetRejectSink(aside) // nothing has been sent yet
	return f, aside
}

// sampleRoutes says where a sample goes that a shipper has sent to /logs, for want
// of anything better.
func sampleRoute(path string) string {
	if path == "/logs" {
		return "/ingest"
	}
	return path
}

// The first requests of real shippers, as they were: what is stored, what is set
// aside, and what is answered.
func TestShippers_SamplesHaveTheirGoldenResults(t *testing.T) {
	heads, err := filepath.Glob("dialect/testdata/shippers/*.head")
	if err != nil || len(heads) < 15 {
		t.Fatal(heads, err)
	}
	for _, head := range heads {
		name := strings.TrimSuffix(filepath.Base(head), ".head")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(head)
			if err != nil {
				t.Fatal(err)
			}
			body, err := os.ReadFile(strings.TrimSuffix(head, ".head") + ".body")
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimSpace(string(text)) + "\r\n\r\n")))
			if err != nil {
				t.Fatal(err)
			}
			var header []string
			for name, values := range req.Header {
				if name != "Connection" && name != "Accept-Encoding" {
					header = append(header, name, values[0])
				}
			}
			f, aside := startShippers(t, nil)
			r := f.do(req.Method, sampleRoute(req.URL.Path), bytes.NewReader(body), header...)
			golden(t, "dialect/testdata/shippers/"+name+".golden", report(f, aside, r))
		})
	}
}

// The lines of a real nginx, each posted with the others.
func TestShippers_LinesOfNginxHaveTheirGoldenResults(t *testing.T) {
	samples, err := filepath.Glob("dialect/testdata/shippers/*.sample")
	if err != nil || len(samples) < 3 {
		t.Fatal(samples, err)
	}
	for _, sample := range samples {
		t.Run(filepath.Base(sample), func(t *testing.T) {
			body, err := os.ReadFile(sample)
			if err != nil {
				t.Fatal(err)
			}
			f, aside := startShippers(t, nil)
			r := f.do("POST", "/ingest", bytes.NewReader(body))
			golden(t, strings.TrimSuffix(sample, ".sample")+".golden", report(f, aside, r))
		})
	}
}

// report is what became of a request, without what differs from run to run.
func report(f *fixture, aside *rejects, r reply) string {
	var b strings.Builder
	answer := r.body
	if i := strings.Index(answer, `"took":`); i >= 0 {
		_, rest, _ := strings.Cut(answer[i:], ",")
		answer = answer[:i] + `"took":0,` + rest
	}
	fmt.Fprintf(&b, "%d %s %q\n\n%s\n", r.status, r.header.Get("Content-Type"), answer, arrivals.ReplaceAllString(f.sink.text(), `"timestamp":"(arrival)"`))
	for _, one := range aside.all() {
		fmt.Fprintf(&b, "%s: %s %s: %q\n", one.Route, one.Field, one.Reason, one.Record)
	}
	return b.String()
}

// arrivals are times of arrival, known by their nanoseconds.
var arrivals = regexp.MustCompile(`"timestamp":"[^"]*\.\d{5,9}Z"`)

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (go test ./server -run Golden -update writes it anew):\ngot\n%s\nwant\n%s", file, got, want)
	}
}

const (
	combinedLine = `192.0.2.10 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 1 "-" "Mozilla/5.0"`
	combinedJSON = `{"timestamp":"2015-05-17T10:05:03Z","path":"/a","userAgent":"Mozilla/5.0","remoteAddr":"192.0.2.10","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1}` + "\n"
)

func gzipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// proto is field number 1 … of a message, as bytes.
func proto(number int, value string) string {
	return string(protowire.AppendBytes(protowire.AppendTag(nil, protowire.Number(number), protowire.BytesType), []byte(value)))
}

func otlpProto(body string) string { return proto(1, proto(2, proto(2, proto(5, proto(1, body))))) }

func lokiProto(line string) string {
	return string(s2.EncodeSnappy(nil, []byte(proto(1, proto(1, `{job="x"}`)+proto(2, proto(2, line))))))
}

// One line by every route: what is stored is the same, and each client gets what
// it expects.
func TestShippers_EveryRouteStoresALine(t *testing.T) {
	quoted, _ := json.Marshal(combinedLine)
	line := string(quoted)
	const ingest = `{"accepted":1,"rejected":0}`
	const ndjson, protobuf, text = "application/x-ndjson", "application/x-protobuf", "text/plain"
	for _, c := range []struct {
		method, target, kind, body string
		status                     int
		answer                     string
		extra                      string // members besides those of the line
	}{
		{"POST", "/ingest", "", combinedLine, 200, ingest, ""},
		{"POST", "/ingest/", text, combinedLine + "\n", 200, ingest, ""},
		{"POST", "//ingest//", text, combinedLine + "\n", 200, ingest, ""},
		{"PUT", "//_bulk", ndjson, "{\"index\":{}}\n{\"message\":" + line + "}\n", 200, `{"index":{"status":201}}`, ""},
		{"POST", "/", "application/x-www-form-urlencoded", combinedLine + "\r\n", 200, ingest, ""},
		{"POST", "/ingest", "text/html", combinedLine, 200, ingest, ""},
		{"POST", "/ingest", "application/vnd.anything+json", `{"message":` + line + `}`, 200, ingest, ""},
		{"POST", "/ingest", "application/octet-stream", gzipped(combinedLine), 200, ingest, ""},
		{"POST", "/ingest?format=combined", "", combinedLine, 200, ingest, ""},
		{"POST", "/ingest", "multipart/form-data; boundary=xx", "--xx\r\nContent-Disposition: form-data; name=\"a\"; filename=\"access.log\"\r\n\r\n" + combinedLine + "\n\r\n--xx--\r\n", 200, ingest, ""},
		{"POST", "/ingest", "", `{"logs":[{"log":` + line + `}]}`, 200, ingest, ""},
		{"POST", "/ingest", protobuf, otlpProto(combinedLine), 200, ingest, ""},
		{"POST", "/ingest", "", `{"streams":[{"stream":{},"values":[["1",` + line + `]]}]}`, 200, ingest, ""},
		{"POST", "/ingest", "", "{\"index\":{}}\n{\"message\":" + line + "}", 200, ingest, ""},
		{"POST", "/_bulk", ndjson, "{\"index\":{}}\n{\"message\":" + line + "}\n", 200, `"errors":false,"items":[{"index":{"status":201}}]`, ""},
		{"PUT", "/_bulk", "application/json", "{\"create\":{\"_index\":\"x\"}}\n{\"message\":" + line + "}", 200, `{"create":{"status":201}}`, ""},
		{"POST", "/logs-2026/_bulk", ndjson, "{\"create\":{}}\n{\"message\":" + line + "}\n", 200, `{"create":{"status":201}}`, ""},
		{"PUT", "/elasticsearch/_bulk", ndjson, "{\"create\":{}}\n{\"message\":" + line + "}\n", 200, `{"create":{"status":201}}`, ""},
		{"POST", "/elasticsearch/x/_bulk?filter_path=errors,items.*.error", ndjson, "{\"create\":{}}\n{\"message\":" + line + "}\n", 200, `{"errors":false}`, ""},
		{"POST", "/v1/logs", protobuf, otlpProto(combinedLine), 200, ``, ""},
		{"POST", "/otlp/v1/logs", "application/json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":` + line + `}}]}]}]}`, 200, `{}`, ""},
		{"POST", "/loki/api/v1/push", "application/json", `{"streams":[{"stream":{"job":"x"},"values":[["1",` + line + `]]}]}`, 204, ``, `"job":"x",`},
		{"POST", "/loki/api/v1/push", protobuf, lokiProto(combinedLine), 204, ``, `"job":"x",`},
		{"POST", "/services/collector", "", `{"event":` + line + `}`, 200, `{"text":"Success","code":0}`, ""},
		{"POST", "/services/collector/event", "", `{"event":{"message":` + line + `}}`, 200, `{"text":"Success","code":0}`, ""},
		{"POST", "/services/collector/raw?channel=1", "", combinedLine, 200, `{"text":"Success","code":0}`, ""},
		{"POST", "/api/v2/logs", "application/json", `[{"message":` + line + `}]`, 202, `{}`, ""},
		{"POST", "/v1/input", "application/json", `{"message":` + line + `}`, 202, `{}`, ""},
	} {
		f, aside := startShippers(t, nil)
		var header []string
		if c.kind != "" {
			header = []string{"Content-Type", c.kind}
		}
		r := f.do(c.method, c.target, strings.NewReader(c.body), header...)
		if r.status != c.status || !strings.Contains(r.body, c.answer) {
			t.Errorf("%s %s %s: %d %q", c.method, c.target, c.kind, r.status, r.body)
		}
		want := strings.Replace(combinedJSON, `"remoteAddr"`, c.extra+`"remoteAddr"`, 1)
		if got := f.sink.text(); got != want || len(aside.all()) > 0 {
			t.Errorf("%s %s %s: stored %q, set aside %v", c.method, c.target, c.kind, got, aside.all())
		}
	}
}

// Bodies that are broken in every way: refused with a reason, or set aside; never
// 500, and never a lost neighbour.
func TestShippers_BadInputIsRefusedOrSetAside(t *testing.T) {
	good := combinedLine + "\n"
	quoted, _ := json.Marshal(combinedLine)
	doc := `{"message":` + string(quoted) + `}`
	long := strings.Repeat("x", 1<<20)
	otlp := otlpProto(combinedLine)
	for _, c := range []struct {
		name, target, kind, body string
		status                   int
		stored, aside            int
	}{
		{"nothing", "/ingest", "", "", 200, 0, 0},
		{"blank lines", "/ingest", "", "\n\n \r\n", 200, 0, 0},
		{"an array of numbers", "/ingest", "application/json", "[1,2,3]", 200, 0, 3},
		{"half junk", "/ingest", "", good + "junk\n" + good + "more junk\n", 200, 2, 2},
		{"a long line", "/ingest", "", good + long + "\n" + good, 200, 2, 1},
		{"NULs", "/ingest", "", good + "\x00\x00\x00\x00\n" + good, 200, 2, 1},
		{"invalid UTF-8", "/ingest", "", good + "\xff\xfe broken \xc3\n" + good, 200, 2, 1},
		{"Windows-1252 in a path", "/ingest", "", strings.Replace(good, "/a", "/caf\xe9", 1), 200, 1, 0},
		{"a line that breaks off", "/ingest", "", good + strings.TrimSuffix(combinedLine, `"`), 200, 1, 1},
		{"gzip cut short", "/ingest", "", gzipped(good)[:40], 400, 0, 0},
		{"gzip cut short, declared", "/v1/logs", "application/x-protobuf", "", 400, 0, 0},
		{"a picture", "/ingest", "", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + strings.Repeat("\x00\x01\x02\x03", 100), 400, 0, 0},
		{"protobuf that is none", "/ingest", "application/x-protobuf", "\x0a\xff", 400, 0, 0},
		{"half a protobuf", "/v1/logs", "application/x-protobuf", otlp[:len(otlp)-5], 400, 0, 0},
		{"half an OTLP JSON", "/v1/logs", "application/json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"str`, 400, 0, 0},
		{"no OTLP", "/v1/logs", "application/json", `[1]`, 400, 0, 0},
		{"OTLP of another shape", "/v1/logs", "application/json", `{"resourceLogs":7}`, 400, 0, 0},
		{"OTLP with nothing in it", "/v1/logs", "application/json", `{}`, 200, 0, 0},
		{"OTLP without a body", "/v1/logs", "application/json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}`, 200, 0, 1},
		{"Loki cut short", "/loki/api/v1/push", "application/json", `{"streams":[{"stream":{},"values":[["1","`, 400, 0, 0},
		{"Loki's entries of other shapes", "/loki/api/v1/push", "application/json", `{"streams":[{"stream":{},"values":[[],[1],["1",2],["1",` + string(quoted) + `]]}]}`, 204, 1, 3},
		{"broken snappy", "/loki/api/v1/push", "application/x-protobuf", "\xff\xff\xff\xff\x0f", 400, 0, 0},
		{"snappy of no protobuf", "/loki/api/v1/push", "application/x-protobuf", string(s2.EncodeSnappy(nil, []byte("\x0a\xff"))), 400, 0, 0},
		{"_bulk without its last newline", "/_bulk", "", "{\"create\":{}}\n" + doc, 200, 1, 0},
		{"_bulk: an action without a document", "/_bulk", "", "{\"create\":{}}\n" + doc + "\n{\"create\":{}}\n", 200, 1, 1},
		{"_bulk: two actions", "/_bulk", "", "{\"create\":{}}\n{\"index\":{}}\n" + doc + "\n", 200, 1, 1},
		{"_bulk: delete and update", "/_bulk", "", "{\"delete\":{\"_id\":\"1\"}}\n{\"update\":{\"_id\":\"1\"}}\n" + doc + "\n{\"create\":{}}\n" + doc + "\n", 200, 1, 2},
		{"_bulk: no JSON", "/_bulk", "", "{\"create\":{}}\nnot json\n{\"create\":{}}\n" + doc + "\n", 200, 1, 1},
		{"_bulk: no action", "/_bulk", "", "x\n{\"create\":{}}\n" + doc + "\n", 200, 1, 1},
		{"_bulk: numbers", "/_bulk", "", "{\"create\":{}}\n17\n{\"create\":{}}\n[1,2]\n", 200, 0, 2},
		{"HEC: broken between two", "/services/collector", "", `{"event":` + string(quoted) + `}` + "\n{\"event\":\"x\n" + `{"event":` + string(quoted) + `}`, 200, 2, 1},
		{"HEC: no event", "/services/collector", "", `{"time":1}{"event":` + string(quoted) + `}`, 200, 1, 1},
		{"HEC: nothing", "/services/collector", "", "", 400, 0, 0},
		{"Datadog: its agent asks whether somebody is there", "/api/v2/logs", "application/json", "{}", 202, 0, 0},
		{"Datadog: numbers", "/api/v2/logs", "application/json", `[1,{"message":` + string(quoted) + `}]`, 202, 1, 1},
		{"a form without a boundary", "/ingest", "multipart/form-data", good, 400, 0, 0},
		{"a form cut short", "/ingest", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + good, 400, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, aside := startShippers(t, nil)
			header := []string{"Content-Type", c.kind}
			body := c.body
			if strings.HasSuffix(c.name, "declared") {
				header, body = append(header, "Content-Encoding", "gzip"), gzipped(otlp)[:30]
			}
			r := f.do("POST", c.target, strings.NewReader(body), header...)
			if r.status != c.status {
				t.Errorf("%d %q", r.status, r.body)
			}
			if stored := f.sink.records(); stored != c.stored || len(aside.all()) != c.aside {
				t.Errorf("%d stored, %d set aside: %.300q", stored, len(aside.all()), f.sink.text())
				for _, one := range aside.all() {
					t.Logf("%s %s: %.200q", one.Field, one.Reason, one.Record)
				}
			}
			for _, one := range aside.all() {
				if one.Reason == "" || one.From != "127.0.0.1" || one.Route == "" || one.At.IsZero() || len(one.Record) > sink.MaxRejectedBytes {
					t.Errorf("%+v", one)
				}
			}
			if n := len(r.body); n > 3000 {
				t.Errorf("an answer of %d bytes", n)
			}
			if got, want := f.value("logforge_records_received_total"), f.value("logforge_records_written_total")+f.value("logforge_records_rejected_total"); got != want || got != float64(c.stored+c.aside) {
				t.Errorf("received %v, written and rejected %v", got, want)
			}
		})
	}
}
