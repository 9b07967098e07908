package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"logforge/codec"
	"logforge/config"
)

var testHour, _ = codec.ParseHour("2026-02-09T15")

// instance is what one server knows: how often each path was in each hour.
type instance map[codec.Hour]map[string]uint64

func (in instance) total(from, to codec.Hour) (sum map[string]uint64, records uint64) {
	sum = map[string]uint64{}
	for h, paths := range in {
		if h >= from && h <= to {
			for path, n := range paths {
				sum[path] += n
				records += n
			}
		}
	}
	return sum, records
}

// text writes a summary with the top largest paths.
func text(paths map[string]uint64, records uint64, top int) string {
	keys := slices.SortedFunc(maps.Keys(paths), func(a, b string) int {
		if paths[a] != paths[b] {
			return int(paths[b]) - int(paths[a])
		}
		return strings.Compare(a, b)
	})
	if top > 0 && top < len(keys) {
		keys = keys[:top]
	}
	var list []string
	for _, key := range keys {
		list = append(list, fmt.Sprintf("%q:%d", key, paths[key]))
	}
	return fmt.Sprintf(`"records":%d,"malformed":0,"requestsPerPath":{%s},"requestsPerUserAgent":{"x":%d}`, records, strings.Join(list, ","), records)
}

func (in instance) AppendHour(_ context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	if _, ok := in[h]; !ok {
		return dst, fmt.Errorf("summary of %s: %w", h, fs.ErrNotExist)
	}
	paths, records := in.total(h, h)
	return fmt.Appendf(dst, `{"hour":%q,%s}`, h.Time().Format(time.RFC3339), text(paths, records, top)), nil
}

func (in instance) AppendRange(_ context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error) {
	paths, records := in.total(from, to)
	var hours []string
	for _, h := range slices.Sorted(maps.Keys(in)) {
		if h >= from && h <= to {
			paths, records := in.total(h, h)
			hours = append(hours, fmt.Sprintf(`{"hour":%q,%s}`, h.Time().Format(time.RFC3339), text(paths, records, hourTop)))
		}
	}
	return fmt.Appendf(dst, `{"from":"","to":"",%s,"missing":[],"hours":[%s]}`, text(paths, records, top), strings.Join(hours, ",")), nil
}

func (in instance) Span(context.Context) (codec.Span, error) {
	if len(in) == 0 {
		return codec.Span{}, nil
	}
	days := slices.Sorted(maps.Keys(in))
	first, last := days[0]/24*24, days[len(days)-1]/24*24
	return codec.Span{First: first, Recent: last, Last: last, Known: true}, nil
}

