package server

import (
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// handler returns the handler of all routes.
func (s *Server) handler() fasthttp.RequestHandler {
	r := router.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath, r.HandleOPTIONS = false, false, false
	get := func(path string, name route, h fasthttp.RequestHandler) {
		h = s.on(name, h)
		r.GET(path, h)
		r.HEAD(path, h) // fasthttp leaves the body out
	}
	r.POST("/logs", s.on(routeLogs, s.postLogs))
	get("/analytics", routeAnalytics, s.guarded(s.getAnalytics))
	get("/metrics", routeMetrics, s.getMetrics)
	get("/health", routeHealth, s.getHealth)
	get("/livez", routeHealth, s.getHealth)
	get("/ready", routeReady, s.getReady)
	get("/readyz", routeReady, s.getReady)
	get("/version", routeVersion, s.getVersion)
	if d := s.dashboard; d != nil {
		get("/", routeDashboard, d.servePage)
		get("/dashboard/{file:*}", routeDashboard, func(ctx *fasthttp.RequestCtx) { d.serveFile(ctx, s.notFound) })
		get("/dashboard/config", routeDashboard, s.guarded(d.serveConfig))
		get("/dashboard/metrics", routeDashboard, s.guarded(func(ctx *fasthttp.RequestCtx) error {
			d.serveMetrics(ctx)
			return nil
		}))
	}
	r.NotFound = s.on(routeOther, s.notFound)
	r.MethodNotAllowed = s.on(routeOther, func(ctx *fasthttp.RequestCtx) {
		// The router names OPTIONS whether or not it answers it.
		allow := strings.Split(string(ctx.Response.Header.Peek(fasthttp.HeaderAllow)), ", ")
		allow = slices.DeleteFunc(allow, func(m string) bool { return m == fasthttp.MethodOptions })
		ctx.Response.Header.Set(fasthttp.HeaderAllow, strings.Join(allow, ", "))
		s.fail(ctx, errMethod)
	})
	return r.Handler
}

func (s *Server) notFound(ctx *fasthttp.RequestCtx) { s.fail(ctx, errNoRoute) }

// guarded asks for the API key, where keys are on, and answers h's error.
func (s *Server) guarded(h func(*fasthttp.RequestCtx) error) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		err := s.keys.check(&ctx.Request.Header)
		if err == nil {
			err = h(ctx)
		}
		if err != nil {
			s.fail(ctx, err)
		}
	}
}

// on is what every route has in common: framing, panics, unread bodies, counting.
func (s *Server) on(name route, h fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer s.finish(ctx, name)
		if framedTwice(&ctx.Request.Header) {
			s.fail(ctx, errFraming)
			closeAfter(ctx)
			return
		}
		h(ctx)
		if name != routeLogs { // which knows whether it has read its body
			s.skipBody(ctx)
		}
	}
}

// finish counts the request and turns a panic of its handler into a 500: no
// panic reaches a client as a closed connection.
func (s *Server) finish(ctx *fasthttp.RequestCtx, name route) {
	if v := recover(); v != nil {
		s.count.panics.Inc()
		s.log.Error("panic in a handler", "path", string(ctx.Path()), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.sendProblem(ctx, s.problemOf(errPanic))
		closeAfter(ctx) // who knows how much of the body has been read
	}
	enter(ctx, answering)
	s.count.request(name, ctx.Response.StatusCode()).Inc()
	if name == routeLogs {
		s.count.duration.Update(time.Since(ctx.Time()).Seconds())
	}
}

// refuse answers what fasthttp could not make a request of. fasthttp closes the
// connection after it.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, err error) {
	reason := errRequest
	switch err.(type) {
	case *fasthttp.ErrSmallBuffer:
		reason = errHeader
	case fasthttp.ErrNothingRead:
		_ = ctx.Conn().Close() // there is no request to answer
		return
	default:
		if timedOut(ctx) {
			reason = errSlow
		}
	}
	enter(ctx, answering)
	s.sendProblem(ctx, s.problemOf(reason)) // not logged: the internet is full of these
	s.count.request(routeOther, ctx.Response.StatusCode()).Inc()
	closeAfter(ctx)
}

// expect decides on a request that asks with Expect: 100-continue whether to
// send its body: a batch that will be refused anyway is refused before that.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	if !ctx.IsPost() || !bytes.Equal(ctx.Path(), []byte("/logs")) {
		return fasthttp.StatusContinue // the route's own handler answers
	}
	err := errFraming
	if !framedTwice(&ctx.Request.Header) {
		_, err = s.admit(ctx)
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	s.fail(ctx, err)
	closeAfter(ctx)
	s.count.countLogs(0, err)
	s.count.request(routeLogs, ctx.Response.StatusCode()).Inc()
	return ctx.Response.StatusCode()
}

// skippable is how much of an unread body is read and thrown away to keep the
// connection.
const skippable = 16 << 10

// skipBody deals with a body that its handler has not read to the end, which
// must not be taken for the next request: a small one is swallowed, otherwise
// the connection ends with this answer.
func (s *Server) skipBody(ctx *fasthttp.RequestCtx) {
	length, stream := ctx.Request.Header.ContentLength(), ctx.RequestBodyStream()
	if length == 0 || length == -2 || stream == nil {
		return
	}
	if length > 0 && length <= skippable && !timedOut(ctx) {
		buf := getBuffer(skippable)
		defer putBuffer(buf)
		for {
			switch _, err := stream.Read(buf.b[:skippable]); err {
			case nil:
				continue
			case io.EOF:
				return
			}
			break
		}
	}
	closeAfter(ctx)
}

// framedTwice says whether a request gives the length of its body in two ways.
// fasthttp silently prefers Transfer-Encoding; a proxy in front of us may not,
// and the difference would smuggle a request past it.
func framedTwice(h *fasthttp.RequestHeader) bool {
	if h.ContentLength() == -2 { // neither
		return false
	}
	var length, encoding bool
	for raw := h.RawHeaders(); len(raw) > 0; {
		switch raw[0] | 0x20 {
		case 'c':
			length = length || hasName(raw, "content-length:")
		case 't':
			encoding = encoding || hasName(raw, "transfer-encoding:")
		}
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			break
		}
		raw = raw[end+1:]
	}
	return length && encoding
}

// hasName says whether line begins with name, in whatever case. (name is lower
// case; its colon and hyphen have bit 0x20 set, so that OR leaves them alone.)
func hasName(line []byte, name string) bool {
	if len(line) < len(name) {
		return false
	}
	for i := range len(name) {
		if line[i]|0x20 != name[i] {
			return false
		}
	}
	return true
}
