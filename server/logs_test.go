package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/goccy/go-json"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// decode reads a problem and holds it to RFC 9457.
func (r reply) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type of a problem is %q", ct)
	}
	if p.Status != r.status || p.Title != http.StatusText(r.status) || p.Detail == "" || p.Reason == "" {
		t.Errorf("status %d with problem %s", r.status, r.body)
	}
	return p
}

func TestABatchIsStoredAndCounted(t *testing.T) {
	f := start(t, nil)
	stored := func(contentType, body, want string) {
		t.Helper()
		f.sink.lines = nil
		var header []string
		if contentType != "" {
			header = []string{"Content-Type", contentType}
		}
		n := strings.Count(want, "\n")
		r := f.post(body, header...)
		if r.status != 202 || r.body != fmt.Sprintf(`{"accepted":%d}`, n) || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %q: %d %s %v", contentType, body, r.status, r.body, r.header)
		}
		if got := f.sink.text(); got != want {
			t.Errorf("%s %q stored %q, want %q", contentType, body, got, want)
		}
	}
	csv := "2026-02-09T15:23:00Z,/home,Mozilla/5.0\n"
	array := "[" + strings.TrimSpace(line1) + "," + line2 + "]"

	stored("application/json", array, line1+line2)
	stored("application/json", line1, line1)
	stored("application/json", line1+line2, line1+line2)
	stored("application/json; charset=utf-8", array, line1+line2)
	stored("Application/JSON ;charset=utf-8", array, line1+line2)
	stored("application/x-ndjson", line1+strings.TrimSpace(line2), line1+line2)
	stored("text/csv", csv, line1)
	stored("TEXT/CSV; header=absent", csv, line1)
	stored("text/csv", "userAgent,timestamp,path\nMozilla/5.0,2026-02-09T15:23:00Z,/home\n", line1)
	// Nothing said, or nothing that tells: the first byte decides.
	for _, ct := range []string{"", "text/plain", "text/plain; charset=utf-8", "application/octet-stream", "application/x-www-form-urlencoded"} {
		stored(ct, array, line1+line2)
		stored(ct, line1+line2, line1+line2)
		stored(ct, csv, line1)
	}
	stored("application/json", "\xef\xbb\xbf"+array, line1+line2)
	stored("application/json", "[]", "")

	f.sink.lines = nil
	r := f.do("POST", "/logs", struct{ *strings.Reader }{strings.NewReader(line1)}) // unknown length: chunked
	if r.status != 202 || f.sink.text() != line1 {
		t.Errorf("chunked: %d %s stored %q", r.status, r.body, f.sink.text())
	}
}

func TestAnInvalidBatchIsRefusedWholeAndSaysWhichRecordsAndWhy(t *testing.T) {
	f := start(t, nil)
	r := f.post("[" + strings.TrimSpace(line1) + `,{"timestamp":"yesterday","path":"/","userAgent":"x"},{"timestamp":"2026-02-09T15:23:00Z","path":" ","userAgent":"x"}]`)
	p := r.problem(t)
	if r.status != 400 || p.Reason != "invalid" || p.Count != 2 || p.Records != 3 || len(p.Errors) != 2 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, want := range []codec.RecordError{{Index: 1, Field: "timestamp"}, {Index: 2, Field: "path"}} {
		if got := p.Errors[i]; got.Index != want.Index || got.Field != want.Field || got.Reason == "" {
			t.Errorf("error %d is %+v", i, got)
		}
	}
	if f.sink.text() != "" {
		t.Errorf("stored %q of a refused batch", f.sink.text())
	}

	many := strings.Repeat(`{"timestamp":"2026-02-09T15:23:00Z","path":"","userAgent":"x"}`+"\n", 250)
	if p := f.post(many).problem(t); len(p.Errors) < 25 || p.Count != 250 {
		t.Errorf("%d errors named, count %d", len(p.Errors), p.Count)
	}
	for _, body := range []string{"", " \n", "[", "nonsense", `{"timestamp":`} {
		if r := f.post(body, "Content-Type", "application/json"); r.status != 400 {
			t.Errorf("%q: %d %s", body, r.status, r.body)
		} else {
			r.problem(t)
		}
	}
}

