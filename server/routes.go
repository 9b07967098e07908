package server

import (
	"bytes"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"logforge/server/dialect"
)

// handler returns the handler of all routes.
func (s *Server) handler() fasthttp.RequestHandler {
	r := router.New()
	r.RedirectTrailingSlash, r.RedirectFixedPath, r.HandleOPTIONS = false, false, false
	get := func(path, route string, h fasthttp.RequestHandler) {
		h = s.on(route, h)
		r.GET(path, h)
		r.HEAD(path, h) // fasthttp leaves the body out
	}
	s.byPath = router.New()
	for _, d := range endpoints {
		h := s.onEndpoint(d)
		for _, path := range d.paths {
			for _, method := range d.methods {
				r.Handle(method, path, h)
				s.byPath.Handle(method, path, func(ctx *fasthttp.RequestCtx) { ctx.SetUserValue(endpointKey{}, d) })
			}
		}
	}
	get("/analytics", "/analytics", s.guarded(s.getAnalytics))
	get("/analytics/days", "/analytics", s.guarded(s.getDays))
	get("/metrics", "/metrics", s.guardedMetrics(s.getMetrics))
	get("/health", "/health", s.getHealth)
	get("/livez", "/health", s.getHealth)
	get("/ready", "/ready", s.getReady)
	get("/readyz", "/ready", s.getReady)
	get("/version", "/version", s.getVersion)
	get("/openapi.json", "/openapi.json", getOpenAPI)
	var page fasthttp.RequestHandler
	if d := s.dashboard; d != nil {
		page = d.servePage
		get("/dashboard/rejected", "/dashboard", s.guarded(s.getRejected))
		get("/dashboard/{file:*}", "/dashboard", func(ctx *fasthttp.RequestCtx) { d.serveFile(ctx, s.notFound) })
		get("/dashboard/config", "/dashboard", s.guarded(d.serveConfig))
		get("/dashboard/metrics", "/dashboard", s.guardedMetrics(d.serveMetrics))
	}
	s.others(r, page)
	r.NotFound = s.on("other", s.notFound)
	r.MethodNotAllowed = s.on("other", s.otherMethod)
	s.routes = r.List()
	elastic := s.on("/elasticsearch", s.elastic)
	return func(ctx *fasthttp.RequestCtx) {
		dropSlashes(ctx)
		if dialect.IsElastic(ctx.Path()) {
			elastic(ctx)
			return
		}
		r.Handler(ctx)
	}
}

// dropSlashes makes a path with slashes at its end one without: people and
// programs write both.
func dropSlashes(ctx *fasthttp.RequestCtx) {
	path := ctx.Path() // without double slashes already
	n := len(path)
	for n > 1 && path[n-1] == '/' {
		n--
	}
	if n < len(path) {
		ctx.URI().SetPathBytes(path[:n])
	}
}

func (s *Server) notFound(ctx *fasthttp.RequestCtx) {
	if h := &ctx.Request.Header; dialect.IsIndex(ctx.Path()) && dialect.AsksElastic(h.Peek(fasthttp.HeaderAccept), h.UserAgent()) {
		s.elastic(ctx)
		return
	}
	s.fail(ctx, errNoRoute)
}

// otherMethod answers a method that a known path does not take: OPTIONS (HAProxy's
// check, a browser) with those that it takes, any other with an error.
func (s *Server) otherMethod(ctx *fasthttp.RequestCtx) {
	allow := string(ctx.Response.Header.Peek(fasthttp.HeaderAllow)) // by the router, with OPTIONS
	if !ctx.IsOptions() {
		s.fail(ctx, errMethod)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	s.allowSending(ctx, allow)
}

// guarded asks for the API key, where keys are on, and answers h's error.
func (s *Server) guarded(h func(*fasthttp.RequestCtx) error) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		s.allowReading(ctx)
		err := s.checkOrigin(&ctx.Request.Header)
		if err == nil {
			_, err = s.keys.Load().check(&ctx.Request.Header, "")
		}
		if err == nil {
			err = h(ctx)
		}
		if err != nil {
			s.fail(ctx, err)
		}
	}
}

