package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// The invariant of the contract, over any mix: every record that was received is
// written or rejected, once.
func TestReceivedIsWrittenPlusRejected(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Ingestion.MaxBatchRecords, c.Ingestion.MaxRecordBytes, c.Server.MaxBodyBytes = 300, 1000, 100_000
	})
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error {
		if fails != nil && fails.Error() == "panic" {
			panic(fails)
		}
		return fails
	}
	const (
		noPath  = `{"timestamp":"2026-02-09T15:23:00Z","path":"","userAgent":"x"}` + "\n"
		noTime  = `{"timestamp":"now","path":"/","userAgent":"x"}` + "\n"
		noAgent = `{"timestamp":"2026-02-09T15:23:00Z","path":"/"}` + "\n"
	)
	long := strings.Replace(line1, "/home", strings.Repeat("x", 2000), 1)
	piece := rapid.SampledFrom([]string{line1, line1, line1, line2, noPath, noTime, noAgent, long, "{}\n", "{\n", "[1,2\n", "null\n", "\n", "garbage\n"})
	header := rapid.SampledFrom([][]string{nil, {"Content-Type", "application/json"}, {"Content-Type", "application/x-ndjson"},
		{"Content-Type", "text/csv"}, {"Content-Type", "a/b"}, {"Content-Encoding", "gzip"}, {"Content-Encoding", "br"}})
	sinkError := rapid.SampledFrom([]error{nil, nil, nil, sink.ErrFull, sink.ErrDiskFull, sink.ErrAck, context.DeadlineExceeded, errors.New("odd"), errors.New("panic")})
	requests, accepted := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		body := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(rt, "body"), "")
		if rapid.Bool().Draw(rt, "many") {
			body = strings.Repeat(body, 50)
		}
		if rapid.Bool().Draw(rt, "array") {
			body = "[" + strings.ReplaceAll(strings.TrimSpace(body), "\n", ",\n") + "]"
		}
		fails = sinkError.Draw(rt, "sink")
		r := f.do("POST", "/logs", strings.NewReader(body), header.Draw(rt, "header")...)
		requests++
		if r.status == 202 {
			accepted += strings.Count(body, `{"timestamp"`)
		}
		received, written, rejected := f.value("logforge_records_received_total"), f.value("logforge_records_written_total"), f.value("logforge_records_rejected_total{")
		if received != written+rejected {
			rt.Fatalf("after %d %s: received %v, written %v, rejected %v", r.status, r.body, received, written, rejected)
		}
		if int(written) != accepted || f.value("logs_ingested_total") != written {
			rt.Fatalf("after %d %s: written %v, acknowledged %d", r.status, r.body, written, accepted)
		}
		if n := f.value(`logforge_requests_total{route="/logs"`); int(n) != requests {
			rt.Fatalf("%v of %d requests counted", n, requests)
		}
		if n := f.value("logforge_request_duration_seconds_count"); int(n) != requests {
			rt.Fatalf("%v of %d durations counted", n, requests)
		}
		if n := f.value("invalid_requests_total") + f.value("ingest_errors_total") + f.value("logforge_batch_records_count"); int(n) != requests {
			rt.Fatalf("%v of %d outcomes counted", n, requests)
		}
	})
	if used, slots, working := f.bytes.used.Load(), f.slots.reserved.Load(), f.count.working.Load(); used != 0 || slots != 0 || working != 0 {
		t.Errorf("held at the end: %d bytes, %d places, %d under way", used, slots, working)
	}
}

func TestRejectedRecordsAreCountedByTheirReason(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Ingestion.MaxBatchRecords = 1000 })
	counts := func(body string, want map[string]float64) {
		t.Helper()
		before := map[string]float64{}
		reasons := []string{"timestamp", "path", "userAgent", "record", "invalid", "batch", "limit", "busy", "full"}
		for _, r := range reasons {
			before[r] = f.value(`logforge_records_rejected_total{reason="` + r + `"}`)
		}
		f.post(body)
		for _, r := range reasons {
			if got := f.value(`logforge_records_rejected_total{reason="`+r+`"}`) - before[r]; got != want[r] {
				t.Errorf("%.60q: %v for %s, want %v", body, got, r, want[r])
			}
		}
	}
	bad := strings.Replace(line1, "/home", "", 1)
	counts(line1+bad+line2, map[string]float64{"path": 1, "batch": 2})
	counts(strings.Repeat(bad, 150)+line1, map[string]float64{"path": 100, "invalid": 50, "batch": 1})
	counts(strings.Replace(line1, "2026", "x", 1)+strings.Replace(line1, "Mozilla/5.0", " ", 1), map[string]float64{"timestamp": 1, "userAgent": 1})
	counts("", nil)
	counts(strings.Repeat(line1, 1001), map[string]float64{"limit": 1001})
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return sink.ErrFull }
	counts(line1+line2, map[string]float64{"full": 2})
}

func TestMetricsAreNamedByTheContract(t *testing.T) {
	f := start(t, nil)
	f.post(line1)
	f.post("bad")
	f.do("POST", "/logs", bytes.NewReader(gzipOf(line1)), "Content-Encoding", "gzip")
	text := f.do("GET", "/metrics", nil).body
	for _, sample := range []string{
		"log_batches_received_total 3", "logs_ingested_total 2", "ingest_errors_total 0", "invalid_requests_total 1",
		"ingestion_work_queue_depth 0", "logforge_records_received_total ", "logforge_records_written_total 2",
		`logforge_records_rejected_total{reason="record"} `, `logforge_requests_total{route="/logs",status="202"} 2`,
		`logforge_requests_total{route="/logs",status="400"} 1`, `logforge_requests_total{route="/logs",status="503"} 0`,
		`logforge_request_duration_seconds_bucket{le="0.001"} `, `logforge_request_duration_seconds_bucket{le="+Inf"} 3`,
		"logforge_request_duration_seconds_sum ", "logforge_request_duration_seconds_count 3",
		`logforge_batch_records_bucket{le="1"} 2`, "logforge_batch_records_sum 2",
		fmt.Sprintf("logforge_received_bytes_total %d", len(line1)+len("bad")+len(gzipOf(line1))),
		fmt.Sprintf("logforge_inflated_bytes_total %d", len(line1)),
		"logforge_in_flight_bytes 0", "logforge_in_flight_bytes_limit 67108864", "logforge_connections ",
		"logforge_connections_refused_total 0", "logforge_panics_total 0", "logforge_uptime_seconds ",
		"process_cpu_seconds_total ", "go_memstats_heap_inuse_bytes ",
	} {
		if !strings.Contains(text, "\n"+sample) && !strings.HasPrefix(text, sample) {
			t.Errorf("no sample %q", sample)
		}
	}
	if strings.Contains(text, "vmrange") {
		t.Error("a histogram with vmrange, which Prometheus cannot read")
	}
}

// Whatever clients ask for, the number of series is bounded.
func TestLabelsAreBounded(t *testing.T) {
	f := start(t, nil)
	all := func() int { return strings.Count(f.do("GET", "/metrics", nil).body, "\nlogforge_") }
	f.do("GET", "/x", nil)
	before := all()
	for i := range 50 {
		f.do("GET", fmt.Sprintf("/%d", i), nil)
		f.do("GET", fmt.Sprintf("/logs/%d?hour=%d", i, i), nil)
	}
	if after := all(); after > before+1 { // the route /metrics itself comes with its first answer
		t.Errorf("%d series became %d", before, after)
	}
}
