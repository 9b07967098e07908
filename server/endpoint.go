package server

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/server/dialect"
	"logforge/sink"
)

// endpoint is one way in for batches: a route, what its clients ask for in the
// header, how a body becomes a batch, and how the answer is written. All endpoints
// share everything else: keys, limits, inflation, the sink, the metrics.
type endpoint struct {
	route     string   // the label of the metrics
	paths     []string // patterns of the router
	methods   []string
	keyHeader string // in which these clients carry the API key, too; "" for none

	// plan reads from the header what the request wants, before its body is read.
	plan func(s *Server, ctx *fasthttp.RequestCtx) (wants, error)
	// implied names the compression of a body that declares none; nil: there is
	// none then.
	implied func(in *intake, body []byte) (codings, error)
	// decode turns the plain body into in.batch. It keeps nothing of body.
	decode func(s *Server, in *intake, body []byte) error
	// answer writes what a batch that is stored is answered with.
	answer func(s *Server, ctx *fasthttp.RequestCtx, in *intake)
	// refuse writes the answer to any other, whose status and Retry-After are set
	// already; nil is a problem (RFC 9457).
	refuse func(s *Server, ctx *fasthttp.RequestCtx, p *problem)
}

// endpoints are all ways in: this one, and those in shippers.go.
var endpoints = append([]*endpoint{
	{route: "/logs", paths: []string{"/logs"}, methods: []string{"POST"}, plan: planLogs, decode: decodeLogs, answer: answerLogs},
}, endpointsOfDialects()...)

// wants is what the header of a request asks for.
type wants struct {
	ack      sink.Ack
	format   codec.Format
	codings  codings
	rules    *codec.Rules
	setAside bool   // invalid records are set aside; the others are stored
	key      string // the name of the API key; "" for none
}

// intake is one request of an endpoint under way.
type intake struct {
	usage
	wants
	batch   *codec.Batch
	records int   // of the batch, once it is decoded
	whole   bool  // the body has been read to its end
	err     error // how it ended

	// What a dialect reads, and what it says of the records that are set aside.
	route   string
	from    string    // the client's address; only known where records are set aside
	at      time.Time // when the request arrived
	request dialect.Request
	writer  *dialect.Writer
	result  *dialect.Result
	aside   setAside
	// Of a request with an Idempotency-Key: that it has one, the sum of its body, and
	// what became of the same one before; nil if it is new.
	keyed    bool
	sum      uint64
	replayed *onceOutcome
}

// An intake is the codec.Room of its batch.

// Reuse takes n bytes, unless they are more than was reserved and room is scarce:
// others count on the rest then.
func (in *intake) Reuse(n int) bool {
	if in.conn != nil && in.s.bytes.scarce() && int64(n) > in.conn.reserved.Load() {
		return false
	}
	return in.reuse(n) == nil
}

// Take takes n bytes.
func (in *intake) Take(n int) error { return in.take(n) }

// Give returns n bytes.
func (in *intake) Give(n int) { in.give(n) }

var intakes = sync.Pool{New: func() any { return new(intake) }}

// serveEndpoint takes one batch through d.
func (s *Server) serveEndpoint(d *endpoint) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		in := intakes.Get().(*intake)
		in.s, in.conn, in.route, in.at = s, connOf(ctx), d.route, ctx.Time()
		in.err = errPanic // until ingest returns
		s.count.working.Add(1)
		defer s.finishBatch(in)

		s.allowReading(ctx)
		in.err = s.ingestOnce(ctx, d, in)
		if !in.whole {
			s.skipBody(ctx)
		}
		if in.err != nil {
			s.failEndpoint(ctx, d, in.key, in.err)
			return
		}
		d.answer(s, ctx, in)
	}
}

// failEndpoint answers err as the clients of d expect it, and leaves a line in the log
// (a repeated one is throttled by the log handler).
func (s *Server) failEndpoint(ctx *fasthttp.RequestCtx, d *endpoint, key string, err error) {
	p := s.problemOf(err)
	level := slog.LevelWarn
	if p.Status == fasthttp.StatusInternalServerError {
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, "batch refused", "route", d.route, "client", clientOf(ctx), "key", key,
		"status", p.Status, "reason", p.Reason, "error", shortened(err.Error(), maxLogged))
	if d.refuse == nil {
		s.sendProblem(ctx, p)
		return
	}
	p.Detail = shortened(p.Detail, 2*maxText)
	ctx.Response.ResetBody()
	ctx.SetStatusCode(p.Status)
	s.problemHeaders(ctx, p.Status)
	d.refuse(s, ctx, &p)
}

