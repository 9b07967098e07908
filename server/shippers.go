package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/config"
	"logforge/server/dialect"
)

// The endpoint for shippers: POST /ingest and the routes of other systems, one endpoint
// for each dialect. What is a web request is stored, the rest is set aside.

func endpointsOfDialects() (all []*endpoint) {
	for _, d := range dialect.Table {
		all = append(all, endpointOfDialect(d))
	}
	return all
}

func endpointOfDialect(d *dialect.Dialect) *endpoint {
	o := &endpoint{route: d.Route, paths: append([]string{d.Route}, d.Others...), methods: []string{fasthttp.MethodPost}, keyHeader: "DD-API-KEY"}
	if d.Route == "/ingest" {
		o.paths = append(o.paths, "/")
	}
	if d.Put {
		o.methods = append(o.methods, fasthttp.MethodPut)
	}
	o.plan = planDialect
	o.implied = func(in *intake, body []byte) (c codings, err error) {
		request := &in.request
		if in.codings.n > 0 {
			request = request.Inflated()
		}
		if name := d.Coding(request, body); name != "" {
			err = c.add([]byte(name))
		}
		return c, err
	}
	o.decode = func(s *Server, in *intake, body []byte) error {
		w := dialect.GetWriter()
		in.writer = w
		w.Batch, w.Rules, w.Format, w.MaxRecords = in.batch, in.rules, in.format, s.limits.Records
		w.MaxSent, w.MaxDepth, w.Room = s.limits.SentBytes, s.limits.Depth, in
		if in.rules == s.shippers {
			w.Fields = s.fields
		}
		w.SetAside = func(record []byte, e codec.RecordError) { in.aside.add(&in.usage, record, e) }
		var err error
		if in.result, err = d.Decode(w, &in.request, body); err != nil {
			return err
		}
		// What the answer takes: only that of _bulk grows with the body.
		return in.take(len(in.result.Items) * dialect.ItemBytes)
	}
	o.answer = func(_ *Server, ctx *fasthttp.RequestCtx, in *intake) {
		dst := answers.Get().(*[]byte)
		a := d.Answer((*dst)[:0], &in.request, in.result)
		sendAnswer(ctx, a)
		if len(a.Body) <= copiedAnswer {
			*dst = a.Body[:0]
			answers.Put(dst)
		}
	}
	o.refuse = func(s *Server, ctx *fasthttp.RequestCtx, p *problem) {
		req := requestOf(ctx)
		a, ok := d.Refuse(nil, &req, dialect.Problem{Status: p.Status, Reason: p.Reason, Detail: p.Detail})
		if !ok {
			s.sendProblem(ctx, *p)
			return
		}
		sendAnswer(ctx, a)
	}
	return o
}

// answers are buffers that answers are written in.
var answers = sync.Pool{New: func() any { return new([]byte) }}

// copiedAnswer is how long an answer may be and be copied to where fasthttp keeps it.
// The buffer of a longer one is left to it instead.
const copiedAnswer = 64 << 10

func sendAnswer(ctx *fasthttp.RequestCtx, a dialect.Answer) {
	ctx.SetStatusCode(a.Status)
	if a.ContentType != "" {
		ctx.SetContentType(a.ContentType)
	}
	if a.Product {
		ctx.Response.Header.Set("X-Elastic-Product", "Elasticsearch")
	}
	if len(a.Body) > copiedAnswer {
		ctx.Response.SetBodyRaw(a.Body)
		return
	}
	ctx.Response.SetBody(a.Body)
}

func requestOf(ctx *fasthttp.RequestCtx) dialect.Request {
	return dialect.Request{
		Path:        ctx.Path(),
		ContentType: ctx.Request.Header.ContentType(),
		Accept:      ctx.Request.Header.Peek(fasthttp.HeaderAccept),
		Query:       func(name string) []byte { return ctx.QueryArgs().Peek(name) },
		Arrived:     ctx.Time(),
	}
}

// formats are the words of ?format=.
var formats = map[string]codec.Format{
	"json":     codec.JSON,
	"ndjson":   codec.NDJSON,
	"csv":      codec.CSV,
	"combined": codec.Combined,
	"common":   codec.Common,
	"w3c":      codec.W3C,
	"alb":      codec.ALB,
}

var errFormat = errors.New("this format is not known")

// planDialect reads the query. A Content-Type is a hint only: the body decides.
func planDialect(s *Server, ctx *fasthttp.RequestCtx) (w wants, err error) {
	w.rules = s.shippers
	if len(ctx.URI().QueryString()) == 0 {
		return w, nil
	}
	q := ctx.QueryArgs()
	if name := q.Peek("format"); len(name) > 0 {
		known := false
		if w.format, known = formats[string(name)]; !known {
			return w, errFormat
		}
	}
	names := [3][]byte{q.Peek("timestamp"), q.Peek("path"), q.Peek("userAgent")}
	if len(names[0])+len(names[1])+len(names[2]) > 0 {
		w.rules, err = s.named.rules(names)
	}
	return w, err
}

// ruleCache has the rules of the names that requests have asked for.
type ruleCache struct {
	options codec.Options // of the configuration

	mu   sync.Mutex
	made map[[3]string]*codec.Rules
}

// maxRules bounds the rules that are kept; with more, all are made anew.
const maxRules = 64

