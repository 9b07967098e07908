package server

// openapi.json, held against the running server with a library for OpenAPI:
// every route is in it, and every answer in it is given.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

func init() {
	for _, kind := range []string{"text/html", "text/javascript"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.PlainBodyDecoder)
	}
}

func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Ensure that a route that is not in the document, or only there, is found out.
func TestOpenAPI_HasEveryRouteAndNoOther(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.Dashboard = true })
	var served, described []string
	for method, paths := range f.routes {
		for _, path := range paths {
			if method != http.MethodHead { // as GET
				served = append(served, method+" "+strings.ReplaceAll(path, ":*}", "}"))
			}
		}
	}
	for path, item := range openAPI(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	for _, route := range served {
		if !slices.Contains(described, route) {
			t.Errorf("%s is served, and server/openapi.json lacks it", route)
		}
	}
	for _, route := range described {
		if !slices.Contains(served, route) {
			t.Errorf("%s is in server/openapi.json, and nobody serves it", route)
		}
	}
}

// documented is a request that has to be answered with a documented status.
type documented struct {
	query  string
	header []string
	body   string
	change func(*config.Config)
	sink   error // what the sink says to the batch
	ready  error
	path   string // instead of the one in the document
}

// ingestion lists what leads to each status on every route that takes batches;
// the body is the example of the document.
var ingestion = map[string]documented{
	"400": {header: []string{"Content-Encoding", "gzip"}},
	"401": {change: withKeys},
	"403": {header: crossSite},
	"413": {change: func(c *config.Config) { c.Server.MaxBodyBytes = 1 }},
	"409": {header: []string{"Idempotency-Key", "k", "Logforge-Instance", "another"}}, // not at /logs
	"415": {header: []string{"Content-Encoding", "br"}},
	"417": {header: []string{"Expect", "100-continue", "Expect", "more"}},
	"421": {change: func(c *config.Config) { c.Pipeline, c.Kafka.Role = 2, "consume" }},
	"431": {header: []string{"X", strings.Repeat("x", 100_000)}},
	"500": {sink: errors.New("something nobody has thought of")},
	"503": {sink: fmt.Errorf("logs directory: %w", sink.ErrDiskFull)},
}

var crossSite = []string{"Sec-Fetch-Site", "cross-site"}

func withKeys(c *config.Config) {
	c.Auth = config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: config.Keys{{Value: "k"}}}
}

func withoutSummaries(c *config.Config) { c.Pipeline, c.Kafka.Role = 2, "ingest" }

func withMetricsKeys(c *config.Config) {
	withKeys(c)
	c.Auth.Metrics = true
}

// others lists what leads to each status of the other routes.
var others = map[string]documented{
	"GET /analytics 200":                     {query: "hour=2026-02-09T15"},
	"GET /analytics 400":                     {query: "hour=yesterday"},
	"GET /analytics 401":                     {query: "hour=2026-02-09T15", change: withKeys},
	"GET /analytics 404":                     {query: "hour=2026-02-09T16"},
	"GET /analytics 500":                     {query: "hour=2026-02-09T17"},
	"GET /analytics/days 200":                {},
	"GET /analytics/days 401":                {change: withKeys},
	"GET /analytics 421":                     {query: "hour=2026-02-09T15", change: withoutSummaries},
	"GET /analytics 503":                     {query: "hour=2026-02-09T18"},
	"GET /ready 503":                         {ready: sink.ErrDiskFull},
	"GET /loki/ready 503":                    {ready: sink.ErrDiskFull},
	"GET /services/collector/health 503":     {ready: sink.ErrDiskFull},
	"GET /services/collector/health/1.0 503": {ready: sink.ErrDiskFull},
	"GET /dashboard/rejected 401":            {change: withKeys},
	"GET /readyz 503":                        {ready: sink.ErrUnavailable},
	"GET / 304":                              {header: []string{"If-None-Match", "ETag"}},
	"GET /dashboard/{file} 200":              {path: "/dashboard/main.js"},
	"GET /dashboard/{file} 304":              {path: "/dashboard/main.js", header: []string{"If-None-Match", "ETag"}},
	"GET /dashboard/{file} 404":              {path: "/dashboard/nothing.js"},
	"GET /dashboard/config 401":              {change: withKeys},
	"GET /metrics 401":                       {change: withMetricsKeys},
	"GET /metrics 403":                       {change: withMetricsKeys, header: crossSite},
	"GET /dashboard/metrics 401":             {change: withMetricsKeys},
	"GET /dashboard/metrics 403":             {change: withMetricsKeys, header: crossSite},
}

