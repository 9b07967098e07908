package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"logforge/config"
)

func TestShutdownLetsRequestsFinishAndClosesIdleConnections(t *testing.T) {
	f := start(t, nil)
	idle := f.dial()
	defer idle.Close()
	_, _ = io.WriteString(idle, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := idle.Read(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	g := newGate(f)
	held := f.dial()
	defer held.Close()
	_, _ = held.Write(request([]byte(array(1)), ""))
	<-g.entered

	stopped := make(chan error, 1)
	go func() { stopped <- f.Shutdown(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1000)); err != io.EOF {
		t.Errorf("an idle connection ends with %v", err)
	}
	if err := <-f.served; err != nil {
		t.Errorf("Serve returns %v", err)
	}
	if c, err := http.Get("http://" + f.addr + "/health"); err == nil {
		c.Body.Close()
		t.Error("a connection is accepted after Shutdown")
	}
	select {
	case err := <-stopped:
		t.Fatalf("Shutdown returned %v with a request under way", err)
	default:
	}
	close(g.open)
	answer, closed := f.readAll(held)
	if !strings.HasPrefix(answer, "HTTP/1.1 202 ") || !strings.Contains(answer, "Connection: close") || !closed || f.sink.text() != line1 {
		t.Errorf("the request under way: %q, closed: %v", answer, closed)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownEndsInTimeWhateverTheSinkDoes(t *testing.T) {
	f := start(t, nil)
	newGate(f) // never opened
	held := make(chan reply, 1)
	go func() { held <- f.post(line1) }()
	eventually(t, "the batch is at the sink", func() bool { return f.slots.reserved.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	if r := <-held; r.status != 503 || r.problem(t).Reason != "closed" {
		t.Errorf("the request: %d %s", r.status, r.body)
	}
}

func TestShutdownDoesNotWaitForABodyThatDoesNotCome(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.ShutdownTimeout, c.Server.ReadTimeout = 100*time.Millisecond, time.Hour
	})
	c := f.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[")
	eventually(t, "the body is being read", func() bool { return f.count.working.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if answer, closed := f.readAll(c); !closed || !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("closed: %v, %q", closed, answer)
	}
}

// What a client was told is stored is stored, and what it was told is not is
// not; only a connection that broke leaves it in doubt.
func TestShutdownUnderLoadLosesNothing(t *testing.T) {
	f := start(t, nil)
	var accepted, unknown atomic.Int64
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				line := fmt.Sprintf(`{"timestamp":"2026-02-09T15:23:00Z","path":"/%d/%d","userAgent":"x"}`+"\n", client, i)
				res, err := f.client.Post("http://"+f.addr+"/logs", "application/json", strings.NewReader(line))
				if err != nil {
					unknown.Add(1)
					return
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				stored := strings.Contains(f.sink.text(), line)
				switch {
				case res.StatusCode == 202 && string(body) == `{"accepted":1}` && stored:
					accepted.Add(1)
				case res.StatusCode == 503 && !stored:
					return
				default:
					t.Errorf("%d %s, stored: %v", res.StatusCode, body, stored)
					return
				}
			}
		})
	}
	eventually(t, "load", func() bool { return accepted.Load() > 500 })
	if err := f.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	wg.Wait()
	if n := int64(f.sink.records()); n < accepted.Load() || n > accepted.Load()+unknown.Load() {
		t.Errorf("%d records stored, %d acknowledged, %d in doubt", n, accepted.Load(), unknown.Load())
	}
}
