package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

func TestServer_ExpectIsAnsweredHoweverItIsSpelled(t *testing.T) {
	f := start(t, nil)
	first := func(version, expect string) string {
		t.Helper()
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "POST /logs HTTP/"+version+"\r\nHost: x\r\n"+expect+"Content-Length: 78\r\n\r\n")
		buf := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			return err.Error()
		}
		return string(buf[:n])
	}
	for expect, want := range map[string]string{
		"Expect: 100-continue\r\n":                               "HTTP/1.1 100 ",
		"Expect: 100-Continue\r\n":                               "HTTP/1.1 100 ",
		"expect: 100-CONTINUE \r\n":                              "HTTP/1.1 100 ",
		"Expect: 100-Continue\r\nExpect: 100-continue\r\n":       "HTTP/1.1 100 ",
		"Expect: 200-ok\r\n":                                     "HTTP/1.1 417 ",
		"Expect: 100-continue, x\r\n":                            "HTTP/1.1 417 ",
		"Expect: 100-continue\r\nExpect: a\r\n":                  "HTTP/1.1 417 ",
		"Expect: 100-Continue\r\nContent-Type: a/b\r\n":          "HTTP/1.1 415 ",
		"Expect: 100-Continue\r\nSec-Fetch-Site: cross-site\r\n": "HTTP/1.1 403 ",
	} {
		if got := first("1.1", expect); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", expect, got, want)
		}
	}
	// In HTTP/1.0 nobody waits for it.
	answer := f.raw("POST /logs HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 78\r\n\r\n" + line1)
	if !strings.HasPrefix(answer, "HTTP/1.1 202 ") {
		t.Errorf("HTTP/1.0: %q", answer)
	}
}

func TestServer_NoAnswerToARefusedBatchIsAbove3500Bytes(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Ingestion.MaxRecordBytes = 4096 })
	const bad = `{"timestamp":"\u0000\u0001\u0002\u0003 no time at all, and rather long","path":"","userAgent":"x"}` + "\n"
	bodies := map[string]string{
		"many records":             strings.Repeat(bad, 500),
		"a name that is long":      `{"` + strings.Repeat("x", 3000) + `":1}`,
		"control characters":       `{"timestamp":"` + strings.Repeat("\x01", 300) + `","path":"/","userAgent":"x"}`,
		"a row that is cut":        strings.Repeat("\"a", 4000),
		"characters of four bytes": strings.Repeat(`{"timestamp":"`+strings.Repeat("\U0001F600", 100)+`","path":"/","userAgent":"x"}`+"\n", 100),
	}
	for name, body := range bodies {
		answer := f.raw(fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if len(answer) > 3500 || !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("%s: %d bytes: %.300s", name, len(answer), answer)
		}
	}
	for _, path := range []string{"/logs?ack=" + strings.Repeat("x", 7000), "/logs?" + strings.Repeat("a=%00&", 1000)} {
		if answer := f.raw("POST " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]"); len(answer) > 3500 {
			t.Errorf("%.20s: %d bytes", path, len(answer))
		}
	}
	r := f.post(bodies["many records"])
	if p := r.problem(t); len(p.Errors) < 10 || p.Count != 500 || p.Records != 500 {
		t.Errorf("%d errors, count %d of %d", len(p.Errors), p.Count, p.Records)
	}
}

func TestServer_OptionsSaysWhatAPathTakes(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.AllowedOrigins = []string{"https://logs.example.com"} })
	for path, allow := range map[string]string{"/logs": "OPTIONS, POST", "/logs/": "OPTIONS, POST", "/health": "GET, HEAD, OPTIONS", "/analytics": "GET, HEAD, OPTIONS", "/": "GET, HEAD, OPTIONS, POST", "/_bulk": "OPTIONS, POST, PUT"} {
		for _, version := range []string{"1.0", "1.1"} {
			answer := f.raw("OPTIONS " + path + " HTTP/" + version + "\r\nHost: x\r\nConnection: close\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 204 ") || !strings.Contains(answer, "\r\nAllow: "+allow+"\r\n") || !strings.HasSuffix(answer, "\r\n\r\n") {
				t.Errorf("%s, HTTP/%s: %q", path, version, answer)
			}
		}
	}
	if r := f.do("OPTIONS", "/nothing", nil); r.status != 404 {
		t.Errorf("an unknown path: %d", r.status)
	}
	r := f.do("OPTIONS", "/logs", nil, "Origin", "https://logs.example.com", "Access-Control-Request-Method", "POST")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "https://logs.example.com" || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Content-Type") {
		t.Errorf("a browser's question: %d %v", r.status, r.header)
	}
	if r := f.do("OPTIONS", "/logs", nil, "Origin", "https://evil.example"); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page of another site: %v", r.header)
	}
}

