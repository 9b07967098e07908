package server

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/sink"
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
	r := mappingOf(err)
	p := problem{Title: http.StatusText(r.status), Status: r.status, Detail: r.err.Error(), Reason: r.reason}
	if text, ok := clientText[r.err]; ok {
		p.Detail = text
	}
	var invalid *codec.InvalidError
	var limit *codec.LimitError
	switch {
	case errors.Is(err, sink.ErrUnsynced):
		p.Detail = "the batch was written and could not be synced; /ready and the log say why. It may have been stored or not"
	case errors.As(err, &invalid):
		p.Errors, p.Count, p.Records = invalid.Errors, invalid.Count, invalid.Records
		p.Detail = invalid.Error() + "; nothing of the batch was stored"
	case errors.As(err, &limit):
		p.Limit = limit.Max
		p.Detail = limit.Error() + "; nothing of the batch was stored"
	case r.reason == "query", r.reason == "malformed": // the error itself says what would be right
		p.Detail = err.Error()
	case r.reason == "ack":
		for _, a := range s.acks {
			p.Supported = append(p.Supported, a.String())
		}
	case r.err == errKey:
		p.Detail += ": it belongs in the header " + s.keys.Load().header + ", or in Authorization after the word Bearer"
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

const (
	// maxProblem is how long the body of an answer to a refused batch may be:
	// 3,500 bytes less the headers. Fluent Bit's http output cannot read an answer
	// above 4,096 bytes, takes it for a broken connection, and sends the batch again.
	maxProblem = 3000
	// maxLogged and maxText are the longest text of a client in the log and in an
	// answer.
	maxLogged = 300
	maxText   = 200
)

// within returns p as JSON of at most n bytes: with as many of its errors as fit
// (their count stays), and with long texts cut.
func (p problem) within(n int) []byte {
	p.Detail = shortened(p.Detail, 2*maxText)
	own := p.Errors
	p.Errors = make([]codec.RecordError, len(own)) // a copy: the originals belong to the codec
	for i, e := range own {
		p.Errors[i] = codec.RecordError{Index: e.Index, Field: shortened(e.Field, maxText), Reason: shortened(e.Reason, maxText)}
	}
	for {
		body, err := json.Marshal(p)
		if err != nil { // cannot fail: strings and numbers only
			panic(err)
		}
		switch {
		case len(body) <= n:
			return body
		case len(p.Errors) > 0:
			p.Errors = p.Errors[:len(p.Errors)*n/(len(body)+1)]
		default: // what is left is a text of characters that JSON escapes
			p.Detail = shortened(p.Detail, len(p.Detail)/2)
		}
	}
}

// shortened returns text, or what of it fits into n bytes with dots behind it.
func shortened(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n = max(0, n-len("..."))
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "..."
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
	body := p.within(maxProblem)
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
