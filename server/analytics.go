package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/goccy/go-json"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/server/peers"
)

// Summaries is where GET /analytics gets its answers: *aggregator.Aggregator.
type Summaries interface {
	// AppendHour appends the JSON summary of h with the top largest of each map
	// (0 means all). The error is fs.ErrNotExist where there is none, fs.ErrClosed
	// where it is being made again, fs.ErrInvalid for an answer that would be too
	// large, or the cause for which ctx ended.
	AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error)
	// AppendRange appends the JSON of the hours from..to, both included. Its errors
	// are those of AppendHour, but that a range without a summary is empty.
	// hourTop is how many of each map each hour has.
	AppendRange(ctx context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error)
	// Span returns the days that have summaries.
	Span(ctx context.Context) (codec.Span, error)
}

// rangeTop is how many of each map a range has unless top says otherwise.
const rangeTop = 1000

// query is what GET /analytics asks for: from and to are the same for one hour.
type query struct {
	from, to codec.Hour
	single   bool
	top      int // how many of each map; 0 means all
	hourTop  int // how many of each map for each hour of a range
	local    bool
}

func (s *Server) getAnalytics(ctx *fasthttp.RequestCtx) error {
	ctx.Response.Header.Set(peers.Header, s.instance)
	if s.noReports != nil && !isLocal(ctx.QueryArgs()) { // a peer asks so, and wants to know no reason
		return s.noReports
	}
	q, err := parseQuery(ctx.QueryArgs(), s.cfg.MaxAnalyticsHours)
	if err != nil {
		return err
	}
	from := s.summaries
	if q.local {
		from = s.local
	}
	return s.answer(ctx, func(within context.Context) ([]byte, error) {
		if q.single {
			return from.AppendHour(within, nil, q.from, q.top)
		}
		return from.AppendRange(within, nil, q.from, q.to, q.top, q.hourTop)
	})
}

// days is GET /analytics/days: the days that have summaries, as 2026-02-09.
type days struct {
	First  string `json:"first"` // empty while there is none
	Recent string `json:"recent"`
	Last   string `json:"last"`
}

func daysOf(span codec.Span) days {
	if !span.Known {
		return days{}
	}
	text := func(h codec.Hour) string { return h.Time().Format(time.DateOnly) }
	return days{text(span.First), text(span.Recent), text(span.Last)}
}

func (s *Server) getDays(ctx *fasthttp.RequestCtx) error {
	ctx.Response.Header.Set(peers.Header, s.instance)
	from := s.summaries
	if isLocal(ctx.QueryArgs()) {
		from = s.local
	}
	return s.answer(ctx, func(within context.Context) ([]byte, error) {
		span, err := from.Span(within)
		if err != nil {
			return nil, err
		}
		return json.Marshal(daysOf(span))
	})
}

// isLocal reports whether a request asks for this instance's summaries alone.
func isLocal(args *fasthttp.Args) bool { return string(args.Peek(peers.Local)) == "true" }

// analyticsError says what an error of Summaries means to a client. What it does
// not know is answered as that of any other route.
func analyticsError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNoSummary
	case errors.Is(err, fs.ErrClosed):
		return errRecount
	case errors.Is(err, fs.ErrInvalid):
		return fmt.Errorf("%w: %w", errQuery, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return errNoTime // or the client has gone, or the server is stopping
	}
	return err
}

// parseQuery reads hour= or from= and to=, top=, hourTop= and local=. The error is errQuery,
// wrapped with the form that is right.
func parseQuery(args *fasthttp.Args, maxHours int) (q query, err error) {
	const forms = "use hour=2026-02-09T15, or from=2026-02-09T00&to=2026-02-09T23 (UTC, both included), and top=N for the N largest"
	hour, from, to := args.Peek("hour"), args.Peek("from"), args.Peek("to")
	switch {
	case len(hour) > 0 && (len(from) > 0 || len(to) > 0):
		return q, fmt.Errorf("%w: hour together with from or to; %s", errQuery, forms)
	case len(hour) > 0:
		q.single = true
		from, to = hour, hour
	case len(from) == 0 && len(to) == 0:
		return q, fmt.Errorf("%w: no time asked for; %s", errQuery, forms)
	case len(from) == 0 || len(to) == 0:
		return q, fmt.Errorf("%w: from and to go together; %s", errQuery, forms)
	}
	if q.from, err = parseHour(string(from)); err != nil {
		return q, fmt.Errorf("%w: %q is not an hour; %s", errQuery, from, forms)
	}
	if q.to, err = parseHour(string(to)); err != nil {
		return q, fmt.Errorf("%w: %q is not an hour; %s", errQuery, to, forms)
	}
	if q.to < q.from {
		return q, fmt.Errorf("%w: from lies after to; %s", errQuery, forms)
	}
	if n := int64(q.to-q.from) + 1; n > int64(maxHours) {
		return q, fmt.Errorf("%w: a range of %d hours is over server.maxAnalyticsHours (%d)", errQuery, n, maxHours)
	}
	if !q.single {
		q.top = rangeTop
	}
	number := func(name string, n *int) error {
		text := args.Peek(name)
		if len(text) == 0 {
			return nil
		}
		if *n, err = strconv.Atoi(string(text)); err != nil || *n < 1 {
			return fmt.Errorf("%w: %s=%q is not a whole number from 1 on; %s", errQuery, name, text, forms)
		}
		return nil
	}
	if err := number("top", &q.top); err != nil {
		return q, err
	}
	q.hourTop = q.top
	if err := number("hourTop", &q.hourTop); err != nil {
		return q, err
	}
	q.local = isLocal(args)
	return q, nil
}

// parseHour reads 2026-02-09T15, or an RFC 3339 instant that begins an hour of
// UTC.
func parseHour(text string) (codec.Hour, error) {
	if h, err := codec.ParseHour(text); err == nil {
		return h, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, err
	}
	h := codec.HourOf(t)
	if !h.Time().Equal(t) {
		return 0, fmt.Errorf("%s does not begin an hour", text)
	}
	return h, nil
}
