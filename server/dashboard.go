package server

// The dashboard: one embedded page at / and what it reads. The page and its
// assets hold no figures and are open; the figures (dashboard/config,
// dashboard/metrics, analytics) ask for the API key where keys are on.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/config"
)

//go:embed dashboard/*.html dashboard/*.css dashboard/*.js dashboard/*.svg dashboard/uplot
var dashboardFiles embed.FS

// dashboardPolicy lets the page load its own files and speak to its own server,
// and nothing else: no inline script or style, no other host, no frame around
// it, and no string that becomes markup.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// dashboard serves the page, its files and its figures.
type dashboard struct {
	page      atomic.Pointer[dashboardFile] // depends on the header that takes the key
	files     map[string]dashboardFile      // by path below /dashboard/
	facts     dashboardFacts
	metrics   func(*fasthttp.RequestCtx) error // answers with this process's metrics
	summaries Summaries
}

// dashboardKinds is written out, because package mime asks the machine it runs on.
var dashboardKinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

type dashboardFile struct {
	body []byte
	kind string // Content-Type
	etag string
}

// dashboardFacts is GET /dashboard/config: what the page says about this
// server. Sizes are bytes.
type dashboardFacts struct {
	Version                    string          `json:"version"`
	Commit                     string          `json:"commit"`
	Ack                        string          `json:"ack"`  // what a 202 means
	Acks                       []string        `json:"acks"` // what ?ack= may ask for
	SyncIntervalSeconds        float64         `json:"syncIntervalSeconds"`
	AggregationIntervalSeconds float64         `json:"aggregationIntervalSeconds"`
	WaitForRoomSeconds         float64         `json:"waitForRoomSeconds"`
	MaxAnalyticsHours          int             `json:"maxAnalyticsHours"`
	MaxInFlightBytes           int64           `json:"maxInFlightBytes"`
	MaxBodyBytes               int64           `json:"maxBodyBytes"`
	MaxBatchRecords            int             `json:"maxBatchRecords"`
	Kafka                      *dashboardKafka `json:"kafka,omitempty"` // pipeline 2 only
	FirstDay                   string          `json:"firstDay"`        // 2026-02-09; empty while there is no summary
	Peers                      int             `json:"peers"`           // other instances whose summaries are shown as well
	RecentDay                  string          `json:"recentDay"`       // the last one that does not lie in the future
	LastDay                    string          `json:"lastDay"`
}

type dashboardKafka struct {
	Topic string `json:"topic"`
	Role  string `json:"role"`
}

// newDashboard reads the embedded files. metrics answers /metrics.
func newDashboard(cfg *config.Config, build Build, metrics func(*fasthttp.RequestCtx) error, summaries Summaries) (*dashboard, error) {
	d := &dashboard{files: map[string]dashboardFile{}, facts: factsOf(cfg, build), metrics: metrics, summaries: summaries}
	err := fs.WalkDir(dashboardFiles, "dashboard", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := dashboardFiles.ReadFile(name)
		if err != nil {
			return err
		}
		d.files[strings.TrimPrefix(name, "dashboard/")] = newDashboardFile(name, body)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the embedded dashboard: %w", err)
	}
	d.setAuth(cfg.Auth)
	return d, nil
}

// setAuth makes the page, which has to know before its first request which
// header takes the key.
func (d *dashboard) setAuth(cfg config.Auth) {
	page := d.files[indexFile].body
	if cfg.Enabled {
		asks := fmt.Appendf(nil, `data-key-header="%s"`, html.EscapeString(cfg.HeaderName))
		page = bytes.Replace(page, []byte(`data-key-header=""`), asks, 1)
	}
	file := newDashboardFile(indexFile, page)
	d.page.Store(&file)
}

// indexFile is the page; it is served at / only.
const indexFile = "index.html"

func newDashboardFile(name string, body []byte) dashboardFile {
	kind, ok := dashboardKinds[path.Ext(name)]
	if !ok {
		kind = "text/plain; charset=utf-8" // a licence, a list of sums
	}
	sum := sha256.Sum256(body)
	return dashboardFile{body: body, kind: kind, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

func factsOf(cfg *config.Config, build Build) dashboardFacts {
	f := dashboardFacts{
		Peers:   len(cfg.Analytics.Peers),
		Version: build.Version, Commit: build.Commit,
		Ack:                        cfg.Ingestion.Ack,
		SyncIntervalSeconds:        cfg.Storage.SyncInterval.Seconds(),
		AggregationIntervalSeconds: cfg.Aggregation.Interval.Seconds(),
		WaitForRoomSeconds:         cfg.Server.WaitForRoom.Seconds(),
		MaxAnalyticsHours:          cfg.Server.MaxAnalyticsHours,
		MaxInFlightBytes:           int64(cfg.Server.MaxInFlightBytes),
		MaxBodyBytes:               int64(cfg.Server.MaxBodyBytes),
		MaxBatchRecords:            cfg.Ingestion.MaxBatchRecords,
	}
	for _, ack := range acksOf(cfg) {
		f.Acks = append(f.Acks, ack.String())
	}
	if cfg.Pipeline == 2 {
		f.Kafka = &dashboardKafka{Topic: cfg.Kafka.Topic, Role: cfg.Kafka.Role}
	}
	return f
}

// servePage answers GET /.
func (d *dashboard) servePage(ctx *fasthttp.RequestCtx) { d.page.Load().serve(ctx) }

// serveFile answers GET /dashboard/NAME, or 404 through notFound.
func (d *dashboard) serveFile(ctx *fasthttp.RequestCtx, notFound fasthttp.RequestHandler) {
	name := strings.TrimPrefix(string(ctx.Path()), "/dashboard/")
	file, ok := d.files[name]
	if !ok || name == indexFile {
		notFound(ctx)
		return
	}
	file.serve(ctx)
}

func (f dashboardFile) serve(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set("Content-Security-Policy", dashboardPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// A new version of the server is a new page at once: kept, but asked for.
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	if string(ctx.Request.Header.Peek("If-None-Match")) == f.etag {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(f.kind)
	ctx.Response.SetBodyRaw(f.body)
}

// serveConfig answers GET /dashboard/config.
func (d *dashboard) serveConfig(ctx *fasthttp.RequestCtx) error {
	facts := d.facts
	within, cancel := context.WithTimeout(context.Background(), analyticsTime)
	defer cancel()
	span, err := d.summaries.Span(within)
	if err != nil {
		return fmt.Errorf("list the days with summaries: %w", err)
	}
	days := daysOf(span)
	facts.FirstDay, facts.RecentDay, facts.LastDay = days.First, days.Recent, days.Last
	body, err := json.Marshal(facts)
	if err != nil {
		return fmt.Errorf("encode the dashboard's configuration: %w", err)
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
	return nil
}

// serveMetrics answers GET /dashboard/metrics: what /metrics says.
func (d *dashboard) serveMetrics(ctx *fasthttp.RequestCtx) error {
	ctx.Response.Header.Set("Cache-Control", "no-store")
	return d.metrics(ctx)
}
