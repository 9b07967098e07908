package aggregator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
	"logforge/sink/durable"
	"logforge/sink/hourly"
)

// Files is what an Aggregator needs of *hourly.Files: how far each hour's
// stream of lines is committed, and its bytes.
type Files interface {
	Extents() []hourly.Extent
	// Reader reads from offset from to the end of e. The error, also that of a
	// later Read, is hourly.ErrGone when e's generation is no longer there.
	Reader(e hourly.Extent, from int64) (io.ReadCloser, error)
}

// Aggregator keeps one summary for each hour. Run, Pass and Close are for one
// goroutine; the other methods are for any number of them, beside it.
type Aggregator struct {
	cfg   config.Aggregation
	files Files
	log   *slog.Logger
	dir   directory

	seen    map[codec.Hour]seen // every hour that has a file, as the last pass left it
	passes  uint64
	found   map[codec.Hour]uint64 // generations there were when the process started
	extents []hourly.Extent       // of this pass; kept for its memory

	counts  counts // of one hour, the one that was summarised last
	lines   lineReader
	reader  summaryReader
	encoder summaryEncoder

	// Each holds one while such an answer is put together: it bounds their memory.
	answeringHour, answeringRange chan struct{}

	reports    sync.Mutex
	suspicious map[codec.Hour]error // summaries that were found damaged since the last pass
	wake       chan struct{}        // capacity 1; holds a value when Run is to make a pass at once

	complete    atomic.Int64 // when the last pass that left nothing undone began, in ns since the epoch
	runs        *metrics.Counter
	records     *metrics.Counter
	malformed   *metrics.Counter
	recounts    *metrics.Counter
	damaged     *metrics.Counter
	errors      *metrics.Counter
	passSeconds *metrics.PrometheusHistogram
}

// seen is an hour as a pass left it.
type seen struct {
	generation uint64
	length     int64  // what of the generation its summary accounts for
	summary    bool   // it has one: an hour without a whole line has none
	pass       uint64 // the last pass in which the hour had a file
}

// unknown is no length that a stream can have.
const unknown = -1

// lastPass is how long the pass that Run makes at its end may take. What it
// leaves undone is done after the next start.
const lastPass = 2 * time.Second

// Open returns an Aggregator that summarises files into the analytics directory
// dir, which it makes and locks. It does nothing by itself: see Run. The caller
// has to Close it.
//
// The error is durable.ErrInUse if another process has the directory. Any other
// failure to make or lock it is logged, and tried again at each pass: it must
// not keep records from being stored.
func Open(cfg config.Aggregation, dir string, files Files, log *slog.Logger, set *metrics.Set) (*Aggregator, error) {
	a := &Aggregator{
		cfg:           cfg,
		files:         files,
		log:           log,
		dir:           directory{path: dir},
		seen:          map[codec.Hour]seen{},
		found:         map[codec.Hour]uint64{},
		counts:        counts{total: newTally(cfg.MaxKeys), earlier: newTally(cfg.MaxKeys)},
		lines:         lineReader{max: maxLine},
		answeringHour: make(chan struct{}, 1), answeringRange: make(chan struct{}, 1),
		suspicious: map[codec.Hour]error{},
		wake:       make(chan struct{}, 1),
	}
	if _, err := a.dir.ensure(); errors.Is(err, durable.ErrInUse) {
		return nil, fmt.Errorf("analytics directory %s: %w", dir, err)
	} else if err != nil {
		log.Error("the analytics directory cannot be used, the next pass tries again", "dir", dir, "err", err)
	}
	for _, e := range files.Extents() {
		a.found[e.Hour] = e.Generation
	}
	a.complete.Store(time.Now().UnixNano())
	a.runs = metric.Counter(set, "aggregation_runs_total", "Passes over the files that had grown.")
	a.records = metric.Counter(set, "logforge_aggregation_records_total", "Records counted into summaries.")
	a.malformed = metric.Counter(set, "logforge_aggregation_malformed_total", "Lines in the files that are no records and were skipped.")
	a.recounts = metric.Counter(set, "logforge_aggregation_recounts_total", "Hours counted from their beginning, because the file or its summary was not what it had been.")
	a.damaged = metric.Counter(set, "logforge_aggregation_damaged_total", "Summaries that were found damaged; their hours are counted again where there is a file.")
	a.errors = metric.Counter(set, "logforge_aggregation_errors_total", "Hours that could not be summarised in a pass.")
	a.passSeconds = metric.Histogram(set, "logforge_aggregation_duration_seconds", "Duration of a pass over the files that had grown.", .001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300)
	metric.Gauge(set, "logforge_aggregation_delay_seconds", "Time since the beginning of the last pass that brought every hour up to date.", func() float64 {
		return time.Since(time.Unix(0, a.complete.Load())).Seconds()
	})
	return a, nil
}