func TestWhatIsNotSupportedIsNamedBesideWhatIs(t *testing.T) {
	f := start(t, nil)
	refused := func(header, value string, supported ...string) {
		t.Helper()
		r := f.post(line1, header, value)
		p := r.problem(t)
		if r.status != 415 || strings.Join(p.Supported, " ") != strings.Join(supported, " ") {
			t.Errorf("%s: %s: %d %s", header, value, r.status, r.body)
		}
	}
	types := []string{"application/json", "application/x-ndjson", "text/csv"}
	for _, ct := range []string{"application/xml", "application/x-protobuf", "text/html", "multipart/form-data; boundary=x", "application/jsonx", "json"} {
		refused("Content-Type", ct, types...)
	}
	for _, ce := range []string{"br", "compress", "gzip, br", "gzip2", "gzip,gzip,gzip,gzip"} {
		refused("Content-Encoding", ce, supportedCodings...)
	}
	if f.sink.text() != "" {
		t.Error("stored something")
	}
}

func TestAckSaysWhereABatchHasToBe(t *testing.T) {
	asks := func(pipeline int, allAcks bool, offered ...sink.Ack) {
		t.Helper()
		f := start(t, func(c *config.Config) { c.Pipeline, c.Kafka.RequireAllAcks = pipeline, allAcks })
		for ack := sink.Default; ack <= sink.Replicated; ack++ {
			f.sink.acks = nil
			r := f.do("POST", "/logs?ack="+ack.String(), strings.NewReader(line1))
			known := ack == sink.Default
			for _, o := range offered {
				known = known || o == ack
			}
			if known {
				if r.status != 202 || len(f.sink.acks) != 1 || f.sink.acks[0] != ack {
					t.Errorf("pipeline %d, ack=%s: %d %s, sink asked for %v", pipeline, ack, r.status, r.body, f.sink.acks)
				}
				continue
			}
			if p := r.problem(t); r.status != 400 || fmt.Sprint(p.Supported) != fmt.Sprint(offered) {
				t.Errorf("pipeline %d, ack=%s: %d %s", pipeline, ack, r.status, r.body)
			}
		}
		for _, bad := range []string{"Written", "all", "1", "%00"} {
			if r := f.do("POST", "/logs?ack="+bad, strings.NewReader(line1)); r.status != 400 {
				t.Errorf("ack=%s: %d", bad, r.status)
			}
		}
		if r := f.do("POST", "/logs?other=1&x", strings.NewReader(line1)); r.status != 202 {
			t.Errorf("a parameter that is not ours: %d %s", r.status, r.body)
		}
	}
	asks(1, true, sink.Written, sink.Synced)
	asks(2, true, sink.Replicated, sink.Enqueued)
	asks(2, false, sink.Enqueued)
}

func TestEveryErrorOfTheSinkHasItsStatus(t *testing.T) {
	f := start(t, nil)
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return fails }
	answers := func(err error, status int, reason string) {
		t.Helper()
		fails = err
		before := f.value(`logforge_records_rejected_total{reason="` + reason + `"}`)
		r := f.post(line1 + line2)
		p := r.problem(t)
		if r.status != status || p.Reason != reason {
			t.Errorf("%v: %d %s", err, r.status, r.body)
		}
		if retry := r.header.Get("Retry-After"); (status == 503) != (retry == "1") {
			t.Errorf("%v: status %d with Retry-After %q", err, status, retry)
		}
		if strings.Contains(r.body, "secret") {
			t.Errorf("the answer tells the client the cause: %s", r.body)
		}
		if got := f.value(`logforge_records_rejected_total{reason="` + reason + `"}`); got != before+2 {
			t.Errorf("%v: rejected %v records for %s, want 2", err, got-before, reason)
		}
	}
	wrap := func(err error) error { return fmt.Errorf("write /secret/path: %w", err) }
	answers(wrap(sink.ErrFull), 503, "full")
	answers(wrap(sink.ErrDiskFull), 503, "disk_full")
	answers(wrap(sink.ErrUnavailable), 503, "unavailable")
	answers(wrap(sink.ErrClosed), 503, "closed")
	answers(wrap(sink.ErrAck), 400, "ack")
	answers(wrap(context.DeadlineExceeded), 503, "timeout")
	answers(wrap(context.Canceled), 503, "closed")
	answers(wrap(errors.New("input/output error")), 500, "internal")
	if log := f.log.String(); !strings.Contains(log, "/secret/path: input/output error") {
		t.Errorf("the cause of the 500 is not in the log: %s", log)
	}
	if n := f.value("ingest_errors_total"); n != 7 {
		t.Errorf("ingest_errors_total is %v, want 7", n)
	}
}

