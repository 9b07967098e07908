package server

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

func TestEveryRouteAnswersGetAndHead(t *testing.T) {
	f := start(t, nil)
	answers := func(path string, status int, contentType, body string) {
		t.Helper()
		r := f.do("GET", path, nil)
		if r.status != status || !strings.HasPrefix(r.header.Get("Content-Type"), contentType) || !strings.Contains(r.body, body) {
			t.Errorf("GET %s: %d %s %.200s", path, r.status, r.header.Get("Content-Type"), r.body)
		}
		h := f.do("HEAD", path, nil)
		if h.status != status || h.body != "" || h.header.Get("Content-Type") != r.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q %v", path, h.status, h.body, h.header)
		}
		// The metrics' own length changes from one reading to the next.
		if path != "/metrics" && h.header.Get("Content-Length") != fmt.Sprint(len(r.body)) {
			t.Errorf("HEAD %s says Content-Length %s, GET has %d bytes", path, h.header.Get("Content-Length"), len(r.body))
		}
	}
	answers("/health", 200, "text/plain", "ok")
	answers("/livez", 200, "text/plain", "ok")
	answers("/ready", 200, "text/plain", "ready")
	answers("/readyz", 200, "text/plain", "ready")
	answers("/version", 200, "application/json", `{"version":"1.2.3","commit":"abc","buildDate":"2026-02-09","pipelineMode":"v1"}`)
	answers("/analytics?hour=2026-02-09T15", 200, "application/json", `{"hour":"2026-02-09T15","top":0}`)
	answers("/analytics?hour=2026-02-09T16", 404, "application/problem+json", `"no_summary"`)
	answers("/metrics", 200, "text/plain; version=0.0.4", "logforge_records_received_total 0\n")
	answers("/metrics", 200, "text/plain", "process_resident_memory_bytes")
	answers("/metrics", 200, "text/plain", "go_goroutines")
	answers("/metrics", 200, "text/plain", `logforge_build_info{version="1.2.3",commit="abc",build_date="2026-02-09",pipeline_mode="v1"} 1`)
	answers("/", 404, "application/problem+json", `"route"`)
	answers("/health/", 200, "text/plain", "ok")
	answers("/analytics/?hour=2026-02-09T15", 200, "application/json", `{"hour":"2026-02-09T15","top":0}`)
	answers("/nothing", 404, "application/problem+json", `"route"`)
	answers("/dashboard/config", 404, "application/problem+json", `"route"`)
}