// Close gives the lock of the analytics directory back.
func (a *Aggregator) Close() error { return a.dir.close() }

// Run makes a pass at once and then every aggregation.interval, or sooner when a
// summary was found damaged, until ctx ends. It then makes a last pass, for two
// seconds at most, and returns what failed in that one. What fails in the others
// is logged and tried again.
func (a *Aggregator) Run(ctx context.Context) error {
	tick := time.NewTicker(a.cfg.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := a.Pass(ctx); err != nil && ctx.Err() == nil {
			a.logEach(err)
		}
		select {
		case <-tick.C:
		case <-a.wake:
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), lastPass, errStopping)
	defer cancel()
	err := a.Pass(last)
	if errors.Is(err, errStopping) {
		a.log.Info("the last pass of the aggregation was interrupted, the next start goes on with it")
		return nil
	}
	return err
}

// errStopping is why the last pass ends early.
var errStopping = errors.New("the process is stopping")

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

// Pass brings the summary of every hour that has changed up to its committed
// length. An hour that fails does not keep the others from being summarised; the
// error joins what failed. When ctx ends, Pass stops where it is and leaves the
// rest to the next one.
func (a *Aggregator) Pass(ctx context.Context) error {
	began := time.Now()
	a.passes++
	a.dir.pass = a.passes
	errs := a.pass(ctx)
	if len(errs) == 0 {
		a.complete.Store(began.UnixNano())
	} else if ctx.Err() == nil {
		a.errors.Add(len(errs))
	}
	a.runs.Inc()
	a.passSeconds.UpdateDuration(began)
	return errors.Join(errs...)
}

func (a *Aggregator) pass(ctx context.Context) (errs []error) {
	renewed, err := a.dir.ensure()
	if err != nil {
		return []error{fmt.Errorf("analytics directory %s: %w", a.dir.path, err)}
	}
	if renewed && a.passes > 1 {
		a.log.Warn("the analytics directory is not the one it was: its summaries are made anew", "dir", a.dir.path)
	}
	if renewed {
		clear(a.seen)
		a.counts.valid = false
	}
	a.extents = append(a.extents[:0], a.files.Extents()...)
	errs = a.inspect(ctx)
	for _, e := range a.grown(ctx) {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if err := a.summarise(ctx, e); err != nil {
			a.counts.valid = false // they may be ahead of their position
			errs = append(errs, fmt.Errorf("summarise %s: %w", e.Hour, err))
		}
	}
	if err := a.dir.sync(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// grown returns the hours whose stream is not what their summary accounts for:
// the one whose counts are in memory first, so that they need not be read again,
// then the newest first. It forgets hours that have no file any more.
func (a *Aggregator) grown(ctx context.Context) []hourly.Extent {
	all := len(a.extents)
	grown := a.extents[:0]
	for _, e := range a.extents {
		last, known := a.seen[e.Hour]
		if (!known || last.summary) && !a.dir.has(e.Hour) { // removed, or not made yet
			known = false
			if a.counts.hour == e.Hour {
				a.counts.valid = false
			}
		}
		if !known {
			last = seen{length: unknown}
			if ctx.Err() == nil && a.accounted(ctx, e) {
				last = seen{generation: e.Generation, length: e.Length, summary: true}
			}
		}
		last.pass = a.passes
		a.seen[e.Hour] = last
		if last.length != e.Length || last.generation != e.Generation {
			grown = append(grown, e)
		}
	}
	if len(a.seen) > all {
		maps.DeleteFunc(a.seen, func(_ codec.Hour, s seen) bool { return s.pass != a.passes })
	}
	slices.SortFunc(grown, func(x, y hourly.Extent) int { return cmp.Compare(y.Hour, x.Hour) })
	if i := slices.IndexFunc(grown, func(e hourly.Extent) bool { return e.Hour == a.counts.hour }); i > 0 {
		grown[0], grown[i] = grown[i], grown[0]
	}
	return grown
}