// rules returns the rules with these lists, separated by commas, instead of the
// configured ones. The error is errQuery, wrapped.
func (c *ruleCache) rules(names [3][]byte) (*codec.Rules, error) {
	key := [3]string{string(names[0]), string(names[1]), string(names[2])}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.made[key]; r != nil {
		return r, nil
	}
	o := c.options
	for i, list := range []*[]string{&o.Names.Timestamp, &o.Names.Path, &o.Names.UserAgent} {
		if key[i] != "" {
			*list = splitNames(key[i])
		}
	}
	o.Names = dialect.Names(o.Names)
	r, err := codec.NewRules(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errQuery, err)
	}
	if c.made == nil || len(c.made) >= maxRules {
		c.made = map[[3]string]*codec.Rules{}
	}
	c.made[key] = r
	return r, nil
}

func splitNames(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// makeRules makes the rules of both endpoints.
func (s *Server) makeRules(cfg *config.Config) error {
	in := &cfg.Ingestion
	zone, err := time.LoadLocation(in.TimeZone)
	if err != nil {
		return fmt.Errorf("ingestion.timeZone: %w", err)
	}
	extra := map[string]codec.ExtraRule{"keep": codec.KeepExtra, "drop": codec.DropExtra}
	strict := codec.Options{Limits: s.limits, Extra: extra[in.LogsExtra]}
	if s.strict, err = codec.NewRules(strict); err != nil {
		return err
	}
	names := codec.DefaultNames()
	for _, list := range []struct {
		of    *[]string
		given []string
	}{{&names.Timestamp, in.Fields.Timestamp}, {&names.Path, in.Fields.Path}, {&names.UserAgent, in.Fields.UserAgent}, {&names.Line, in.LineMembers}} {
		if len(list.given) > 0 {
			*list.of = list.given
		}
	}
	shippers := codec.Options{
		Limits:  s.limits,
		Shipper: true,
		Names:   dialect.Names(names),
		Zone:    zone,
		Blank:   codec.DashForBlank,
		Extra:   extra[in.Extra],
	}
	if in.MissingTime == "arrival" {
		shippers.NoTime = codec.ArrivalTime
	}
	s.named.options = shippers
	s.fields = dialect.NewFieldSet(shippers.Names)
	if s.shippers, err = codec.NewRules(shippers); err != nil {
		return fmt.Errorf("ingestion.fields: %w", err)
	}
	return nil
}

// elastic answers what Elasticsearch clients ask beside _bulk.
func (s *Server) elastic(ctx *fasthttp.RequestCtx) {
	h := &ctx.Request.Header
	err := s.checkOrigin(h)
	if err == nil {
		_, err = s.keys.Load().check(h, "")
	}
	if err != nil {
		s.failEndpoint(ctx, endpointNamed("/_bulk"), "", err)
		return
	}
	req := requestOf(ctx)
	sendAnswer(ctx, dialect.AnswerElastic(&req, string(ctx.Method())))
}

// endpointNamed returns the endpoint of a route.
func endpointNamed(route string) *endpoint {
	for _, d := range endpoints {
		if d.route == route {
			return d
		}
	}
	return nil
}

// others adds the routes that clients of other systems ask beside those that
// take batches. page answers GET / of any other client; if it is nil, that is 404.
func (s *Server) others(r *router.Router, page fasthttp.RequestHandler) {
	root := s.on("/dashboard", func(ctx *fasthttp.RequestCtx) {
		switch h := &ctx.Request.Header; {
		case dialect.AsksElastic(h.Peek(fasthttp.HeaderAccept), h.UserAgent()):
			s.elastic(ctx)
		case page != nil:
			page(ctx)
		default:
			s.notFound(ctx)
		}
	})
	for _, method := range []string{fasthttp.MethodGet, fasthttp.MethodHead} {
		r.Handle(method, "/", root)
		r.Handle(method, "/loki/ready", s.on("/ready", s.getReady))
		for _, path := range []string{"/services/collector/health", "/services/collector/health/1.0"} {
			r.Handle(method, path, s.on("/ready", s.getHECHealth))
		}
	}
}

// getHECHealth is /ready in the words of Splunk's HTTP Event Collector.
func (s *Server) getHECHealth(ctx *fasthttp.RequestCtx) {
	s.getReady(ctx)
	code, text := 17, "HEC is healthy"
	if ctx.Response.StatusCode() != http.StatusOK {
		code, text = 18, "HEC is unhealthy"
	}
	ctx.Response.ResetBody()
	ctx.SetContentType("application/json")
	ctx.Response.AppendBodyString(fmt.Sprintf(`{"text":%q,"code":%d}`, text, code))
}

// clientOf returns the address of the client, without its port.
func clientOf(ctx *fasthttp.RequestCtx) string { return ctx.RemoteIP().String() }

var invalidSetAside = []byte("set-aside")

// asideOf reads ?invalid=; nothing means what is configured.
func (s *Server) asideOf(value []byte) (bool, error) {
	switch {
	case len(value) == 0:
		return s.setsAside, nil
	case bytes.Equal(value, invalidSetAside):
		return true, nil
	case bytes.Equal(value, []byte("refuse")):
		return false, nil
	}
	return false, fmt.Errorf("%w: invalid=%q is neither refuse nor set-aside", errQuery, value)
}
