package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
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

// Whatever is wrong with 10,000 records, the answer fits what Fluent Bit reads.
func TestShippers_AnswersAreSmall(t *testing.T) {
	f, _ := startShippers(t, nil)
	junk := strings.Repeat(strings.Repeat("j", 500)+"\n", 10_000)
	for _, target := range []string{"/ingest", "/services/collector/raw", "/api/v2/logs", "/logs?invalid=set-aside"} {
		r := f.do("POST", target, strings.NewReader(junk), "Content-Type", "text/plain")
		size := len(r.body) + 20
		for name, values := range r.header {
			size += len(name) + len(values[0]) + 4
		}
		if r.status/100 != 2 || size > 3500 {
			t.Errorf("%s: %d, %d bytes: %.200s", target, r.status, size, r.body)
		}
	}
	r := f.do("POST", "/ingest", strings.NewReader(junk))
	var answer struct {
		Accepted, Rejected int
		Errors             []struct {
			Index         int
			Field, Reason string
		}
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil || answer.Accepted != 0 || answer.Rejected != 10_000 || len(answer.Errors) == 0 || answer.Errors[0].Reason == "" {
		t.Errorf("%v: %s", err, r.body)
	}
}

// What cannot be set aside is not acknowledged, and nothing of its batch stored.
func TestShippers_NothingIsAcknowledgedThatCouldNotBeSetAside(t *testing.T) {
	f, aside := startShippers(t, nil)
	aside.err = fmt.Errorf("%w: %w", sink.ErrNotSetAside, sink.ErrDiskFull)
	for target, kind := range map[string]string{
		"/ingest": "application/problem+json", "/_bulk": "application/json", "/services/collector/raw": "application/json", "/logs?invalid=set-aside": "application/problem+json",
	} {
		r := f.do("POST", target, strings.NewReader("{\"create\":{}}\n"+line1+"{\"create\":{}}\njunk\n"))
		if r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %v %s", target, r.status, r.header, r.body)
		}
	}
	if f.sink.records() != 0 {
		t.Errorf("stored %s", f.sink.text())
	}
	if got, want := f.value("logforge_records_received_total"), f.value("logforge_records_rejected_total"); got != want || got == 0 {
		t.Errorf("received %v, rejected %v", got, want)
	}
	aside.err = nil
	f.SetRejectSink(nil)
	if r := f.do("POST", "/ingest", strings.NewReader("junk")); r.status != 503 {
		t.Errorf("with nowhere to set aside: %d", r.status)
	}
}

// POST /logs stays strict, and sets aside only where it is asked to.
func TestShippers_TheStrictDoorSetsAsideWhenAsked(t *testing.T) {
	body := line1 + `{"timestamp":"2026-02-09T15:23:00Z","path":"/x"}` + "\n" + combinedLine + "\n" + line2
	f, aside := startShippers(t, nil)
	const ndjson = "application/x-ndjson"
	if r := f.post(body, "Content-Type", ndjson); r.status != 400 || f.sink.records() != 0 || len(aside.all()) != 0 {
		t.Errorf("%d %s", r.status, f.sink.text())
	}
	r := f.do("POST", "/logs?invalid=set-aside&ack=synced", strings.NewReader(body), "Content-Type", ndjson)
	if r.status != 202 || !strings.HasPrefix(r.body, `{"accepted":2,"rejected":2,"errors":[{"index":1,"field":"userAgent"`) || f.sink.text() != line1+line2 {
		t.Errorf("%d %s: %s", r.status, r.body, f.sink.text())
	}
	if len(aside.all()) != 2 || aside.acks[0] != sink.Synced || aside.all()[0].Route != "/logs" {
		t.Errorf("set aside: %+v %v", aside.all(), aside.acks)
	}
	if r := f.do("POST", "/logs?invalid=perhaps", strings.NewReader(body)); r.status != 400 {
		t.Errorf("invalid=perhaps: %d", r.status)
	}

	f, aside = startShippers(t, func(c *config.Config) { c.Ingestion.Invalid = "set-aside" })
	if r := f.post(body, "Content-Type", ndjson); r.status != 202 || len(aside.all()) != 2 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("POST", "/logs?invalid=refuse", strings.NewReader(body), "Content-Type", ndjson); r.status != 400 {
		t.Errorf("invalid=refuse: %d", r.status)
	}
}

