package server

import (
	"context"
	"encoding/base64"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"
	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/config/metric"
	"logforge/sink"
)

// setAside gathers the records of one request that are set aside, until they go
// to a sink.RejectSink all at once.
type setAside struct {
	text  []byte // of the records, one after another
	items []asideItem
	err   error // why no more could be taken: of usage.take
}

// asideItem is one record. Its fields are those of sink.Rejected.
type asideItem struct {
	start, end int // in text
	bytes      int
	field      string
	reason     string
}

// asideItemBytes is about what one item takes: itself, its sink.Rejected, and what
// belongs to its reason.
const asideItemBytes = 300

// add takes a record; it is copied, and what the copies need is taken from u
// first.
func (a *setAside) add(u *usage, record []byte, e codec.RecordError) {
	if a.err != nil {
		return
	}
	item := asideItem{start: len(a.text), field: fieldOf(e.Field), reason: e.Reason}
	if len(record) > sink.MaxRejectedBytes {
		item.bytes = len(record)
		record = record[:sink.MaxRejectedBytes]
	}
	if need := len(a.text) + len(record); need > cap(a.text) {
		size := max(2*need, 4<<10)
		if a.err = u.take(size); a.err != nil {
			return
		}
		grown := append(make([]byte, 0, size), a.text...)
		u.give(cap(a.text))
		a.text = grown
	}
	if a.err = u.take(asideItemBytes + len(e.Reason)); a.err != nil {
		return
	}
	a.text = append(a.text, record...)
	item.end = len(a.text)
	a.items = append(a.items, item)
}

// records returns what was gathered in the form of a sink.RejectSink.
func (a *setAside) records(at time.Time, from, route string) []sink.Rejected {
	all := make([]sink.Rejected, len(a.items))
	for i, item := range a.items {
		all[i] = sink.Rejected{At: at, From: from, Route: route, Field: item.field, Reason: item.reason,
			Record: a.text[item.start:item.end:item.end], Bytes: item.bytes}
	}
	return all
}

// keepAside hands the records that in has set aside to where they are kept. The
// batch must not be acknowledged before that.
func (s *Server) keepAside(ctx context.Context, in *intake) error {
	if in.aside.err != nil {
		return in.aside.err
	}
	if s.rejects == nil {
		return sink.ErrNotSetAside
	}
	records := in.aside.records(in.at, in.from, in.route)
	if err := s.rejects.Reject(ctx, records, in.ack); err != nil {
		return err
	}
	s.asideLog.note(records)
	s.log.Warn("records were set aside", "route", in.route, "from", in.from, "records", len(records), "first", records[0].Field+" "+records[0].Reason)
	return nil
}

// asideLog counts the records that were set aside, and keeps the newest few of them
// for the page.
type asideLog struct {
	set *metrics.Set

	mu     sync.Mutex
	counts map[asideKey]*metrics.Counter
	newest []sink.Rejected // the oldest first
}

// asideKey is what records set aside are counted by: both words are bounded.
type asideKey struct{ route, field string }

const (
	newestAside = 50  // records that are kept for the page
	newestBytes = 500 // of each
)

func newAsideLog(set *metrics.Set) *asideLog {
	l := &asideLog{set: set, counts: map[asideKey]*metrics.Counter{}}
	// All counters exist from the start: Prometheus sees no increase in one that
	// appears with its first increment.
	for _, d := range endpoints {
		for _, field := range []string{"timestamp", "path", "userAgent", "record"} {
			l.counterLocked(asideKey{d.route, field})
		}
	}
	return l
}

func (l *asideLog) counterLocked(k asideKey) *metrics.Counter {
	c := l.counts[k]
	if c == nil {
		c = metric.Counter(l.set, `logforge_records_set_aside_total{route="`+k.route+`",reason="`+k.field+`"}`, "Those of them that were set aside and can be submitted again, by route and reason: the field that is at fault, or record.")
		l.counts[k] = c
	}
	return c
}

// note counts records and remembers the last of them.
func (l *asideLog) note(records []sink.Rejected) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range records {
		l.counterLocked(asideKey{records[i].Route, records[i].Field}).Inc()
	}
	for _, r := range records[max(0, len(records)-newestAside):] {
		if len(r.Record) > newestBytes {
			r.Bytes = max(r.Bytes, len(r.Record))
			r.Record = r.Record[:newestBytes]
		}
		r.Record = append([]byte(nil), r.Record...)
		if len(r.Reason) > newestBytes {
			r.Reason = r.Reason[:newestBytes]
		}
		l.newest = append(l.newest, r)
	}
	if more := len(l.newest) - newestAside; more > 0 {
		l.newest = append(l.newest[:0], l.newest[more:]...)
	}
}

// asideReport is GET /dashboard/rejected.
type asideReport struct {
	Counts []asideCount  `json:"counts"`
	Newest []asideRecord `json:"newest"` // the newest first
}

type asideCount struct {
	Route   string `json:"route"`
	Reason  string `json:"reason"`
	Records uint64 `json:"records"` // since the process started
}

type asideRecord struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	Route  string    `json:"route"`
	Reason string    `json:"reason"`
	Field  string    `json:"field"`
	Record string    `json:"record"`          // its first bytes; base64 where it is no UTF-8
	Bytes  int       `json:"bytes,omitempty"` // of the whole record, where this is its beginning
}

func (l *asideLog) report() asideReport {
	r := asideReport{Counts: []asideCount{}, Newest: []asideRecord{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range endpoints {
		for _, field := range []string{"timestamp", "path", "userAgent", "record"} {
			if n := l.counterLocked(asideKey{d.route, field}).Get(); n > 0 {
				r.Counts = append(r.Counts, asideCount{d.route, field, n})
			}
		}
	}
	for i := len(l.newest) - 1; i >= 0; i-- {
		one := &l.newest[i]
		record := string(one.Record)
		if !utf8.Valid(one.Record) {
			record = base64.StdEncoding.EncodeToString(one.Record)
		}
		r.Newest = append(r.Newest, asideRecord{one.At, one.From, one.Route, one.Reason, one.Field, record, one.Bytes})
	}
	return r
}

// getRejected answers GET /dashboard/rejected.
func (s *Server) getRejected(ctx *fasthttp.RequestCtx) error {
	body, err := json.Marshal(s.asideLog.report())
	if err != nil {
		return err
	}
	ctx.SetContentType("application/json")
	ctx.Response.AppendBody(body)
	return nil
}
