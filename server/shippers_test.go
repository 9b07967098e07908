package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

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