// handler is the server of an instance, as far as a View needs it.
func (in instance) handler(t *testing.T, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(Header, name)
		q := r.URL.Query()
		if q.Get(Local) != "true" {
			t.Errorf("%s is asked for what all instances have: %s", name, r.URL)
		}
		number := func(name string) int {
			n, err := strconv.Atoi(q.Get(name))
			if err != nil {
				t.Errorf("%s=%s: %v", name, q.Get(name), err)
			}
			return n
		}
		var body []byte
		var err error
		switch {
		case r.URL.Path == "/analytics/days":
			span, _ := in.Span(r.Context())
			if body = []byte(`{"first":"","recent":"","last":""}`); span.Known {
				day := func(h codec.Hour) string { return h.Time().Format(time.DateOnly) }
				body = fmt.Appendf(nil, `{"first":%q,"recent":%q,"last":%q}`, day(span.First), day(span.Recent), day(span.Last))
			}
		case q.Has("hour"):
			h, perr := codec.ParseHour(q.Get("hour"))
			if perr != nil {
				t.Error(perr)
			}
			body, err = in.AppendHour(r.Context(), nil, h, number("top"))
		default:
			from, ferr := codec.ParseHour(q.Get("from"))
			to, terr := codec.ParseHour(q.Get("to"))
			if ferr != nil || terr != nil {
				t.Error(ferr, terr)
			}
			body, err = in.AppendRange(r.Context(), nil, from, to, number("top"), number("hourTop"))
		}
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(body)
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func view(t *testing.T, local Source, peers ...string) *View {
	t.Helper()
	v, err := New(config.Analytics{Peers: peers, PeerTimeout: 5 * time.Second}, "X-API-Key", "self", local, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// merged is an answer of a View.
type merged struct {
	Hour, From, To       string
	Records, Malformed   uint64
	RequestsPerPath      map[string]uint64
	RequestsPerUserAgent map[string]uint64
	CountsLowBy          *struct{ RequestsPerPath, RequestsPerUserAgent uint64 }
	Peers                []status
	Missing              []string
	Hours                []merged
}

func parse(t *testing.T, body []byte, err error) (m merged) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return m
}

func TestView_IsTheSumOfAllInstances(t *testing.T) {
	local := instance{testHour: {"/a": 1, "/own": 2}, testHour + 1: {"/a": 4}}
	one := instance{testHour: {"/a": 10, "/one": 3}}
	two := instance{testHour + 30: {"/a\"\\\n<é>": 7}}
	urls := []string{serve(t, one.handler(t, "one")), serve(t, two.handler(t, "two")) + "/"}
	v := view(t, local, urls...)
	for _, top := range []int{0, 1000} {
		body, err := v.AppendRange(t.Context(), []byte{}, testHour, testHour+30, top, top)
		m := parse(t, body, err)
		want := map[string]uint64{"/a": 15, "/own": 2, "/one": 3, "/a\"\\\n<é>": 7}
		if diff := cmp.Diff(want, m.RequestsPerPath); diff != "" || m.Records != 27 || m.CountsLowBy != nil {
			t.Errorf("%s\n%s", diff, body)
		}
		if len(m.Hours) != 3 || m.Hours[0].Records != 16 || m.Hours[0].RequestsPerPath["/a"] != 11 || m.Hours[2].Hour != "2026-02-10T21:00:00Z" {
			t.Errorf("%s", body)
		}
		if len(m.Peers) != 2 || !m.Peers[0].Answered || !m.Peers[1].Answered || m.Peers[0].URL != urls[0] {
			t.Errorf("%s", body)
		}
	}
	body, err := v.AppendHour(t.Context(), []byte{}, testHour, 1)
	if m := parse(t, body, err); m.Records != 16 || m.RequestsPerPath["/a"] != 11 || len(m.RequestsPerPath) != 1 || m.Hour != "2026-02-09T15:00:00Z" {
		t.Errorf("%s", body)
	}
	if _, err := v.AppendHour(t.Context(), nil, testHour+2, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	span, err := v.Span(t.Context())
	if want := (codec.Span{First: testHour - 15, Recent: testHour + 9, Last: testHour + 9, Known: true}); span != want || err != nil {
		t.Errorf("%+v, %v", span, err)
	}
}

// The same list of peers is given to all instances, and two names can lead to
// one of them.
func TestView_CountsNoInstanceTwice(t *testing.T) {
	local := instance{testHour: {"/a": 1}}
	one := instance{testHour: {"/a": 10}}
	v := view(t, local, serve(t, local.handler(t, "self")), serve(t, one.handler(t, "one")), serve(t, one.handler(t, "one")))
	body, err := v.AppendHour(t.Context(), []byte{}, testHour, 0)
	if m := parse(t, body, err); m.Records != 11 || len(m.Peers) != 1 {
		t.Errorf("%s", body)
	}
	if body, err = v.AppendRange(t.Context(), []byte{}, testHour, testHour, 0, 0); parse(t, body, err).Records != 11 {
		t.Errorf("%s", body)
	}
}

func TestView_NamesThePeersThatDoNotAnswer(t *testing.T) {
	local := instance{testHour: {"/a": 1}}
	hang := make(chan struct{})
	defer close(hang)
	f := func(want string, h http.HandlerFunc) {
		t.Helper()
		v := view(t, local, serve(t, h))
		if v.timeout = time.Minute; want == "peerTimeout" {
			v.timeout = 300 * time.Millisecond
		}
		body, err := v.AppendRange(t.Context(), []byte{}, testHour, testHour, 10, 10)
		m := parse(t, body, err)
		if m.Records != 1 || m.RequestsPerPath["/a"] != 1 {
			t.Errorf("half an answer counts: %s", body)
		}
		if len(m.Peers) != 1 || m.Peers[0].Answered || !strings.Contains(m.Peers[0].Error, want) {
			t.Errorf("want %q in %s", want, body)
		}
		if _, err := v.AppendHour(t.Context(), nil, testHour+1, 0); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("an hour that only the silent one may have: %v", err)
		}
		if n := v.errors.Get(); n != 2 {
			t.Errorf("the metric says %d", n)
		}
	}
	f("peerTimeout", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	f("peerTimeout", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"records":5,"requestsPerPath":{"/a":5},`))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	f("unexpected EOF", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"records":5,"requestsPerPath":{"/a":5}}`))
	})
	f("no summary", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"records":5,"requestsPerPath":{"/a":5}`))
	})
	f("no summary", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>`)) })
	f("401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	f("404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }) // not a server of this kind
	f("503", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(Header, "x"); w.WriteHeader(503) })
	f("307", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
	})
	f("64 MiB", func(w http.ResponseWriter, _ *http.Request) {
		blank := make([]byte, 1<<20)
		for i := range blank {
			blank[i] = ' '
		}
		for range 100 {
			if _, err := w.Write(blank); err != nil {
				return
			}
		}
	})
}

