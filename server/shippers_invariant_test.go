package server

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// Over any mix of good and bad records, by any route, with sinks that fail:
// received = written + rejected, what was set aside is what is counted as that,
// and nothing is held at the end.
func TestServer_ReceivedIsWrittenPlusRejectedOverEveryEndpoint(t *testing.T) {
	f, aside := startShippers(t, func(c *config.Config) {
		c.Ingestion.MaxBatchRecords, c.Ingestion.MaxRecordBytes, c.Server.MaxBodyBytes = 200, 1000, 100_000
	})
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error {
		if fails != nil && fails.Error() == "panic" {
			panic(fails)
		}
		return fails
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	long := strings.Replace(combinedLine, "/a", "/"+strings.Repeat("x", 2000), 1)
	record := rapid.SampledFrom([]string{combinedLine, combinedLine, strings.TrimSpace(line1), `{"path":"/x"}`, "junk", "", "{", "[1,2]", "17", "\x00\xff", long, `{"time":"never","path":"/"}`})
	forms := map[string]func(records []string) string{
		"/ingest": func(r []string) string { return strings.Join(r, "\n") },
		"/_bulk":  func(r []string) string { return "{\"create\":{}}\n" + strings.Join(r, "\n{\"index\":{}}\n") },
		"/v1/logs": func(r []string) string {
			all := ""
			for _, one := range r {
				all += proto(2, proto(5, proto(1, one)))
			}
			return proto(1, proto(2, all))
		},
		"/loki/api/v1/push": func(r []string) string {
			values := make([]string, len(r))
			for i := range r {
				values[i] = `["1",` + quote(r[i]) + `]`
			}
			return `{"streams":[{"stream":{"job":"x"},"values":[` + strings.Join(values, ",") + `]}]}`
		},
		"/services/collector": func(r []string) string {
			return `{"event":` + quote(strings.Join(r, " ")) + `}` + strings.Join(r, "\n")
		},
		"/services/collector/raw": func(r []string) string { return strings.Join(r, "\r\n") },
		"/api/v2/logs":            func(r []string) string { return "[" + strings.Join(r, ",") + "]" },
		"/logs?invalid=set-aside": func(r []string) string { return strings.Join(r, "\n") },
		"/logs":                   func(r []string) string { return strings.Join(r, "\n") },
		"/ingest?format=ndjson":   func(r []string) string { return strings.Join(r, "\n") },
		"/elasticsearch/x/_bulk":  func(r []string) string { return strings.Join(r, "\n") },
		"/otlp/v1/logs": func(r []string) string {
			return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(r, ",") + `]}]}]}`
		},
		"/services/collector/event": func(r []string) string { return strings.Join(r, "") },
	}
	var targets []string
	for target := range forms {
		targets = append(targets, target)
	}
	target := rapid.SampledFrom(targets)
	failure := rapid.SampledFrom([]error{nil, nil, nil, nil, sink.ErrFull, sink.ErrDiskFull, sink.ErrUnavailable, errors.New("odd"), errors.New("panic")})
	rapid.Check(t, func(rt *rapid.T) {
		records := rapid.SliceOfN(record, 0, 12).Draw(rt, "records")
		if rapid.IntRange(0, 9).Draw(rt, "many") == 0 {
			for range 4 {
				records = append(records, records...)
			}
		}
		fails = failure.Draw(rt, "sink")
		aside.mu.Lock()
		aside.err = rapid.SampledFrom([]error{nil, nil, nil, sink.ErrNotSetAside}).Draw(rt, "aside")
		aside.mu.Unlock()
		to := target.Draw(rt, "target")
		r := f.do("POST", to, strings.NewReader(forms[to](records)))
		if r.status == 500 && (fails == nil || fails.Error() != "odd" && fails.Error() != "panic") {
			rt.Fatalf("%s: %d %s", to, r.status, r.body)
		}
		received, written, rejected := f.value("logforge_records_received_total"), f.value("logforge_records_written_total"), f.value("logforge_records_rejected_total{")
		if received != written+rejected {
			rt.Fatalf("%s, %d %s: received %v, written %v, rejected %v", to, r.status, r.body, received, written, rejected)
		}
		if int(written) != f.sink.records() {
			rt.Fatalf("%s, %d %s: written %v, in the sink %d", to, r.status, r.body, written, f.sink.records())
		}
		if n := f.value("logforge_records_set_aside_total"); int(n) != len(aside.all()) {
			rt.Fatalf("%s: counted %v as set aside, there are %d", to, n, len(aside.all()))
		}
	})
	eventually(t, "the last answer, which the client has, is no longer counted, nor its request", func() bool {
		return f.bytes.used.Load() == 0 && f.slots.reserved.Load() == 0 && f.count.working.Load() == 0
	})
}
