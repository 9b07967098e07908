package server

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/sink"
)

// intake is one POST /logs under way.
type intake struct {
	hold
	records int   // decoded so far
	whole   bool  // the body has been read to its end
	err     error // how it ended
}

// plan is what the header of a POST /logs asks for.
type plan struct {
	ack     sink.Ack
	format  codec.Format
	codings codings
}

// postLogs takes one batch.
func (s *Server) postLogs(ctx *fasthttp.RequestCtx) {
	in := intake{hold: hold{s: s}, err: errPanic} // until ingest returns
	s.count.working.Add(1)
	defer s.settle(&in)

	in.err = s.ingest(ctx, &in)
	if !in.whole {
		s.skipBody(ctx)
	}
	if in.err != nil {
		s.fail(ctx, in.err)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusAccepted)
	ctx.Response.Header.SetContentTypeBytes(jsonType)
	var answer [40]byte
	ctx.Response.AppendBody(append(strconv.AppendInt(append(answer[:0], `{"accepted":`...), int64(in.records), 10), '}'))
}

// settle gives back what the batch holds and counts it, also after a panic.
func (s *Server) settle(in *intake) {
	in.release()
	s.count.working.Add(-1)
	s.count.countLogs(in.records, in.err)
}

// ingest takes a batch from the socket to the sink. Buffers are given back on
// every return, but not after a panic: somebody may still hold them then.
func (s *Server) ingest(ctx *fasthttp.RequestCtx, in *intake) error {
	p, err := s.admit(ctx)
	if err != nil {
		return err
	}
	body, err := s.readBody(ctx, &in.hold)
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
	if p.codings.n > 0 {
		if body, err = s.inflate(body, p.codings, &in.hold); err != nil {
			return err
		}
		s.count.inflatedBytes.Add(len(body.b))
	}

	// What is decoded is about as large as a JSON body; CSV grows by its names.
	expected := len(body.b)
	if p.format == codec.CSV {
		expected *= 2
	}
	if err := in.expect(expected); err != nil {
		putBuffer(body)
		return err
	}
	batch := codec.GetBatch()
	err = batch.Decode(body.b, p.format, s.limits)
	drop(body, &in.hold) // Decode keeps nothing of it
	if err == nil {
		held := batch.Len()
		if len(batch.Runs()) > 1 {
			held *= 2 // with the twin it was regrouped from
		}
		in.force(max(held-expected, 0))
		in.records = batch.Records()
		err = s.sink.Write(s.deadlines.at(time.Now()), batch, p.ack)
	}
	codec.PutBatch(batch)
	return err
}

// admit checks everything that can be told from the header.
func (s *Server) admit(ctx *fasthttp.RequestCtx) (p plan, err error) {
	h := &ctx.Request.Header
	if err = s.keys.check(h); err != nil {
		return p, err
	}
	if h.ContentLength() > s.maxBody {
		return p, errTooLarge
	}
	if p.format, err = formatOf(h.ContentType()); err != nil {
		return p, err
	}
	if len(h.ContentEncoding()) > 0 {
		for _, v := range h.PeekAll(fasthttp.HeaderContentEncoding) {
			if err = p.codings.add(v); err != nil {
				return p, err
			}
		}
	}
	if len(ctx.URI().QueryString()) > 0 {
		p.ack, err = s.ackOf(ctx.QueryArgs().Peek("ack"))
	}
	return p, err
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

var jsonType = []byte("application/json")

// supportedTypes is what a 415 lists.
var supportedTypes = []string{"application/json", "application/x-ndjson", "text/csv"}

// formatOf reads a Content-Type, without its parameters. None, and those that
// say nothing about the content (what curl and k6 send when not told otherwise),
// leave it to the first byte. The error is errType.
func formatOf(contentType []byte) (codec.Format, error) {
	if bytes.Equal(contentType, jsonType) {
		return codec.JSON, nil
	}
	name, _, _ := bytes.Cut(contentType, []byte(";"))
	switch name = bytes.TrimSpace(name); {
	case bytes.EqualFold(name, jsonType):
		return codec.JSON, nil
	case bytes.EqualFold(name, []byte("application/x-ndjson")):
		return codec.NDJSON, nil
	case bytes.EqualFold(name, []byte("text/csv")):
		return codec.CSV, nil
	case len(name) == 0,
		bytes.EqualFold(name, []byte("text/plain")),
		bytes.EqualFold(name, []byte("application/octet-stream")),
		bytes.EqualFold(name, []byte("application/x-www-form-urlencoded")):
		return codec.Auto, nil
	}
	return codec.Auto, errType
}
