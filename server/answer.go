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
	// putters is how many answers are put together at once.
	putters = 2
	// clientCheck is how often the server checks whether the client is still there.
	clientCheck = 200 * time.Millisecond
	// leastCompressed is the shortest answer that is worth compressing.
	leastCompressed = 1 << 10
	// forOperators is how many answers of /metrics, of at most mostForOperator bytes,
	// may be on their way beside the budget.
	forOperators    = 4
	mostForOperator = 1 << 20
)

// answer sends what put returns as JSON, compressed if the client takes that. put
// ends early, with an error, when its context does. Only a few answers are put
// together at once, and while one is, a quarter of server.maxInFlightBytes counts
// as taken: how large it becomes is not known before. Errors: those of put, errBusy,
// errAnswer.
func (s *Server) answer(ctx *fasthttp.RequestCtx, put func(context.Context) ([]byte, error)) error {
	until := time.Now().Add(s.cfg.WaitForRoom)
	body, err := s.put(ctx, until, put)
	if err != nil {
		return err
	}
	ctx.SetContentType("application/json")
	return s.send(ctx, body, until)
}

func (s *Server) put(ctx *fasthttp.RequestCtx, until time.Time, put func(context.Context) ([]byte, error)) ([]byte, error) {
	if !s.putting.tryReserve(1) && !s.putting.reserve(1, until) {
		return nil, errBusy
	}
	defer s.putting.free(1)
	allowance := s.bytes.limit / 4
	if !s.bytes.acquire(allowance, until) {
		return nil, errBusy
	}
	defer s.bytes.give(allowance)
	within, cancel := context.WithTimeout(s.deadlines.base, analyticsTime)
	defer cancel()
	defer watchClient(connOf(ctx), cancel)()
	body, err := put(within)
	if err != nil {
		return nil, analyticsError(err)
	}
	return body, nil
}

// send answers with body, which the caller gives up, compressed if the
// client takes that. It counts as taken until it is sent, and all answers together
// may take half of server.maxInFlightBytes, so that those who read slowly do not
// keep batches out. Errors: errBusy if there is no room until then, errAnswer for a
// body that there is never room for.
func (s *Server) send(ctx *fasthttp.RequestCtx, body []byte, until time.Time) error {
	body, coding := compressed(ctx, body)
	n := int64(cap(body))
	switch {
	case n > s.answers.limit:
		return errAnswer
	case !s.answers.acquire(n, until):
		return errBusy
	case !s.bytes.acquire(n, until):
		s.answers.give(n)
		return errBusy
	}
	stream(ctx, body, coding, func() {
		s.answers.give(n)
		s.bytes.giveBack(n)
	})
	return nil
}

// sendToOperator is send for what has to be answered while clients hold the whole
// budget: a few such answers at a time take nothing of it.
func (s *Server) sendToOperator(ctx *fasthttp.RequestCtx, body []byte, until time.Time) error {
	if len(body) > mostForOperator {
		return s.send(ctx, body, until)
	}
	select {
	case s.scrapes <- struct{}{}:
	default:
		return s.send(ctx, body, until)
	}
	body, coding := compressed(ctx, body)
	stream(ctx, body, coding, func() { <-s.scrapes })
	return nil
}

// compressed returns body as the client takes it, and how it is encoded: empty for
// not at all.
func compressed(ctx *fasthttp.RequestCtx, body []byte) ([]byte, string) {
	ctx.Response.Header.Add(fasthttp.HeaderVary, fasthttp.HeaderAcceptEncoding)
	if len(body) < leastCompressed || !acceptsGzip(string(ctx.Request.Header.Peek(fasthttp.HeaderAcceptEncoding))) {
		return body, ""
	}
	return fasthttp.AppendGzipBytesLevel(nil, body, fasthttp.CompressBestSpeed), "gzip"
}

// stream answers with body; free is called once it is sent, or given up.
func stream(ctx *fasthttp.RequestCtx, body []byte, coding string, free func()) {
	if coding != "" {
		ctx.Response.Header.Set(fasthttp.HeaderContentEncoding, coding)
	}
	ctx.Response.SetBodyStream(&countedBody{Reader: *bytes.NewReader(body), free: sync.OnceFunc(free)}, len(body))
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

// countedBody is an answer whose room is taken until fasthttp has sent it, or given up.
type countedBody struct {
	bytes.Reader
	free func()
}

func (b *countedBody) Close() error {
	b.Reset(nil)
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