// troubled is summaries with two hours that are in trouble.
type troubled struct{ summaries }

func (s troubled) AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	switch h {
	case known + 2:
		return nil, errors.New("input/output error")
	case known + 3:
		return nil, context.Canceled
	}
	return s.summaries.AppendHour(ctx, dst, h, top)
}

func TestOpenAPI_EveryAnswerInItIsGiven(t *testing.T) {
	doc := openAPI(t)
	given := 0
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		item := doc.Paths.Value(path)
		for method, operation := range item.Operations() {
			if operation.RequestBody != nil {
				for status := range ingestion {
					if status == "409" && path == "/logs" {
						continue
					}
					if operation.Responses.Value(status) == nil {
						t.Errorf("%s %s can be answered with %s, which server/openapi.json lacks", method, path, status)
					}
				}
			}
			for status := range operation.Responses.Map() {
				name := method + " " + path + " " + status
				t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
					r, ok := others[name]
					if status == "403" && !ok {
						r, ok = documented{header: crossSite}, true
					}
					if operation.RequestBody != nil {
						r, ok = ingestion[status]
						ok = ok || status[0] == '2'
						kind, body := example(t, operation.RequestBody.Value)
						r.header, r.body = append([]string{"Content-Type", kind}, r.header...), body
					}
					if !ok && status != "200" {
						t.Fatalf("nothing here leads to %s: say what does, in the table others", name)
					}
					ask(t, doc, path, item, method, operation, status, r)
					given++
				})
			}
		}
	}
	if given < 30 {
		t.Errorf("only %d answers", given)
	}
}

// example returns the type and the text of the first example of a body.
func example(t *testing.T, body *openapi3.RequestBody) (kind, text string) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(body.Content)) {
		switch value := body.Content[kind].Example.(type) {
		case nil:
		case string:
			return kind, value
		default:
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			return kind, string(encoded)
		}
	}
	t.Fatal("the document has no example of a body")
	return "", ""
}

// ask sends r to a server of its own and validates the answer.
func ask(t *testing.T, doc *openapi3.T, path string, item *openapi3.PathItem, method string, operation *openapi3.Operation, status string, r documented) {
	t.Helper()
	f := start(t, func(c *config.Config) {
		c.Server.Dashboard = true
		if r.change != nil {
			r.change(c)
		}
	})
	f.Server.summaries = troubled{}
	f.ready = r.ready
	if r.sink != nil {
		f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return r.sink }
	}
	target := path
	if r.path != "" {
		target = r.path
	}
	header := slices.Clone(r.header)
	for i := range header {
		if header[i] == "ETag" { // that of the answer before
			header[i] = f.do(method, target, nil).header.Get("ETag")
		}
	}
	if r.query != "" {
		target += "?" + r.query
	}
	got := f.do(method, target, strings.NewReader(r.body), header...)
	if strconv.Itoa(got.status) != status {
		t.Fatalf("answered with %d: %s", got.status, got.body)
	}
	sent, err := http.NewRequest(method, "http://"+f.addr+target, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: sent,
			Route:   &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation},
		},
		Status: got.status, Header: got.header, Body: io.NopCloser(strings.NewReader(got.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Error(err)
	}
}

func TestOpenAPI_IsServed(t *testing.T) {
	f := start(t, withKeys)
	if r := f.do("GET", "/openapi.json", nil); r.status != 200 || r.body != string(OpenAPI) || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %.100s", r.status, r.header, r.body)
	}
}