// finishBatch gives back what the batch holds and counts it, also after a panic.
func (s *Server) finishBatch(in *intake) {
	if in.result != nil && in.conn != nil && len(in.result.Items) > 0 {
		n := min(in.bytes, int64(len(in.result.Items)*dialect.ItemBytes))
		in.bytes -= n
		in.conn.countAnswer(n)
	}
	in.release()
	s.count.working.Add(-1)
	s.count.countBatch(in.records, in.aside.items, in.err)
	if in.writer != nil && in.err != errPanic {
		dialect.PutWriter(in.writer)
	}
	if in.err != errPanic { // after a panic it may still be in use
		*in = intake{}
		intakes.Put(in)
	}
}

// ingest takes a batch from the socket to the sink. Buffers are given back on
// every return, but not after a panic, when they may still be in use.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, d *endpoint, in *intake) (err error) {
	if in.wants, err = s.admit(ctx, d); err != nil {
		return err
	}
	// A long header is kept as it came, and parsed, while the body arrives.
	if n := len(ctx.Request.Header.RawHeaders()); n > 1<<10 && in.conn != nil {
		if err := in.take(3 * n); err != nil {
			return err
		}
	}
	body, err := s.readBody(ctx, &in.usage, in.wants)
	if err != nil {
		return err
	}
	in.whole = true
	enter(ctx, working)
	s.count.batches.Inc()
	s.count.bodyBytes.Add(len(body.b))
	if err := in.slot(); err != nil {
		putBuffer(body)
		return err
	}
	if in.codings.n > 0 {
		if body, err = s.inflate(body, in.codings, &in.usage); err != nil {
			return err
		}
	}
	if d.implied != nil {
		in.request = requestOf(ctx)
		implied, err := d.implied(in, body.b)
		if err != nil {
			drop(body, &in.usage)
			return err
		}
		if implied.n > 0 {
			in.codings.n++
			if body, err = s.inflate(body, implied, &in.usage); err != nil {
				return err
			}
		}
	}
	if in.codings.n > 0 {
		s.count.inflatedBytes.Add(len(body.b))
	}
	if in.keyed || in.replayed != nil {
		in.sum = maphash.Bytes(s.once.seed, body.b)
	}
	if in.replayed != nil && in.sum != in.replayed.sum {
		drop(body, &in.usage)
		return errOtherBody
	}
	in.batch = codec.GetBatchFor(len(body.b), in)
	err = d.decode(s, in, body.b)
	drop(body, &in.usage) // nothing of it is kept
	switch {
	case err == nil && in.replayed != nil:
		in.aside = setAside{} // that is done
	case err == nil:
		in.usage.freeUnused()
		in.records = in.batch.Records()
		err = s.store(ctx, in)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		// The sink may read the batch for longer than this request lasts. Its memory
		// counts until then: a disk that hangs must not gather batches without end.
		n := in.bytes
		in.bytes = 0
		in.batch.AtEnd(func() { s.bytes.giveBack(n) })
	}
	codec.PutBatch(in.batch)
	in.batch = nil
	return err
}

// store sets aside what is to be set aside and then writes the batch. In this
// order a record may be set aside twice, when its client sends again a batch that
// could not be written; in the other one a stored record would be stored twice.
func (s *Server) store(ctx *fasthttp.RequestCtx, in *intake) error {
	deadline := s.deadlines.next()
	if len(in.aside.items) > 0 || in.aside.err != nil {
		in.from = clientOf(ctx)
		if err := s.keepAside(deadline, in); err != nil {
			return err
		}
	}
	if in.records == 0 {
		return nil
	}
	if err := s.sink.Write(deadline, in.batch, in.ack); err != nil {
		return err
	}
	s.count.arrival.Add(in.batch.ArrivalTimes())
	return nil
}

// admit checks everything that can be told from the header.
func (s *Server) admit(ctx *fasthttp.RequestCtx, d *endpoint) (w wants, err error) {
	h := &ctx.Request.Header
	if err = s.checkOrigin(h); err != nil {
		return w, err
	}
	key, err := s.keys.Load().check(h, d.keyHeader)
	if err != nil {
		return w, err
	}
	w.key = key
	if s.noIngest != nil {
		return w, s.noIngest
	}
	if h.ContentLength() > s.maxBody {
		return w, errTooLarge
	}
	w, err = d.plan(s, ctx)
	w.key = key
	if err != nil {
		return w, err
	}
	if len(h.ContentEncoding()) > 0 {
		for _, v := range h.PeekAll(fasthttp.HeaderContentEncoding) {
			if err = w.codings.add(v); err != nil {
				return w, err
			}
		}
	}
	if len(ctx.URI().QueryString()) > 0 {
		w.ack, err = s.ackOf(ctx.QueryArgs().Peek("ack"))
	}
	return w, err
}

// ackOf reads ?ack=; empty means the configured level.
func (s *Server) ackOf(name []byte) (sink.Ack, error) {
	if len(name) == 0 {
		return sink.Default, nil
	}
	for _, a := range s.acks {
		if string(name) == a.String() {
			return a, nil
		}
	}
	return sink.Default, errAck
}
