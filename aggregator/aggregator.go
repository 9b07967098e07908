package aggregator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/hourly"
)

// Files is what an Aggregator asks of the sink: every hour that has a file, and
// the length up to which it may be read.
type Files interface {
	Extents() []hourly.Extent
}

// Aggregator keeps one summary for each hour's file. Run and Pass are for one
// goroutine; AppendHour and AppendRange are for any number of them, beside it.
type Aggregator struct {
	cfg     config.Aggregation
	storage config.Storage
	files   Files
	log     *slog.Logger

	seen   map[codec.Hour]seen // what every hour in files was like at the last pass
	passes uint64
	hours  []hourLength // of this pass; kept for its memory

	tally   *tally
	current standing // which hour, and how much of it, tally holds
	lines   lineReader
	reader  summaryReader
	encoder summaryEncoder
	out     output
	tail    [fingerprintBytes]byte // what a fingerprint is of

	ranges sync.Mutex // one AppendRange at a time: it bounds their memory

	complete    atomic.Int64 // when the last pass that left nothing behind began, in ns since the epoch
	runs        *metrics.Counter
	records     *metrics.Counter
	malformed   *metrics.Counter
	recounts    *metrics.Counter
	errors      *metrics.Counter
	passSeconds *metrics.PrometheusHistogram
}

// seen is an hour as a pass left it.
type seen struct {
	length int64  // the committed length that its summary accounts for
	pass   uint64 // the last pass in which the hour had a file
}

// unknown is no length that a file can have.
const unknown = -1

type hourLength struct {
	hour   codec.Hour
	length int64
}

// standing is the hour whose counts a tally holds, as far as position.
type standing struct {
	position
	hour  codec.Hour
	valid bool
}

// New returns an Aggregator that summarises the files below st.LogsDir into
// st.AnalyticsDir, which is made when there is something to put in it. It does
// nothing by itself: see Run.
func New(cfg config.Aggregation, st config.Storage, files Files, log *slog.Logger, set *metrics.Set) *Aggregator {
	a := &Aggregator{
		cfg:     cfg,
		storage: st,
		files:   files,
		log:     log,
		seen:    map[codec.Hour]seen{},
		tally:   newTally(cfg.MaxKeys),
		lines:   lineReader{max: maxLine},
		out:     newOutput(),
	}
	a.complete.Store(time.Now().UnixNano())
	a.runs = set.NewCounter("aggregation_runs_total")
	a.records = set.NewCounter("logforge_aggregation_records_total")
	a.malformed = set.NewCounter("logforge_aggregation_malformed_total")
	a.recounts = set.NewCounter("logforge_aggregation_recounts_total")
	a.errors = set.NewCounter("logforge_aggregation_errors_total")
	a.passSeconds = set.NewPrometheusHistogramExt("logforge_aggregation_duration_seconds", []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300})
	set.NewGauge("logforge_aggregation_delay_seconds", func() float64 {
		return time.Since(time.Unix(0, a.complete.Load())).Seconds()
	})
	return a
}

// Run makes a pass at once and then every aggregation.interval, until ctx ends.
// It then makes a last pass, which nothing cuts short, and returns what failed
// in that one. What fails in the others is logged and tried again.
func (a *Aggregator) Run(ctx context.Context) error {
	tick := time.NewTicker(a.cfg.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := a.Pass(ctx); err != nil && ctx.Err() == nil {
			a.logEach(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return a.Pass(context.WithoutCancel(ctx))
}

// logEach logs the errors that Pass has joined, one by one.
func (a *Aggregator) logEach(err error) {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		a.log.Error("aggregation failed, the next pass tries again", "err", err)
	}
}

// Pass brings the summary of every hour whose file has changed up to its
// committed length. An hour that fails does not keep the others from being
// summarised; the error joins what failed. When ctx ends, Pass stops where it
// is and leaves the rest to the next one.
func (a *Aggregator) Pass(ctx context.Context) error {
	began := time.Now()
	a.passes++

	a.hours = a.hours[:0]
	for _, e := range a.files.Extents() {
		a.hours = append(a.hours, hourLength{e.Hour, e.Length})
	}
	var errs []error
	for _, h := range a.grown() {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if err := a.summarise(ctx, h.hour, h.length); err != nil {
			a.current.valid = false // the tally may be ahead of its position
			errs = append(errs, fmt.Errorf("summarise %s: %w", h.hour, err))
			continue
		}
		a.seen[h.hour] = seen{length: h.length, pass: a.passes}
	}
	if err := a.out.syncDirs(); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		a.complete.Store(began.UnixNano())
	} else if ctx.Err() == nil {
		a.errors.Add(len(errs))
	}
	a.runs.Inc()
	a.passSeconds.UpdateDuration(began)
	return errors.Join(errs...)
}

// grown returns the hours whose length is not what their summary accounts for:
// the one in the tally first, so that it need not be read again, then the
// newest first. It forgets hours that have no file any more.
func (a *Aggregator) grown() []hourLength {
	all := len(a.hours)
	grown := a.hours[:0]
	for _, h := range a.hours {
		last, ok := a.seen[h.hour]
		if !ok {
			last.length = unknown
			if a.accounted(h.hour, h.length) {
				last.length = h.length
			}
		}
		last.pass = a.passes
		a.seen[h.hour] = last
		if last.length != h.length {
			grown = append(grown, h)
		}
	}
	if len(a.seen) > all {
		maps.DeleteFunc(a.seen, func(_ codec.Hour, s seen) bool { return s.pass != a.passes })
	}
	slices.SortFunc(grown, func(x, y hourLength) int { return cmp.Compare(y.hour, x.hour) })
	if i := slices.IndexFunc(grown, func(h hourLength) bool { return h.hour == a.current.hour }); i > 0 {
		grown[0], grown[i] = grown[i], grown[0]
	}
	return grown
}