// guardedMetrics is guarded while auth.metrics says so.
func (s *Server) guardedMetrics(h func(*fasthttp.RequestCtx) error) fasthttp.RequestHandler {
	guarded := s.guarded(h)
	return func(ctx *fasthttp.RequestCtx) {
		if s.keys.Load().metrics {
			guarded(ctx)
		} else if err := h(ctx); err != nil {
			s.fail(ctx, err)
		}
	}
}

// on is what every route has in common: framing, panics, unread bodies, counting.
func (s *Server) on(route string, h fasthttp.RequestHandler) fasthttp.RequestHandler {
	count := s.count.route(route)
	return func(ctx *fasthttp.RequestCtx) {
		defer s.finish(ctx, count)
		if s.framedOnce(ctx) {
			h(ctx)
			s.skipBody(ctx)
			s.countAnswer(ctx)
		}
	}
}

// onEndpoint is the same for an endpoint, which knows whether it has read its body, and
// how long it took.
func (s *Server) onEndpoint(d *endpoint) fasthttp.RequestHandler {
	count, h := s.count.route(d.route), s.serveEndpoint(d)
	return func(ctx *fasthttp.RequestCtx) {
		defer func() { s.count.duration.Update(time.Since(ctx.Time()).Seconds()) }()
		defer s.finish(ctx, count)
		if s.framedOnce(ctx) {
			h(ctx)
		}
	}
}

// countAnswer makes an answer that is not small count as taken until it is sent:
// there may be as many of them as connections that do not read.
func (s *Server) countAnswer(ctx *fasthttp.RequestCtx) {
	const small = 8 << 10
	c := connOf(ctx)
	if c == nil || ctx.Response.IsBodyStream() || len(ctx.Response.Body()) <= small {
		return
	}
	n := int64(len(ctx.Response.Body()))
	if !s.bytes.acquire(n, time.Now().Add(s.cfg.WaitForRoom)) {
		ctx.Response.Reset()
		s.fail(ctx, errBusy)
		return
	}
	c.countAnswer(n)
}

// framedOnce refuses a request that states the length of its body in two ways, or
// that has parts enough to take much memory once they are parsed.
func (s *Server) framedOnce(ctx *fasthttp.RequestCtx) bool {
	err := errFraming
	switch h := &ctx.Request.Header; {
	case string(h.Method()) == tooManyLines:
		err = errLines
	case tooManyArguments(ctx):
		err = errArguments
	case !framedTwice(h):
		return true
	}
	s.fail(ctx, err)
	closeAfter(ctx)
	return false
}