func TestLimitsOfABatchAre413AndSayWhich(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Ingestion.MaxBatchRecords, c.Ingestion.MaxRecordBytes = 3, 200
		c.Server.MaxBodyBytes = 1000
	})
	over := func(body, detail string, limit int) {
		t.Helper()
		r := f.post(body)
		if p := r.problem(t); r.status != 413 || !strings.Contains(p.Detail, detail) || p.Limit != limit {
			t.Errorf("%.40q: %d %s", body, r.status, r.body)
		}
	}
	over(array(4), "record 3 is over the limit of 3 records", 3)
	over(line1+strings.Replace(line1, "/home", strings.Repeat("x", 200), 1), "record 1 is over the limit of 200 record bytes", 200)
	over(strings.Repeat(" ", 1001-len(line1))+line1, "server.maxBodyBytes", 1000)
	if r := f.post(strings.Repeat(" ", 1000-len(line1)) + line1); r.status != 202 {
		t.Errorf("a body of just the limit: %d %s", r.status, r.body)
	}
	chunked := func(n int) reply {
		return f.do("POST", "/logs", struct{ *strings.Reader }{strings.NewReader(strings.Repeat(" ", n-len(line1)) + line1)})
	}
	if r := chunked(1000); r.status != 202 {
		t.Errorf("a chunked body of just the limit: %d %s", r.status, r.body)
	}
	for _, n := range []int{1001, 1024, 1025, 5000, 100_000} {
		if r := chunked(n); r.status != 413 {
			t.Errorf("a chunked body of %d bytes: %d %s", n, r.status, r.body)
		}
	}
}

func TestKeysAreAskedForWhereRecordsAreReadOrWritten(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Auth = config.Auth{Enabled: true, HeaderName: "X-Token", Keys: config.Keys{{Value: "one"}, {Value: "the-second-key"}}}
		c.Server.Dashboard = true
		c.Storage.AnalyticsDir = t.TempDir()
	})
	for _, key := range []string{"one", "the-second-key"} {
		if r := f.post(line1, "x-token", key); r.status != 202 {
			t.Errorf("key %q: %d %s", key, r.status, r.body)
		}
	}
	for _, header := range [][]string{nil, {"X-Token", ""}, {"X-Token", "on"}, {"X-Token", "one " + "x"}, {"X-Token", "ONE"}, {"X-API-Key", "one"}, {"DD-API-KEY", "one"}, {"Authorization", "Bearer on"}} {
		r := f.post(line1, header...)
		if r.status != 401 || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%v: %d %v", header, r.status, r.header)
		}
		r.problem(t)
		for _, path := range []string{"/analytics?hour=2026-02-09T15", "/dashboard/config"} {
			if r := f.do("GET", path, nil, header...); r.status != 401 {
				t.Errorf("%s with %v: %d", path, header, r.status)
			}
		}
	}
	for _, path := range []string{"/analytics?hour=2026-02-09T15", "/dashboard/config", "/dashboard/metrics"} {
		if r := f.do("GET", path, nil, "X-Token", "one"); r.status != 200 {
			t.Errorf("%s with its key: %d %s", path, r.status, r.body)
		}
	}
	for _, open := range []string{"/health", "/ready", "/version", "/metrics", "/"} {
		if r := f.do("GET", open, nil); r.status != 200 {
			t.Errorf("%s without a key: %d", open, r.status)
		}
	}
	if n := f.sink.records(); n != 2 {
		t.Errorf("%d records stored, want 2", n)
	}
}

func TestAnEmptyKeyOpensNothing(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Auth = config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: config.Keys{{Value: ""}}}
	})
	for _, header := range [][]string{nil, {"X-API-Key", ""}, {"X-API-Key", " "}} {
		if r := f.post(line1, header...); r.status != 401 {
			t.Errorf("%v: %d", header, r.status)
		}
	}
}

func TestAPanicIs500AndTheServerGoesOn(t *testing.T) {
	f := start(t, nil)
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { panic("out of cheese") }
	r := f.post(line1)
	if p := r.problem(t); r.status != 500 || strings.Contains(r.body, "cheese") || p.Reason != "internal" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if log := f.log.String(); !strings.Contains(log, "out of cheese") || !strings.Contains(log, "logs_test.go") {
		t.Errorf("no panic with its stack in the log: %s", log)
	}
	f.sink.write = nil
	if r := f.post(line1); r.status != 202 {
		t.Errorf("after the panic: %d %s", r.status, r.body)
	}
	for name, want := range map[string]float64{
		"logforge_panics_total":                               1,
		`logforge_requests_total{route="/logs",status="500"}`: 1,
		`logforge_records_rejected_total{reason="internal"}`:  1,
		"ingestion_work_queue_depth":                          0,
	} {
		if got := f.value(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if used, slots := f.bytes.used.Load(), f.slots.reserved.Load(); used != 0 || slots != 0 {
		t.Errorf("after a panic %d bytes and %d places are still held", used, slots)
	}
}