// Every kind of client has its key where it always has it, and elsewhere none is
// taken.
func TestShippers_KeysStandWhereEachClientHasThem(t *testing.T) {
	f, _ := startShippers(t, withKeys)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:k"))
	id := "ApiKey " + base64.StdEncoding.EncodeToString([]byte("id:k"))
	for _, header := range [][2]string{
		{"X-API-Key", "k"}, {"Authorization", "Splunk k"}, {"Authorization", "splunk k"}, {"Authorization", "Bearer k"},
		{"DD-API-KEY", "k"}, {"Authorization", "ApiKey k"}, {"Authorization", id}, {"Authorization", basic},
	} {
		for _, target := range []string{"/ingest", "/services/collector/raw", "/api/v2/logs"} {
			if r := f.do("POST", target, strings.NewReader(combinedLine), header[0], header[1]); r.status/100 != 2 {
				t.Errorf("%s with %v: %d %s", target, header, r.status, r.body)
			}
		}
	}
	for _, header := range [][2]string{{"X", "k"}, {"Authorization", "k"}, {"Authorization", "Splunk x"}, {"Authorization", "Splunk "}, {"DD-API-KEY", ""}, {"Authorization", "Basic k"}} {
		for _, d := range doors {
			r := f.do("POST", strings.ReplaceAll(d.paths[0], "{index}", "x"), strings.NewReader(combinedLine), header[0], header[1])
			if r.status != 401 || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %v: %d", d.route, header, r.status)
			}
		}
		if r := f.do("GET", "/elasticsearch", nil, header[0], header[1]); r.status != 401 {
			t.Errorf("/elasticsearch with %v: %d", header, r.status)
		}
	}
}

