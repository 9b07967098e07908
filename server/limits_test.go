package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

func TestAClassHoldsWhatItIsAskedForAndLittleMore(t *testing.T) {
	last := -1
	for n := range 1 << 20 {
		class, size := classOf(n)
		if size < n || n > minBuffer && size > n+n/4+1 {
			t.Fatalf("%d bytes get a buffer of %d", n, size)
		}
		if class < last || class > last+1 {
			t.Fatalf("%d bytes are of class %d, %d of class %d", n, class, n-1, last)
		}
		if again, same := classOf(size); again != class || same != size {
			t.Fatalf("a buffer of class %d goes back to class %d", class, again)
		}
		last = class
	}
	if class, size := classOf(1 << 31); class >= classes || size != 1<<31 {
		t.Errorf("2 GiB are of class %d with %d bytes", class, size)
	}
}

// However takers, givers and those who lose patience interleave, never more is
// out than there is, everything comes back, and nobody is forgotten.
func TestRoomIsNeverOverbookedAndNeverLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const limit = 10
		r := room{limit: limit}
		sizes := rapid.SliceOfN(rapid.Int64Range(1, limit), 1, 30).Draw(rt, "sizes")
		patience := rapid.SliceOfN(rapid.IntRange(0, 2), len(sizes), len(sizes)).Draw(rt, "patience")
		var wg sync.WaitGroup
		for i, n := range sizes {
			wg.Go(func() {
				until := time.Now().Add(time.Duration(patience[i]) * time.Millisecond)
				if patience[i] == 2 {
					until = time.Now().Add(time.Minute) // must come
				}
				if !r.tryReserve(n) && !r.reserve(n, until) {
					if patience[i] == 2 {
						rt.Errorf("a waiter was forgotten")
					}
					return
				}
				if out := r.reserved.Load(); out > limit {
					rt.Errorf("%d of %d are out", out, limit)
				}
				r.free(n)
			})
		}
		wg.Wait()
		if r.reserved.Load() != 0 || r.waiting.Load() != 0 || len(r.queue) != 0 {
			rt.Fatalf("left: reserved %d, waiting %d, queued %d", r.reserved.Load(), r.waiting.Load(), len(r.queue))
		}
	})
}

func TestALargeOneThatGivesUpLetsTheSmallOnesBehindItIn(t *testing.T) {
	r := room{limit: 10}
	if !r.tryReserve(5) {
		t.Fatal("no room in an empty room")
	}
	large, small := make(chan bool), make(chan bool)
	go func() { large <- r.reserve(10, time.Now().Add(50*time.Millisecond)) }()
	eventually(t, "the large one waits", func() bool { return r.waiting.Load() == 1 })
	go func() { small <- r.reserve(3, time.Now().Add(10*time.Second)) }()
	if <-large {
		t.Error("10 of the 5 that were left have been taken")
	}
	if !<-small {
		t.Error("the small one gave up")
	}
}

func TestARequestWaitsForRoomOnceHoweverManyRoomsItNeeds(t *testing.T) {
	s := quiet(t)
	u := usage{s: s}
	first := u.deadline()
	if left := time.Until(first); left <= 0 || left > s.cfg.WaitForRoom {
		t.Errorf("the wait ends in %v", left)
	}
	eventually(t, "the clock moves on", func() bool { return time.Now().After(first.Add(-s.cfg.WaitForRoom)) })
	if u.deadline() != first {
		t.Error("the second wait has a deadline of its own")
	}
}

// gate is a sink that holds every batch until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate(f *fixture) gate {
	g := gate{make(chan struct{}, 1000), make(chan struct{})}
	f.sink.write = func(ctx context.Context, _ *codec.Batch, _ sink.Ack) error {
		g.entered <- struct{}{}
		select {
		case <-g.open:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return g
}

func TestPastMaxConcurrencyRequestsWaitThenGet503(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxConcurrency = 2 })
	g := newGate(f)
	held := make(chan reply, 2)
	for range 2 {
		go func() { held <- f.post(line1) }()
		<-g.entered
	}
	r := f.post(line1)
	if p := r.problem(t); r.status != 503 || p.Reason != "busy" || r.header.Get("Retry-After") != "1" {
		t.Errorf("the third: %d %s %v", r.status, r.body, r.header)
	}
	// One that still waits when room comes gets it.
	f.Server.cfg.WaitForRoom = time.Minute
	waited := make(chan reply, 1)
	go func() { waited <- f.post(line2) }()
	eventually(t, "the fourth waits", func() bool { return f.slots.waiting.Load() == 1 })
	if n := f.value("ingestion_work_queue_depth"); n != 3 {
		t.Errorf("ingestion_work_queue_depth is %v with two under way and one waiting", n)
	}
	close(g.open)
	for range 2 {
		if r := <-held; r.status != 202 {
			t.Errorf("held: %d %s", r.status, r.body)
		}
	}
	if r := <-waited; r.status != 202 {
		t.Errorf("waited: %d %s", r.status, r.body)
	}
}

