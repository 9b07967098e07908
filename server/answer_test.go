package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/server/peers"
)

// slow is Summaries that put an answer together until their context ends, and
// then say so.
type slow struct {
	summaries
	began, ended chan struct{}
}

func (s slow) AppendHour(ctx context.Context, dst []byte, _ codec.Hour, _ int) ([]byte, error) {
	s.began <- struct{}{}
	<-ctx.Done()
	s.ended <- struct{}{}
	return dst, context.Cause(ctx)
}

// largeAnswer answers with size bytes.
type largeAnswer struct {
	summaries
	size int
}

func (b largeAnswer) AppendHour(context.Context, []byte, codec.Hour, int) ([]byte, error) {
	return append(append([]byte(`{"x":"`), bytes.Repeat([]byte("a"), b.size)...), `"}`...), nil
}

func soon(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(20 * time.Second):
		t.Fatalf("not in time: %s", what)
	}
}

func TestAnalytics_EndsWhenTheClientHangsUp(t *testing.T) {
	f := start(t, nil)
	s := slow{began: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	f.summaries = s
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	// What a client has sent besides is not read, and does not hide that it has gone.
	fmt.Fprintf(c, "GET /analytics?hour=2026-02-09T15 HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	soon(t, "the work has begun", s.began)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the work ends with its client", s.ended)
}

func TestAnalytics_EndsWhenTheServerStops(t *testing.T) {
	f := start(t, nil)
	s := slow{began: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	f.summaries = s
	answered := make(chan int, 1)
	go func() {
		res, err := f.client.Get("http://" + f.addr + "/analytics?hour=2026-02-09T15")
		if err != nil {
			answered <- 0
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	soon(t, "the work has begun", s.began)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = f.Shutdown(ctx) // it says that the time was up
	soon(t, "the work ends with the server", s.ended)
	if status := <-answered; status != 503 && status != 0 {
		t.Errorf("answered %d", status)
	}
}

func TestAnalytics_AnswersCountInTheBudgetUntilTheyAreSent(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 40<<20
		c.Server.WriteTimeout = time.Second
	})
	f.summaries = largeAnswer{size: 9 << 20}
	const ask = "GET /analytics?hour=2026-02-09T15 HTTP/1.1\r\nHost: x\r\n\r\n"
	held := func() int64 { return f.answers.used.Load() }
	var conns []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, ask); err != nil { // and reads nothing
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for end := time.Now().Add(10 * time.Second); held() < 18<<20 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := f.do("GET", "/analytics?hour=2026-02-09T15", nil); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a third one: %d, %d bytes", got.status, len(got.body))
	}
	if r := f.do("POST", "/logs", strings.NewReader(line1)); r.status != 202 {
		t.Errorf("a batch beside them: %d %s", r.status, r.body)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	for end := time.Now().Add(20 * time.Second); held() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := held(); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
	if got := f.do("GET", "/analytics?hour=2026-02-09T15", nil); got.status != 200 || len(got.body) < 9<<20 {
		t.Errorf("with room again: %d", got.status)
	}
	if got := f.do("HEAD", "/analytics?hour=2026-02-09T15", nil); got.status != 200 {
		t.Errorf("HEAD: %d", got.status)
	}
	eventually(t, "nothing is taken after HEAD", func() bool { return held() == 0 })
}

// Of forty clients that ask for much and read nothing, few get an answer put
// together at a time, and all hold half of the budget at most; so with /metrics.
func TestAnswers_OfClientsThatReadNothingAreBounded(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes, c.Server.WriteTimeout = 1<<20, 40<<20, time.Minute
	})
	var atOnce, most atomic.Int64
	f.summaries = countedAnswer{largeAnswer{size: 9 << 20}, &atOnce, &most}
	for i := range 40 {
		path := "/analytics?hour=2026-02-09T15"
		if i%4 == 0 {
			path = "/metrics"
		}
		c := f.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all that there is room for", func() bool { return f.answers.used.Load() >= 18<<20 })
	if r := f.post(array(1000)); r.status != 202 {
		t.Errorf("a batch beside them: %d %s", r.status, r.body)
	}
	if n := most.Load(); n > putters {
		t.Errorf("%d answers were put together at once", n)
	}
	if n := f.answers.used.Load(); n > f.answers.limit {
		t.Errorf("answers hold %d bytes", n)
	}
}

// Ensure that a scrape is answered while clients hold the whole budget, and that
// its memory is bounded all the same.
func TestMetrics_AreAnsweredWhileClientsHoldTheWholeBudget(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.WaitForRoom, c.Server.WriteTimeout = 10*time.Millisecond, time.Minute
	})
	all := f.bytes.limit
	if !f.bytes.acquire(all, time.Now()) {
		t.Fatal("the budget is not free")
	}
	defer f.bytes.give(all)
	if r := f.post(array(1)); r.status != 503 {
		t.Fatalf("a batch without budget: %d", r.status)
	}
	for range 3 * forOperators {
		if r := f.do("GET", "/metrics", nil); r.status != 200 || !strings.Contains(r.body, "logforge_in_flight_bytes") {
			t.Fatalf("/metrics: %d %.200s", r.status, r.body)
		}
	}
	for range forOperators {
		f.scrapes <- struct{}{}
	}
	if r := f.do("GET", "/metrics", nil); r.status != 503 {
		t.Errorf("one more than there are places for: %d", r.status)
	}
	for range forOperators {
		<-f.scrapes
	}
}