func TestShippers_ElasticsearchClientsFindWhatTheyAsk(t *testing.T) {
	f, _ := startShippers(t, func(c *config.Config) { c.Server.Dashboard = true })
	ask := func(method, path string, header ...string) reply {
		t.Helper()
		r := f.do(method, path, nil, header...)
		if r.status != 200 || r.header.Get("X-Elastic-Product") != "Elasticsearch" || method != "HEAD" && !json.Valid([]byte(r.body)) {
			t.Errorf("%s %s %v: %d %v %s", method, path, header, r.status, r.header, r.body)
		}
		return r
	}
	for _, header := range [][]string{{"Accept", "application/vnd.elasticsearch+json; compatible-with=9"}, {"User-Agent", "Elastic-filebeat/8.19.0"}, {"User-Agent", "Logstash/8"}, {"User-Agent", "elasticsearch-py/9"}} {
		if r := ask("GET", "/", header...); !strings.Contains(r.body, `"number":"8.`) {
			t.Errorf("%v: %s", header, r.body)
		}
		ask("HEAD", "/", header...)
	}
	for _, path := range []string{"/_license", "/_xpack", "/_nodes", "/_nodes/http", "/_ilm/policy/filebeat", "/_index_template/filebeat-8", "/_template/x", "/_ingest/pipeline/x", "/_cluster/health", "/_data_stream/x"} {
		for _, prefix := range []string{"", "/elasticsearch"} {
			ask("GET", prefix+path)
			ask("HEAD", prefix+path)
			ask("PUT", prefix+path)
		}
	}
	ask("GET", "/elasticsearch")
	ask("GET", "/elasticsearch/")
	if r := f.do("GET", "/elasticsearch/nothing", nil); r.status != 404 || !strings.Contains(r.body, `"status":404`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("GET", "/", nil, "User-Agent", "Mozilla/5.0 (X11) Gecko Firefox", "Accept", "text/html"); r.header.Get("X-Elastic-Product") != "" || !strings.Contains(r.body, "<html") {
		t.Errorf("a browser gets %v %.100s", r.header, r.body)
	}
}

// The answers to Filebeat and Logstash, which ask for a part of them.
func TestShippers_BulkAnswersHaveWhatFilterPathSays(t *testing.T) {
	f, _ := startShippers(t, nil)
	body := "{\"index\":{}}\n" + line1 + "{\"create\":{}}\njunk\n"
	for filter, want := range map[string]string{
		"errors,items.*.error,items.*.status": `{"errors":true,"items":[{"index":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":`,
		"errors":                              `{"errors":true}`,
		"items.*.error":                       `{"items":[{"create":{"error":{"type":`,
		"-took":                               `{"errors":true,"items":[{"index":{"status":201}},{"create":{"status":400`,
		"took":                                `{"took":`,
	} {
		r := f.do("POST", "/_bulk?filter_path="+filter, strings.NewReader(body))
		if r.status != 200 || !strings.HasPrefix(r.body, want) || !json.Valid([]byte(r.body)) {
			t.Errorf("%s: %d %s", filter, r.status, r.body)
		}
	}
}

// Names of a request, and what a time without an offset means.
func TestShippers_NamesOfARequestReplaceThoseOfTheSettings(t *testing.T) {
	f, aside := startShippers(t, func(c *config.Config) { c.Ingestion.TimeZone = "Europe/Berlin"; c.Ingestion.Extra = "drop" })
	body := `{"when":"2026-02-09 15:23:00","where":"/w","who":"w","path":"/p","agent":"a","time":1}`
	if r := f.do("POST", "/ingest?timestamp=x,when&path=where&userAgent=who", strings.NewReader(body)); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if want := `{"timestamp":"2026-02-09T14:23:00Z","path":"/w","userAgent":"w"}` + "\n"; f.sink.text() != want {
		t.Errorf("stored %s, set aside %v", f.sink.text(), aside.all())
	}
	if r := f.do("POST", "/ingest?format=xml", strings.NewReader(body)); r.status != 400 || !strings.Contains(r.body, "w3c") {
		t.Errorf("format=xml: %d %s", r.status, r.body)
	}
}

// The page's data, and the warning in the log.
func TestShippers_WhatWasSetAsideIsShown(t *testing.T) {
	f, _ := startShippers(t, func(c *config.Config) { c.Server.Dashboard = true })
	for i := range 60 {
		f.do("POST", "/ingest", strings.NewReader(fmt.Sprintf("junk %d\xff\n%s", i, combinedLine)))
	}
	f.do("POST", "/_bulk", strings.NewReader("{\"create\":{}}\n{}\n"))
	var report struct {
		Counts []struct {
			Route, Reason string
			Records       int
		}
		Newest []struct{ From, Route, Reason, Field, Record string }
	}
	r := f.do("GET", "/dashboard/rejected", nil)
	if err := json.Unmarshal([]byte(r.body), &report); err != nil {
		t.Fatal(err, r.body)
	}
	if fmt.Sprint(report.Counts) != "[{/ingest record 60} {/_bulk record 1}]" || len(report.Newest) != 50 || report.Newest[0].Route != "/_bulk" {
		t.Errorf("%+v", report)
	}
	if n := f.value(`logforge_records_set_aside_total{route="/ingest",reason="record"}`); n != 60 {
		t.Errorf("counted %v", n)
	}
	if !strings.Contains(f.log.String(), "records were set aside") || !strings.Contains(f.log.String(), "from=127.0.0.1") {
		t.Error("the log says nothing of them")
	}
	if n := f.value("logforge_records_timed_on_arrival_total"); n != 0 {
		t.Errorf("%v timed on arrival", n)
	}
	f.do("POST", "/ingest", strings.NewReader(`{"path":"/","agent":"x"}`))
	if n := f.value("logforge_records_timed_on_arrival_total"); n != 1 {
		t.Errorf("%v timed on arrival", n)
	}
}
