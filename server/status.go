package server

import (
	"bytes"
	"errors"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/config/metric"
	"logforge/sink"
)

// Build says which program this is.
type Build struct {
	Version      string `json:"version"`
	Commit       string `json:"commit"`
	BuildDate    string `json:"buildDate"`
	PipelineMode string `json:"pipelineMode"`
}

func (s *Server) getHealth(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.AppendBodyString("ok\n")
}

// getReady says whether a batch sent now would be stored: 503 with the reason
// while draining, or while the sink cannot. A part that has stopped while
// batches are taken is named behind the word ready: with a 503 a load balancer
// would end ingestion on every server at once.
func (s *Server) getReady(ctx *fasthttp.RequestCtx) {
	err := errDraining
	if !s.draining.Load() {
		err = s.ready()
	}
	degraded := errors.Is(err, sink.ErrDegraded)
	if err != nil && !degraded {
		p := s.problemOf(err)
		p.Status, p.Title = fasthttp.StatusServiceUnavailable, fasthttp.StatusMessage(fasthttp.StatusServiceUnavailable)
		p.Detail = err.Error()
		s.sendProblem(ctx, p) // not logged: a probe asks every few seconds
		return
	}
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.AppendBodyString("ready\n")
	if degraded {
		ctx.Response.AppendBodyString(err.Error() + "\n")
	}
}

func (s *Server) getVersion(ctx *fasthttp.RequestCtx) {
	body, err := json.Marshal(s.build)
	if err != nil { // cannot fail: four strings
		panic(err)
	}
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set(headerInstance, s.once.instance)
	ctx.Response.AppendBody(body)
}

// getMetrics answers with every metric of the set, of Go and of the process.
func (s *Server) getMetrics(ctx *fasthttp.RequestCtx) error {
	var text bytes.Buffer
	s.set.WritePrometheus(&text)
	metrics.WriteProcessMetrics(&text)
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	return s.sendToOperator(ctx, metric.AppendDescribed(make([]byte, 0, 2*text.Len()), text.Bytes()), time.Now().Add(s.cfg.WaitForRoom))
}