func TestTheDashboardIsServedWhereItIsOn(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.Dashboard, c.Storage.AnalyticsDir = true, t.TempDir() })
	for path, status := range map[string]int{"/": 200, "/dashboard/config": 200, "/dashboard/metrics": 200, "/dashboard/nothing.js": 404} {
		if r := f.do("GET", path, nil); r.status != status {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

func TestAnotherMethodIs405AndAllowNamesTheRightOnes(t *testing.T) {
	f := start(t, nil)
	refused := func(method, path, allow string) {
		t.Helper()
		r := f.do(method, path, nil)
		if r.status != 405 || r.header.Get("Allow") != allow {
			t.Errorf("%s %s: %d, Allow: %q", method, path, r.status, r.header.Get("Allow"))
		}
		if method != "HEAD" {
			r.problem(t)
		}
	}
	for _, m := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} {
		refused(m, "/logs", "OPTIONS, POST")
		refused(m, "/logs/", "OPTIONS, POST")
	}
	for _, path := range []string{"/health", "/livez", "/ready", "/readyz", "/version", "/metrics", "/analytics"} {
		refused("POST", path, "GET, HEAD, OPTIONS")
		refused("DELETE", path, "GET, HEAD, OPTIONS")
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	f := start(t, nil)
	unready := func(reason, detail string) {
		t.Helper()
		for _, path := range []string{"/ready", "/readyz"} {
			r := f.do("GET", path, nil)
			if p := r.problem(t); r.status != 503 || p.Reason != reason || !strings.Contains(p.Detail, detail) {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
		if r := f.do("GET", "/health", nil); r.status != 200 {
			t.Errorf("health while not ready: %d", r.status)
		}
	}
	f.ready = fmt.Errorf("logs directory: %w", sink.ErrDiskFull)
	unready("disk_full", "disk full")
	f.ready = fmt.Errorf("brokers a:1: %w", sink.ErrUnavailable)
	unready("unavailable", "brokers a:1")
	f.ready = errors.New("fdatasync: input/output error")
	unready("internal", "fdatasync")
	f.ready = nil
	f.Drain()
	unready("draining", "draining")
	if r := f.post(line1); r.status != 202 {
		t.Errorf("while draining, requests are served: %d %s", r.status, r.body)
	}
}

func TestAnalyticsTakesAnHourOrARange(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxAnalyticsHours = 48 })
	says := func(query, want string) {
		t.Helper()
		if r := f.do("GET", "/analytics?"+query, nil); r.status != 200 || r.body != want {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	refuses := func(query, detail string) {
		t.Helper()
		r := f.do("GET", "/analytics?"+query, nil)
		if p := r.problem(t); r.status != 400 || !strings.Contains(p.Detail, detail) {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	hour := `{"hour":"2026-02-09T15","top":0}`
	says("hour=2026-02-09T15", hour)
	says("hour=2026-02-09T15:00:00Z", hour)
	says("hour=2026-02-09T15:00:00.000Z", hour)
	says("hour=2026-02-09T16:00:00%2B01:00", hour)
	says("hour=2026-02-09T15&top=7", `{"hour":"2026-02-09T15","top":7}`)
	says("from=2026-02-09T15&to=2026-02-09T15", `{"from":"2026-02-09T15","to":"2026-02-09T15","top":1000}`)
	says("from=2026-02-09T00&to=2026-02-10T23&top=3", `{"from":"2026-02-09T00","to":"2026-02-10T23","top":3}`)

	const form = "use hour=2026-02-09T15, or from=2026-02-09T00&to=2026-02-09T23"
	for _, bad := range []string{"", "hour=", "hour=yesterday", "hour=2026-02-09", "hour=2026-02-09T24", "hour=2026-02-30T01", "hour=2026-02-09T15:30:00Z",
		"hour=2026-02-09T15:00:00", "from=2026-02-09T15", "to=2026-02-09T15", "hour=2026-02-09T15&from=2026-02-09T15",
		"from=2026-02-09T15&to=x", "from=x&to=2026-02-09T15", "from=2026-02-09T16&to=2026-02-09T15",
		"hour=2026-02-09T15&top=0", "hour=2026-02-09T15&top=-1", "hour=2026-02-09T15&top=x", "hour=2026-02-09T15&top=99999999999999999999"} {
		refuses(bad, form)
	}
	refuses("from=2026-02-09T00&to=2026-02-11T00", "a range of 49 hours is over server.maxAnalyticsHours (48)")
	refuses("from=1970-01-01T00&to=1970-01-01T01", "ask for fewer hours")
	refuses("from=0000-01-01T00&to=9999-12-31T23", "server.maxAnalyticsHours")
}

var update = flag.Bool("update", false, "write the golden files anew")

// The forms of all problems are public: other programs read them.
func TestProblemsKeepTheirForm(t *testing.T) {
	f := start(t, nil)
	var got strings.Builder
	errs := []error{errPanic,
		&codec.InvalidError{Errors: []codec.RecordError{{Index: 1, Field: "timestamp", Reason: "not RFC 3339"}}, Count: 1, Records: 3},
		&codec.LimitError{Index: 100_000, What: "records", Max: 100_000, Records: 100_000},
		fmt.Errorf("%w: top is not a number", errQuery),
	}
	for _, r := range statuses {
		errs = append(errs, r.err)
	}
	for _, err := range errs {
		ctx := new(fasthttp.RequestCtx)
		f.sendProblem(ctx, f.problemOf(err))
		fmt.Fprintf(&got, "%s\n\n", ctx.Response.Body())
		if status := ctx.Response.StatusCode(); http.StatusText(status) == "" || status == 408 || status == 429 || status == 507 {
			t.Errorf("%v is answered with %d", err, status)
		}
	}
	golden := filepath.Join("testdata", "problems.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("problems have changed (go test ./server -run Form -update writes them anew):\n%s", got.String())
	}
}
