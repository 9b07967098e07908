package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// Answers that take time and memory to put together, those of GET /analytics: the
// work ends with the time for it, with the server, or when the client has hung up,
// and the finished answer counts in server.maxInFlightBytes until it is sent.

const (
	// analyticsTime is how long an answer may take to put together.
	analyticsTime = 30 * time.Second
	// clientCheck is how often is looked whether the client is still there.
	clientCheck = 200 * time.Millisecond
	// leastCompressed is the shortest answer that is worth compressing.
	leastCompressed = 1 << 10
)

// answer sends what put returns as JSON, compressed if the client takes that. put
// ends early, with an error, when its context does.
func (s *Server) answer(ctx *fasthttp.RequestCtx, put func(context.Context) ([]byte, error)) error {
	within, cancel := context.WithTimeout(s.deadlines.base, analyticsTime)
	defer cancel()
	body, err := func() ([]byte, error) {
		defer watchClient(connOf(ctx), cancel)()
		return put(within)
	}()
	if err != nil {
		return analyticsError(err)
	}
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if len(body) >= leastCompressed && acceptsGzip(string(ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding))) {
		body = fasthttp.AppendGzipBytesLevel(nil, body, fasthttp.CompressBestSpeed)
		h.Set(fasthttp.HeaderContentEncoding, "gzip")
	}
	if !s.bytes.reserve(int64(len(body)), time.Now().Add(s.cfg.WaitForRoom)) {
		h.Del(fasthttp.HeaderContentEncoding)
		return errBusy
	}
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyStream(&heldBody{Reader: *bytes.NewReader(body), free: sync.OnceFunc(func() { s.bytes.free(int64(len(body))) })}, len(body))
	return nil
}

// acceptsGzip reports whether an Accept-Encoding takes gzip (RFC 9110, section
// 12.5.3). fasthttp's own look at it knows no weights.
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
			continue
		}
		_, q, weighted := strings.Cut(weight, "=")
		n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return !weighted || err == nil && n > 0
	}
	return false
}

// heldBody is an answer that holds room until fasthttp has sent it, or given up.
type heldBody struct {
	bytes.Reader
	free func()
}

func (b *heldBody) Close() error {
	b.free()
	return nil
}

// watchClient calls gone when the client of c has closed its side, until the
// function it returns is called.
func watchClient(c *conn, gone func()) (stop func()) {
	raw := rawConn(c)
	if raw == nil {
		return func() {}
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(clientCheck)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if peerClosed(raw) {
				gone()
				return
			}
		}
	})
	return func() {
		close(done)
		watching.Wait()
	}
}

// rawConn returns the socket of c, or nil.
func rawConn(c *conn) syscall.RawConn {
	if c == nil {
		return nil
	}
	under := c.Conn
	if t, ok := under.(*tls.Conn); ok {
		under = t.NetConn()
	}
	socket, ok := under.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