func TestASlowBodyHoldsNoPlace(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxConcurrency = 1 })
	for range 10 {
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
	}
	eventually(t, "all bodies are being read", func() bool { return f.count.working.Load() == 10 })
	if r := f.post(line1); r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestBytesInFlightAreBounded(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 3<<20
	})
	g := newGate(f)
	body := array(10_000) // 0.8 MB, and as much decoded
	held := make(chan reply, 3)
	for range 3 {
		go func() { held <- f.post(body) }()
		<-g.entered
	}
	r := f.post(body)
	if p := r.problem(t); r.status != 503 || p.Reason != "busy" {
		t.Errorf("the fourth: %d %s", r.status, r.body)
	}
	if used := f.value("logforge_in_flight_bytes"); used > 3<<20 || used < 2<<20 {
		t.Errorf("logforge_in_flight_bytes is %v", used)
	}
	close(g.open)
	for range 3 {
		if r := <-held; r.status != 202 {
			t.Errorf("held: %d %s", r.status, r.body)
		}
	}
	if r := f.post(body); r.status != 202 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestWhatADecodedBatchTakesBeyondItsBodyIsCounted(t *testing.T) {
	f := start(t, nil)
	g := newGate(f)
	const rows = 10_000
	body := strings.Repeat("2026-02-09T15:23:00Z,/,x\n2026-02-09T16:23:00Z,/,x\n", rows/2)
	decoded := rows * len(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"x"}`+"\n")
	held := make(chan reply, 1)
	go func() { held <- f.post(body, "Content-Type", "text/csv") }()
	<-g.entered
	if used := f.bytes.used.Load(); used < int64(decoded) {
		t.Errorf("%d bytes are reserved for a batch of %d", used, decoded)
	}
	close(g.open)
	if r := <-held; r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Together they need five times the room there is. One after another they fit.
func TestManyLargeBodiesAtOnceDoNotBlockEachOther(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes, c.Server.WaitForRoom = 1<<20, 3<<20, 10*time.Second
	})
	body := array(12_000) // 0.94 MB, and as much decoded
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if r := f.post(body); r.status != 202 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	wg.Wait()
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("at the end %d bytes are reserved", used)
	}
}

func TestServer_WhatIsReservedForABodyThatDoesNotComeLapses(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes, c.Server.WaitForRoom = 1<<20, 3<<20, 10*time.Second
	})
	for range 2 { // all there is room for, and nothing to follow
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 786432\r\n\r\n[")
	}
	eventually(t, "room is reserved for both", func() bool { return f.bytes.reserved.Load() > 2*786432 })
	if r := f.post(array(12_000)); r.status != 202 {
		t.Errorf("an honest client: %d %s", r.status, r.body)
	}
}

func TestTheWaitForTheSinkEnds(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.RequestTimeout = 20 * time.Millisecond })
	newGate(f)
	r := f.post(line1)
	if p := r.problem(t); r.status != 503 || p.Reason != "timeout" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestDeadlinesAreSharedWithinAGrainAndNeverEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	d := deadlines{base: ctx, timeout: time.Minute, start: time.Now()}
	if deadline, ok := d.next().Deadline(); !ok || time.Until(deadline) > d.timeout+grain || deadline.Sub(d.start) < d.timeout {
		t.Errorf("a request that begins now has until %v", deadline)
	}
	now := time.Hour
	first := d.at(now)
	if d.at(now+grain-1) != first {
		t.Error("two requests of one grain have different contexts")
	}
	for _, at := range []time.Duration{0, grain / 2, grain - 1, grain, 5 * grain} {
		deadline, ok := d.at(now + at).Deadline()
		if late := deadline.Sub(d.start.Add(now+at)) - d.timeout; !ok || late < 0 || late > grain {
			t.Errorf("begun %v in: the deadline is off by %v", at, late)
		}
	}
	cancel()
	if first.Err() == nil || d.at(now).Err() == nil {
		t.Error("the end of the base ends not all of them")
	}
}

func TestTheConnectionTooManyIs503(t *testing.T) {
	limited := func(name string, change func(*config.Config)) {
		f := start(t, change)
		var kept []net.Conn
		for range 3 {
			c := f.dial()
			defer c.Close()
			_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
			buf := make([]byte, 1000)
			if n, err := c.Read(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 200 ")) {
				t.Fatalf("%s: %v %q", name, err, buf[:n])
			}
			kept = append(kept, c)
		}
		if n := f.value("logforge_connections"); n != 3 {
			t.Errorf("%s: logforge_connections is %v with three open", name, n)
		}
		answer := f.raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
		for _, want := range []string{"HTTP/1.1 503 ", "\r\nRetry-After: 1\r\n", "\r\nConnection: close\r\n", "application/problem+json", `"reason":"connections"`} {
			if !strings.Contains(answer, want) {
				t.Errorf("%s: the fourth is answered %q, not %q", name, answer, want)
			}
		}
		if codes := statusesOf(t, answer); fmt.Sprint(codes) != "[503]" {
			t.Errorf("%s: %v", name, codes)
		}
		kept[0].Close()
		eventually(t, "its place is free", func() bool { return f.conns.count() == 2 })
		if r := f.do("GET", "/health", nil); r.status != 200 {
			t.Errorf("%s: in the place of one that left: %d", name, r.status)
		}
	}
	limited("all", func(c *config.Config) { c.Server.MaxConnections = 3 })
	limited("per address", func(c *config.Config) { c.Server.MaxConnectionsPerIP = 3 })
}

func TestAnAddressIsCountedAsItsOwner(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := prefixOf(a).String(); got != want {
			t.Errorf("%s is counted as %s, want %s", addr, got, want)
		}
	}
}

func TestImpossibleSizesAreNamed(t *testing.T) {
	cfg := settings()
	cfg.Server.MaxBodyBytes = 64 * config.MiB
	_, err := New(&cfg, null{}, nil, nil, Build{}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "server.maxInFlightBytes is 64MiB, too small for server.maxBodyBytes 64MiB: at least 192MiB") {
		t.Errorf("%v", err)
	}
}