// The largest of a sum are not the largest of its parts.
func TestView_SaysByHowMuchACountMayBeTooLow(t *testing.T) {
	long := func(name string, n int) map[string]uint64 {
		m := map[string]uint64{}
		for i := range n {
			m[fmt.Sprintf("/%s/%d", name, i)] = uint64(2 * (n - i))
		}
		return m
	}
	paths := long("one", leastTop+50)
	paths["/both"] = 1 // not among its largest
	one := instance{testHour: paths}
	local := instance{testHour: {"/both": 70_000}}
	v := view(t, local, serve(t, one.handler(t, "one")))
	body, err := v.AppendHour(t.Context(), []byte{}, testHour, 3)
	m := parse(t, body, err)
	if m.CountsLowBy == nil || m.CountsLowBy.RequestsPerPath != 102 || m.RequestsPerPath["/both"] != 70_000 || len(m.RequestsPerPath) != 3 {
		t.Errorf("%s", body)
	}
	body, err = v.AppendHour(t.Context(), []byte{}, testHour, 0)
	if m = parse(t, body, err); m.CountsLowBy != nil || m.RequestsPerPath["/both"] != 70_001 {
		t.Errorf("%v", m.CountsLowBy)
	}
}

func TestView_SendsTheKey(t *testing.T) {
	f := func(header, want string) {
		t.Helper()
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(header) != want {
				w.WriteHeader(401)
				return
			}
			instance{testHour: {"/a": 2}}.handler(t, "one")(w, r)
		})
		v, err := New(config.Analytics{Peers: []string{url}, PeerTimeout: time.Second, PeerKey: "sesame"}, header, "self", instance{}, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		body, err := v.AppendHour(t.Context(), []byte{}, testHour, 0)
		if parse(t, body, err).Records != 2 {
			t.Errorf("%s", body)
		}
	}
	f("X-API-Key", "sesame")
	f("Authorization", "Bearer sesame")
}

func TestView_GivesUpWhenNobodyWaits(t *testing.T) {
	v := view(t, instance{}, serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	v.timeout = time.Hour
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("hung up"))
	defer cancel()
	if _, err := v.AppendRange(ctx, nil, testHour, testHour, 1, 1); err == nil || err.Error() != "hung up" {
		t.Error(err)
	}
	v.one <- struct{}{} // another answer is under way
	if _, err := v.AppendHour(ctx, nil, testHour, 1); err == nil || err.Error() != "hung up" {
		t.Error(err)
	}
}