type countedAnswer struct {
	largeAnswer
	atOnce, most *atomic.Int64
}

func (s countedAnswer) AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	n := s.atOnce.Add(1)
	defer s.atOnce.Add(-1)
	for old := s.most.Load(); n > old && !s.most.CompareAndSwap(old, n); old = s.most.Load() {
	}
	return s.largeAnswer.AppendHour(ctx, dst, h, top)
}

func TestAnalytics_IsCompressedForThoseWhoTakeIt(t *testing.T) {
	f := start(t, nil)
	f.summaries = largeAnswer{size: 100_000}
	plain := f.do("GET", "/analytics?hour=2026-02-09T15", nil)
	packed := f.do("GET", "/analytics?hour=2026-02-09T15", nil, "Accept-Encoding", "br, gzip;q=0.9")
	if plain.header.Get("Content-Encoding") != "" || packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v\n%v", plain.header, packed.header)
	}
	z, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || string(text) != plain.body || len(packed.body) > len(plain.body)/10 {
		t.Errorf("%d bytes packed, %d plain, %v", len(packed.body), len(plain.body), err)
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "br, gzip": true, "br;q=1, GZIP ; q=0.001": true, "*": true, "gzip;q=1.0, identity": true,
		"": false, "br": false, "gzip;q=0": false, "gzip;q=0.000": false, "*;q=0": false, "xgzip": false, "identity": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestAnalytics_OfAProcessThatOnlyIngestsAreThoseOfItsPeers(t *testing.T) {
	store := start(t, nil)
	ingest := start(t, func(c *config.Config) {
		c.Pipeline, c.Kafka.Role, c.Ingestion.Ack = 2, "ingest", "replicated"
		c.Analytics.Peers = []string{"http://" + store.addr}
	})
	if got := ingest.do("GET", "/analytics?hour=2026-02-09T15", nil); got.status != 200 || !strings.Contains(got.body, `"peers":[{"url":"http://`+store.addr+`","answered":true}]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	alone := start(t, func(c *config.Config) { c.Pipeline, c.Kafka.Role, c.Ingestion.Ack = 2, "ingest", "replicated" })
	if got := alone.do("GET", "/analytics?hour=2026-02-09T15", nil); got.status != 421 {
		t.Errorf("%d %s", got.status, got.body)
	}
	// A peer wants to know that there is nothing, and which process says so.
	if got := alone.do("GET", "/analytics?hour=2026-02-09T16&local=true", nil); got.status != 404 || got.header.Get(peers.Header) == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
}
