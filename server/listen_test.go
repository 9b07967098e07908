package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// scarce is a listener that has no file descriptors the first few times.
type scarce struct {
	net.Listener
	fails int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.fails > 0 {
		s.fails--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

func TestRunningOutOfFileDescriptorsIsWaitedOut(t *testing.T) {
	s := quiet(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&scarce{ln, 3}) }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /health HTTP/1.0\r\n\r\n")
	if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200 ") {
		t.Errorf("%v %q", err, all)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// broken is a listener that fails for good.
type broken struct{ net.Listener }

func (broken) Accept() (net.Conn, error) { return nil, syscall.EBADF }

func TestServeReturnsWhatItCannotWaitOut(t *testing.T) {
	s := quiet(t)
	s.log = slog.New(slog.DiscardHandler)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(broken{ln}); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// large answers with more than any socket buffers.
type large struct{ summaries }

func (large) AppendHour(_ context.Context, dst []byte, _ codec.Hour, _ int) ([]byte, error) {
	return append(dst, make([]byte, 24<<20)...), nil
}

func TestAClientThatDoesNotReadItsAnswerIsDropped(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.WriteTimeout = 100 * time.Millisecond })
	f.Server.summaries = large{}
	c := f.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "GET /analytics?hour=2026-02-09T15 HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "the answer begins", func() bool { return f.value(`logforge_requests_total{route="/analytics"`) == 1 })
	eventually(t, "the connection is given up", func() bool { return f.conns.count() == 0 })
}

func TestASlowSinkIsNoSlowClient(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.ReadTimeout = 40 * time.Millisecond })
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error {
		time.Sleep(200 * time.Millisecond) // longer than the read time-out
		return nil
	}
	c := f.dial()
	defer c.Close()
	for range 2 { // the connection is as good as new afterwards
		_, _ = fmt.Fprintf(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(line1), line1)
		buf := make([]byte, 1000)
		if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 202 ") {
			t.Fatalf("%v %q", err, buf[:n])
		}
	}
}

// Buffers, batches and decompressors are shared by all requests; a batch must
// hold nothing but its own request's records. With -tags poison, and under the
// race detector, a use after the end shows as well.
func TestNoByteOfOneRequestIsSeenInAnother(t *testing.T) {
	f := start(t, nil)
	f.sink.write = func(_ context.Context, b *codec.Batch, _ sink.Ack) error {
		var want string
		n := 0
		for _, r := range b.Runs() {
			for line := range strings.Lines(string(b.Lines(r))) {
				if want == "" {
					want = line
				}
				if line != want {
					return fmt.Errorf("a batch of %q holds %q", want, line)
				}
				n++
			}
		}
		if n != b.Records() {
			return fmt.Errorf("a batch of %d records holds %d lines", b.Records(), n)
		}
		return nil
	}
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			line := strings.Replace(line1, "/home", fmt.Sprintf("/client/%d", client), 1)
			for i := range 60 {
				p := packs[(client+i)%len(packs)]
				body := strings.Repeat(line, 1+(i*i*37)%700)
				if i%7 == 0 {
					body += "broken"
				}
				send, header := body, []string{"Content-Type", "application/x-ndjson"}
				if i%3 > 0 {
					send, header = string(p.pack([]byte(body))), append(header, "Content-Encoding", p.coding)
				}
				r := f.post(send, header...)
				if want := map[bool]int{true: 400, false: 202}[i%7 == 0]; r.status != want {
					t.Errorf("client %d, request %d, %s: %d %s", client, i, p.name, r.status, r.body)
				}
			}
		})
	}
	wg.Wait()
	if log := f.log.String(); strings.Contains(log, "a batch of") {
		t.Error(log)
	}
}