// finish counts the request and turns a panic of its handler into a 500: no
// panic reaches a client as a closed connection.
func (s *Server) finish(ctx *fasthttp.RequestCtx, count *routeCounters) {
	if v := recover(); v != nil {
		s.count.panics.Inc()
		s.log.Error("panic in a handler", "path", string(ctx.Path()), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		ctx.Response.Reset()
		s.sendProblem(ctx, s.problemOf(errPanic))
		closeAfter(ctx) // it is not known how much of the body has been read
	}
	enter(ctx, answering)
	count.status(ctx.Response.StatusCode()).Inc()
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
	s.count.other.status(ctx.Response.StatusCode()).Inc()
	closeAfter(ctx)
}

// Bounds of what is parsed of a request: a header line or a parameter of a few bytes
// takes about 70 when it is parsed.
const (
	maxHeaderLines = 128
	maxArguments   = 64
)

// tooManyLines is the method of a request whose header had more lines than that: the
// rest of it is thrown away with the memory that it took.
const tooManyLines = "TOO-MANY-HEADER-LINES"

func tooManyArguments(ctx *fasthttp.RequestCtx) bool {
	query := ctx.URI().QueryString()
	return len(query) > maxArguments && bytes.Count(query, []byte("&")) >= maxArguments
}

// inspectHeader is called with each header before anything else looks at it.
func inspectHeader(h *fasthttp.RequestHeader) (same fasthttp.RequestConfig) {
	if raw := h.RawHeaders(); len(raw) > 4*maxHeaderLines && bytes.Count(raw, []byte("\n")) > maxHeaderLines {
		*h = fasthttp.RequestHeader{}
		h.SetMethod(tooManyLines)
		h.SetRequestURI("/")
		return same
	}
	return spellExpect(h)
}

// spellExpect makes an Expect header what fasthttp looks for, since Java writes
// 100-Continue; what else may be in it follows that then, for expect. In
// HTTP/1.0 there is no such thing, and nobody waits for it (RFC 9110, 10.1.1).
func spellExpect(h *fasthttp.RequestHeader) (same fasthttp.RequestConfig) {
	if raw := h.RawHeaders(); bytes.IndexByte(raw, 'x') < 0 && bytes.IndexByte(raw, 'X') < 0 {
		return same // in most there is no such letter, which is soon seen
	}
	if !hasHeader(h, "expect:") {
		return same
	}
	others := false
	for _, value := range h.PeekAll(fasthttp.HeaderExpect) {
		others = others || !bytes.EqualFold(bytes.TrimSpace(value), continues)
	}
	h.Del(fasthttp.HeaderExpect)
	if h.IsHTTP11() {
		h.AddBytesV(fasthttp.HeaderExpect, continues)
		if others {
			h.Add(fasthttp.HeaderExpect, "something else")
		}
	}
	return same
}

var continues = []byte("100-continue")

// expect decides on a request that asks with Expect: 100-continue whether to
// send its body: a batch that will be refused anyway is refused before that.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	if len(ctx.Request.Header.PeekAll(fasthttp.HeaderExpect)) > 1 {
		s.fail(ctx, errExpect)
		closeAfter(ctx)
		s.count.other.status(fasthttp.StatusExpectationFailed).Inc()
		return fasthttp.StatusExpectationFailed
	}
	dropSlashes(ctx)
	d := s.endpointOf(ctx)
	if d == nil {
		return fasthttp.StatusContinue // the route's own handler answers
	}
	err := errFraming
	var w wants
	switch {
	case tooManyArguments(ctx):
		err = errArguments
	case !framedTwice(&ctx.Request.Header):
		w, err = s.admit(ctx, d)
	}
	if err == nil {
		return fasthttp.StatusContinue
	}
	s.failEndpoint(ctx, d, w.key, err)
	closeAfter(ctx)
	s.count.countBatch(0, nil, err)
	s.count.route(d.route).status(ctx.Response.StatusCode()).Inc()
	return ctx.Response.StatusCode()
}

// endpointKey is where endpointOf's router leaves the endpoint.
type endpointKey struct{}

// endpointOf returns the endpoint that a request leads to; nil if it is none.
func (s *Server) endpointOf(ctx *fasthttp.RequestCtx) *endpoint {
	found, _ := s.byPath.Lookup(string(ctx.Method()), string(ctx.Path()), ctx)
	if found == nil {
		return nil
	}
	found(ctx)
	d, _ := ctx.UserValue(endpointKey{}).(*endpoint)
	return d
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
	if h.ContentLength() >= 0 {
		return hasHeader(h, "transfer-encoding:")
	}
	return hasHeader(h, "content-length:") // it is chunked
}

// hasHeader says whether there is a header of one of the names, which are as those
// of hasName. Peek, which writes its name anew each time, costs more than a pass
// over the few headers that shippers send.
func hasHeader(h *fasthttp.RequestHeader, names ...string) bool {
	for raw := h.RawHeaders(); len(raw) > 0; {
		for _, name := range names {
			if raw[0]|0x20 == name[0] && hasName(raw, name) {
				return true
			}
		}
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			break
		}
		raw = raw[end+1:]
	}
	return false
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