func TestServer_SlashesAtTheEndAreAsNone(t *testing.T) {
	f := start(t, nil)
	for _, path := range []string{"/logs/", "/logs//", "/logs///"} {
		if r := f.do("POST", path, strings.NewReader(line1)); r.status != 202 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if f.sink.records() != 3 {
		t.Errorf("%d records stored", f.sink.records())
	}
}

func TestServer_AProcessOfOneRoleSaysWhatItDoesNotDo(t *testing.T) {
	of := func(role string) *fixture {
		return start(t, func(c *config.Config) { c.Pipeline, c.Kafka.Role = 2, role })
	}
	r := of("consume").post(line1)
	if p := r.problem(t); r.status != 421 || p.Reason != "role" || !strings.Contains(p.Detail, "kafka.role is consume") || r.header.Get("Retry-After") != "" {
		t.Errorf("a batch for a consumer: %d %s", r.status, r.body)
	}
	r = of("ingest").do("GET", "/analytics?hour=2026-02-09T15", nil)
	if p := r.problem(t); r.status != 421 || p.Reason != "role" || !strings.Contains(p.Detail, "kafka.role is ingest") {
		t.Errorf("a question to an ingest node: %d %s", r.status, r.body)
	}
	both := of("both")
	if r, a := both.post(line1), both.do("GET", "/analytics?hour=2026-02-09T15", nil); r.status != 202 || a.status != 200 {
		t.Errorf("both: %d, %d", r.status, a.status)
	}
}

func TestServer_ARefusedBatchLeavesALineInTheLog(t *testing.T) {
	f := start(t, nil)
	f.post(`{"timestamp":"`+"\x1b[31m\\n"+`","path":"/","userAgent":"x"}`, "Content-Type", "application/json")
	log := f.log.String()
	for _, want := range []string{`level=WARN msg="batch refused"`, "route=/logs", "client=127.0.0.1", "status=400", "reason=invalid"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
	if strings.Contains(log, "\x1b") || strings.Count(log, "\n") != 1 {
		t.Errorf("bytes of the client are in the log as they came: %q", log)
	}
}

func TestServer_HoursAndTimesOfABatchAreBounded(t *testing.T) {
	const age, future = 30 * 24 * time.Hour, 48 * time.Hour
	f := start(t, func(c *config.Config) {
		c.Ingestion.MaxBatchHours, c.Ingestion.MaxAge, c.Ingestion.MaxFuture = 3, age, future
	})
	line := func(after time.Duration) string {
		return fmt.Sprintf(`{"timestamp":%q,"path":"/","userAgent":"x"}`+"\n", time.Now().Add(after).UTC().Format(time.RFC3339))
	}
	hours := line(0) + line(-3*time.Hour) + line(-6*time.Hour)
	if r := f.post(hours); r.status != 202 {
		t.Errorf("three hours: %d %s", r.status, r.body)
	}
	r := f.post(hours + line(-9*time.Hour))
	if p := r.problem(t); r.status != 413 || p.Limit != 3 || !strings.Contains(p.Detail, "hours") {
		t.Errorf("four hours: %d %s", r.status, r.body)
	}
	for name, after := range map[string]time.Duration{"too old": -age - time.Hour, "too far ahead": future + time.Hour} {
		before := f.value(`logforge_records_rejected_total{reason="timestamp"}`)
		r := f.post(line(0) + line(after))
		if p := r.problem(t); r.status != 400 || p.Count != 1 || p.Errors[0].Field != "timestamp" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if f.value(`logforge_records_rejected_total{reason="timestamp"}`) != before+1 {
			t.Errorf("%s is not counted", name)
		}
	}
	if received, rest := f.value("logforge_records_received_total"), f.value("logforge_records_written_total")+f.value("logforge_records_rejected_total{"); received != rest {
		t.Errorf("received %v, written and rejected %v", received, rest)
	}
}

// Whatever its body and its coding, a batch that the sink refuses is counted once.
func TestServer_EveryErrorInTheTableIsAnsweredAsItSays(t *testing.T) {
	f := start(t, nil)
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return fails }
	for _, row := range statuses {
		fails = fmt.Errorf("deep in /secret: %w", row.err)
		r := f.post(line1)
		p := r.problem(t)
		if r.status != row.status || p.Reason != row.reason || strings.Contains(p.Detail, "/secret") && row.reason != "query" && row.reason != "malformed" {
			t.Errorf("%v: %d %s", row.err, r.status, r.body)
		}
		if retry := r.header.Get("Retry-After"); (row.status == http.StatusServiceUnavailable) != (retry != "") {
			t.Errorf("%v: %d with Retry-After %q", row.err, r.status, retry)
		}
		if strings.Contains("429 507 408", fmt.Sprint(row.status)) {
			t.Errorf("%v is %d, on which shippers give up", row.err, row.status)
		}
	}
	if received, rest := f.value("logforge_records_received_total"), f.value("logforge_records_written_total")+f.value("logforge_records_rejected_total{"); received != rest || received == 0 {
		t.Errorf("received %v, written and rejected %v", received, rest)
	}
	if !bytes.Contains([]byte(f.log.String()), []byte("/secret")) {
		t.Error("the cause is not in the log")
	}
}
