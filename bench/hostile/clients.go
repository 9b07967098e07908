package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is one sort of hostile client.
type Kind struct {
	Name string
	// Run attacks the server at addr until ctx ends. What the server answers, or
	// that it answers nothing, is no concern of it.
	Run func(ctx context.Context, addr string)
}

// Kinds are all of them.
var Kinds = slices.Concat(connectionKinds, bodyKinds, answerKinds)

// crowd runs n clients, each again and again until ctx ends.
func crowd(ctx context.Context, n int, one func(ctx context.Context, i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				one(ctx, i)
				pause(ctx, time.Millisecond)
			}
		})
	}
	all.Wait()
}

// pause waits, or returns when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// open connects, and closes the connection when ctx ends. It returns nil if the
// server does not take it.
func open(ctx context.Context, addr string) *net.TCPConn {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil
	}
	t := c.(*net.TCPConn)
	_ = t.SetLinger(0) // no port stays taken behind it
	context.AfterFunc(ctx, func() { _ = t.Close() })
	return t
}

// sent opens a connection, writes parts one after another, calls then, and closes it.
// It returns before that when the server does not take the connection or the parts.
func sent(ctx context.Context, addr string, parts [][]byte, then func(c *net.TCPConn)) {
	c := open(ctx, addr)
	if c == nil {
		pause(ctx, 50*time.Millisecond)
		return
	}
	defer c.Close() //nolint:errcheck // hostile
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			return
		}
	}
	then(c)
}

// send sends parts, and waits until the server has answered or closed the connection.
func send(ctx context.Context, addr string, parts ...[]byte) {
	sent(ctx, addr, parts, func(c *net.TCPConn) {
		var answer [4 << 10]byte
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Read(answer[:])
	})
}

// pipeline sends a thousand requests over one connection, and reads the answers
// beside that.
func pipeline(ctx context.Context, addr string, request func(n int) []byte) {
	sent(ctx, addr, nil, func(c *net.TCPConn) {
		go drain(ctx, c, 4<<10, 0)
		for n := range 1000 {
			if _, err := c.Write(request(n)); err != nil {
				return
			}
		}
	})
}

// keepOpen sends parts, and keeps the connection open until ctx ends or the server closes
// it. It reads nothing of an answer.
func keepOpen(ctx context.Context, addr string, parts ...[]byte) {
	sent(ctx, addr, parts, func(c *net.TCPConn) {
		for ctx.Err() == nil {
			pause(ctx, 500*time.Millisecond)
			if _, err := c.Write([]byte("x")); err != nil { // the server has closed it
				return
			}
		}
	})
}

// head is the head of a request.
func head(method, target string, headers ...string) []byte {
	return []byte(method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n")
}

// posting is a whole request.
func posting(target string, body []byte, headers ...string) []byte {
	return append(head("POST", target, append(headers, fmt.Sprintf("Content-Length: %d", len(body)))...), body...)
}

const record = `{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0"}` + "\n"

// largest is a body of the largest size that the server takes by default.
const largest = 20 << 20

// filled returns n bytes, line again and again, cut at the last whole one.
func filled(n int, line string) []byte { return bytes.Repeat([]byte(line), n/len(line)) }

func gzipped(body []byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, errWrite := z.Write(body)
	if err := errors.Join(errWrite, z.Close()); err != nil {
		panic(err) // into memory: cannot fail
	}
	return out.Bytes()
}

// chunked writes body as chunks of n bytes, each with an extension.
func chunked(body []byte, n int, extension string) []byte {
	var out bytes.Buffer
	for len(body) > 0 {
		part := body[:min(n, len(body))]
		body = body[len(part):]
		fmt.Fprintf(&out, "%x%s\r\n%s\r\n", len(part), extension, part)
	}
	out.WriteString("0\r\n\r\n")
	return out.Bytes()
}

// drain reads everything slowly: n bytes every now and then.
func drain(ctx context.Context, c io.Reader, n int, every time.Duration) {
	buf := make([]byte, n)
	for ctx.Err() == nil {
		if _, err := c.Read(buf); err != nil {
			return
		}
		pause(ctx, every)
	}
}

// letters returns n letters that do not repeat.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}
