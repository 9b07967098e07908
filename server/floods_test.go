package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"logforge/config"
	"logforge/server/dialect"
)

// Ensure that a request whose parts would take many times its size once they are
// parsed is refused, that its memory is not kept, and that nothing of it is taken
// for another request.
func TestServer_RefusesARequestOfThousandsOfParts(t *testing.T) {
	f := start(t, nil)
	lines := func(n int) string { return strings.Repeat("a:\r\n", n) }
	arguments := func(n int) string { return strings.Repeat("a&", n) }
	for _, c := range []struct {
		head   string
		status int
	}{
		{"POST /logs HTTP/1.1\r\nHost: x\r\n" + lines(2000), 431},
		{"POST /ingest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + lines(200), 431},
		{"POST /logs HTTP/1.1\r\nHost: x\r\n" + lines(100), 202},
		{"POST /logs?" + arguments(64) + " HTTP/1.1\r\nHost: x\r\n", 400},
		{"POST /ingest?" + arguments(3000) + " HTTP/1.1\r\nHost: x\r\n", 400},
		{"POST /ingest?" + arguments(3000) + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n", 400},
		{"POST /logs?" + arguments(60) + " HTTP/1.1\r\nHost: x\r\n", 202},
		{"GET /analytics?" + arguments(100) + " HTTP/1.1\r\nHost: x\r\n", 400},
		{"GET /nothing?" + arguments(100) + " HTTP/1.1\r\nHost: x\r\n", 400},
	} {
		answer := f.raw(c.head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(line1)) + line1)
		if codes := statusesOf(t, answer); len(codes) != 1 || codes[0] != c.status {
			t.Errorf("%.80q: answers %v, want %d\n%s", c.head, codes, c.status, answer)
		}
		if c.status != 202 && !strings.Contains(answer, "Connection: close") {
			t.Errorf("%.80q: the connection goes on behind a body that was not read:\n%s", c.head, answer)
		}
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// Ensure that connections that only wait are closed for new ones, those that have
// waited longest first, once all together take half of the memory for requests.
func TestServer_ConnectionsThatWaitMakePlaceForOthers(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 4<<20 })
	most := f.conns.most
	var held []net.Conn
	for i := range most {
		c := f.dial()
		defer c.Close()
		switch i % 3 {
		case 0:
			_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nX: ")
		case 1:
			_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[")
		}
		held = append(held, c)
	}
	eventually(t, "all are open", func() bool { return f.conns.count() == most })
	for range 20 {
		stored := false
		for end := time.Now().Add(30 * time.Second); !stored && time.Now().Before(end); {
			answer := ""
			if c, err := net.Dial("tcp", f.addr); err == nil {
				_, _ = fmt.Fprintf(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(line1), line1)
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				var buf [4096]byte
				n, _ := c.Read(buf[:])
				answer = string(buf[:n])
				defer c.Close()
			}
			if stored = strings.HasPrefix(answer, "HTTP/1.1 202 "); !stored {
				time.Sleep(20 * time.Millisecond) // as a client does that is told to come again
			}
		}
		if !stored {
			t.Fatal("a new connection gets no place")
		}
	}
	if n := f.value("logforge_connections_closed_for_others_total"); n == 0 {
		t.Error("no closed connection was counted")
	}
	if n := f.conns.count(); n > most+most/8 {
		t.Errorf("%d connections are open, %d may be", n, most)
	}
	for _, c := range held {
		_ = c.Close()
	}
	eventually(t, "the budget has their memory back", func() bool { return f.bytes.lent.Load() == 0 && f.bytes.used.Load() == 0 })
}

// Ensure that a large answer counts until its client has read it, whatever route it
// is of.
func TestServer_AnAnswerThatIsNotReadCounts(t *testing.T) {
	f := start(t, nil)
	body := strings.Repeat("{\"index\":{}}\n"+line1, 95_000)
	c := f.dial()
	var sending sync.WaitGroup
	sending.Go(func() {
		for range 8 { // more than any socket buffers
			if _, err := fmt.Fprintf(c, "POST /_bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
				return
			}
		}
	})
	eventually(t, "an answer is being sent", func() bool {
		f.conns.mu.Lock()
		defer f.conns.mu.Unlock()
		for open := range f.conns.open {
			if open.sending.Load() == int64(95_000*dialect.ItemBytes) && f.bytes.used.Load() >= open.sending.Load() {
				return true
			}
		}
		return false
	})
	c.Close()
	sending.Wait()
	eventually(t, "what it took is given back", func() bool { return f.bytes.used.Load() == 0 })
}
