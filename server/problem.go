package server

import (
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/codec"
)

// problem is an answer in the form of RFC 9457. Its type is about:blank, so its
// title is the status's own; reason is the word for programs.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason string `json:"reason"`

	// 400 for records: the first of them, and how many of how many.
	Errors  []codec.RecordError `json:"errors,omitempty"`
	Count   int                 `json:"count,omitempty"`
	Records int                 `json:"records,omitempty"`

	Supported []string `json:"supported,omitempty"` // 415, and 400 for ?ack=
	Limit     int      `json:"limit,omitempty"`     // 413, 431: what the limit is
}

// problemOf is the answer to err.
func (s *Server) problemOf(err error) problem {
	r := rowOf(err)
	p := problem{Title: http.StatusText(r.status), Status: r.status, Detail: r.err.Error(), Reason: r.reason}
	if text, ok := told[r.err]; ok {
		p.Detail = text
	}
	var invalid *codec.InvalidError
	var limit *codec.LimitError
	switch {
	case errors.As(err, &invalid):
		p.Errors, p.Count, p.Records = invalid.Errors, invalid.Count, invalid.Records
		p.Detail = invalid.Error() + "; nothing of the batch was stored"
	case errors.As(err, &limit):
		p.Limit = limit.Max
		p.Detail = limit.Error() + "; nothing of the batch was stored"
	case r.reason == "query", r.reason == "malformed": // what is right is said where it is known
		p.Detail = err.Error()
	case r.reason == "ack":
		for _, a := range s.acks {
			p.Supported = append(p.Supported, a.String())
		}
	case r.err == errKey:
		p.Detail += ": it belongs in the header " + s.keys.Load().header
	case r.err == errFormat:
		p.Supported = slices.Sorted(maps.Keys(formats))
	case r.err == errType:
		p.Supported = supportedTypes
	case r.err == errCoding:
		p.Supported = supportedCodings
	case r.err == errTooLarge:
		p.Limit = s.maxBody
	case r.err == errHeader:
		p.Limit = int(s.cfg.MaxHeaderBytes)
	}
	return p
}

// fail answers err.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	p := s.problemOf(err)
	s.noteFailure(ctx, p, err)
	s.sendProblem(ctx, p)
}

// noteFailure logs what the operator has to know: everything from 500 on. (A
// repeated message is throttled by the log handler.)
func (s *Server) noteFailure(ctx *fasthttp.RequestCtx, p problem, err error) {
	switch {
	case p.Status == fasthttp.StatusInternalServerError:
		s.log.Error("request failed", "path", string(ctx.Path()), "error", err)
	case p.Status > fasthttp.StatusInternalServerError:
		s.log.Warn("request refused", "path", string(ctx.Path()), "reason", p.Reason, "error", err)
	}
}

func (s *Server) sendProblem(ctx *fasthttp.RequestCtx, p problem) {
	body, err := json.Marshal(p)
	if err != nil { // cannot fail: strings and numbers only
		panic(err)
	}
	ctx.Response.ResetBody()
	ctx.SetStatusCode(p.Status)
	ctx.SetContentType("application/problem+json")
	s.problemHeaders(ctx, p.Status)
	ctx.Response.AppendBody(body)
}

// problemHeaders sets the headers that a status asks for.
func (s *Server) problemHeaders(ctx *fasthttp.RequestCtx, status int) {
	switch status {
	case fasthttp.StatusServiceUnavailable:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, s.retryAfter)
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, s.keys.Load().challenge)
	}
}
