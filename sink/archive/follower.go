package archive

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config/metric"
	"logforge/sink/hourly"
)

// follower brings one destination up to what the files have.
type follower struct {
	dest  Destination
	rule  partRule
	files Files
	node  string
	name  string // of the file of intents
	log   *slog.Logger

	shortest, longest time.Duration // pauses after a failure
	recheck           time.Duration // after which the destination is asked again what it has

	intents *intents // of the goroutine of run

	mu     sync.Mutex // guards what follows
	hours  table
	tries  int       // failures in a row of the destination
	rest   time.Time // it is left alone until then
	err    error     // of the last attempt, or of an hour that is left alone
	failed time.Time // when err began
	stored uint64

	parts, errors *metrics.Counter
}

func newFollower(d Destination, rule partRule, files Files, node, name string, log *slog.Logger, set *metrics.Set) *follower {
	label := fmt.Sprintf("{destination=%q}", d.Name())
	f := &follower{
		dest: d, rule: rule, files: files, node: node, name: name,
		log:      log.With("destination", d.Name()),
		shortest: 250 * time.Millisecond,
		longest:  30 * time.Second,
		recheck:  time.Hour,
		hours:    table{},
		parts:    metric.Counter(set, "logforge_archive_parts_total"+label, "Parts stored at a destination."),
		errors:   metric.Counter(set, "logforge_archive_errors_total"+label, "Attempts of the archive that failed; they are made again."),
	}
	metric.Gauge(set, "logforge_archive_pending_bytes"+label, "Bytes of lines that a destination does not have yet.", func() float64 { return float64(f.status().PendingBytes) })
	metric.Gauge(set, "logforge_archive_oldest_pending_seconds"+label, "How long the oldest record that a destination does not have yet has been waiting.", func() float64 { return f.status().OldestPending.Seconds() })
	for _, reason := range reasons {
		metric.Gauge(set, fmt.Sprintf("logforge_archive_waiting{destination=%q,reason=%q}", d.Name(), reason), "1 while a destination does not take what is waiting for it, for this reason.", func() float64 {
			if f.reason() == reason {
				return 1
			}
			return 0
		})
	}
	return f
}

// run follows the files until ctx ends.
func (f *follower) run(ctx context.Context) {
	defer f.dest.Close()
	if !f.begin(ctx) {
		return
	}
	defer f.intents.Close() //nolint:errcheck // every write was synced
	f.log.Info("the archive follows the files", "node", f.node)
	for {
		f.see(time.Now())
		f.ask(ctx)
		more := f.work(ctx)
		if !more && !pause(ctx, f.wait()) || ctx.Err() != nil {
			return
		}
	}
}

// begin opens the file of intents: where the disk has no room for it, again and
// again.
func (f *follower) begin(ctx context.Context) bool {
	for {
		in, found, err := openIntents(f.name, f.node)
		if err == nil {
			f.intents = in
			f.see(time.Now())
			f.takeUp(found)
			return true
		}
		f.fail(ctx, err)
		if !pause(ctx, f.wait()) {
			return false
		}
	}
}

// takeUp notes the parts that were under way when the last process ended. An
// intent for lines that are gone is dropped with them.
func (f *follower) takeUp(found map[int]Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for slot, part := range found {
		p := f.hours[part.Hour]
		// One hour has at most one part under way: of two, which a power loss can
		// leave, the later one. The part is stored again even where the
		// destination seems to have it: it has to be this one.
		if p == nil || p.extent.Generation != part.Generation || part.To > p.extent.Length {
			f.intents.drop(slot)
			continue
		}
		if p.slot >= 0 {
			if part.From < p.part.From {
				f.intents.drop(slot)
				continue
			}
			f.intents.drop(p.slot)
		}
		p.slot, p.part = slot, part
	}
}

// see looks at the files.
func (f *follower) see(now time.Time) {
	extents := f.files.Extents()
	f.mu.Lock()
	defer f.mu.Unlock()
	there := make(map[int64]struct{}, len(extents))
	for _, e := range extents {
		there[int64(e.Hour)] = struct{}{}
		p := f.hours[e.Hour]
		switch {
		case p == nil:
			f.hours[e.Hour] = newProgress(e, now)
		case p.extent.Generation != e.Generation:
			f.gone(p)
			f.hours[e.Hour] = newProgress(e, now)
		case p.extent.Length != e.Length:
			if p.asked && p.next >= p.extent.Length {
				p.since = now
			}
			p.extent.Length, p.grown = e.Length, now // the rest is the same, and read without f.mu
		}
	}
	for h, p := range f.hours {
		if _, ok := there[int64(h)]; !ok {
			f.gone(p)
			delete(f.hours, h)
		}
	}
}

// gone lets go of a generation that is no longer in the files.
func (f *follower) gone(p *progress) {
	if n := p.pending(); p.asked && n > 0 {
		f.log.Warn("an hour's file was removed or replaced before all of it was archived", "hour", p.extent.Hour.String(), "bytes", n)
	}
	f.drop(p)
}

// drop lets go of the intent of an hour. f.mu is held.
func (f *follower) drop(p *progress) {
	if p.slot >= 0 {
		f.intents.drop(p.slot)
		p.slot = -1
	}
}

func byHour(a, b *progress) int { return cmp.Compare(a.extent.Hour, b.extent.Hour) }

// A job is an hour of which a part is due. Everything up to the end of extent
// is on the local disk.
type job struct {
	*progress
	extent hourly.Extent
}

// due returns the hours of which a part is to be stored, the oldest first.
func (f *follower) due(now time.Time) []job {
	f.mu.Lock()
	defer f.mu.Unlock()
	var jobs []job
	for _, p := range f.hours {
		if p.asked && (p.slot >= 0 || p.due(f.rule, now)) && !now.Before(p.retry) {
			jobs = append(jobs, job{p, p.extent})
		}
	}
	slices.SortFunc(jobs, func(a, b job) int {
		// An hour that fails keeps no other waiting.
		return cmp.Or(cmp.Compare(a.tries, b.tries), cmp.Compare(a.extent.Hour, b.extent.Hour))
	})
	return jobs
}

// work stores a part of each hour of which one is due, and reports whether more
// may be due at once.
func (f *follower) work(ctx context.Context) (more bool) {
	if f.resting(time.Now()) {
		return false
	}
	jobs := f.due(time.Now())
	if len(jobs) == 0 || f.files.Sync() != nil { // after a failed sync the process is about to end
		return false
	}
	var inFlight int64 // bytes of lines: large parts go one at a time
	running := 0
	done := make(chan int64)
	wait := func() {
		inFlight -= <-done
		running--
	}
	for _, j := range jobs {
		if ctx.Err() != nil || f.resting(time.Now()) || j.slot < 0 && !f.intend(ctx, j) {
			continue
		}
		size := min(j.part.To-j.part.From, f.rule.bytes)
		for running > 0 && (running == f.rule.parallel || inFlight+size > f.rule.bytes) {
			wait()
		}
		inFlight, running = inFlight+size, running+1
		go func() {
			f.store(ctx, j)
			done <- size
		}()
	}
	for running > 0 {
		wait()
	}
	return !f.resting(time.Now()) && len(f.due(time.Now())) > 0
}

// intend begins the next part of an hour: it writes down which lines that is.
func (f *follower) intend(ctx context.Context, j job) bool {
	e := j.extent
	f.mu.Lock()
	from, to, search := j.nextRange(f.rule, e.Length)
	f.mu.Unlock()
	var err error
	if search {
		to, err = f.lineEnd(e, to)
	}
	part := Part{Node: f.node, Hour: e.Hour, Generation: e.Generation, From: from, To: to}
	slot := -1
	if err == nil {
		slot, err = f.intents.add(part)
	}
	switch {
	case errors.Is(err, hourly.ErrGone):
		return false // see notices
	case err != nil:
		f.fail(ctx, err)
		return false
	case slot < 0:
		f.log.Error("too many hours cannot be archived, see the errors before", "hours", slotCount)
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	j.slot, j.part = slot, part
	return true
}

// lineEnd returns where the line ends that holds the byte before at.
func (f *follower) lineEnd(e hourly.Extent, at int64) (end int64, err error) {
	r, err := f.files.Reader(e, at-1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	end = at - 1
	lines := bufio.NewReaderSize(r, 4<<10)
	for {
		piece, err := lines.ReadSlice('\n')
		end += int64(len(piece))
		if err == nil || errors.Is(err, io.EOF) {
			return end, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
	}
}

// store stores the part under way of an hour.
func (f *follower) store(ctx context.Context, j job) {
	p, part, e := j.progress, j.part, j.extent
	var waiting int64
	f.mu.Lock()
	for _, p := range f.hours {
		waiting += p.pending()
	}
	f.mu.Unlock()
	pauses := rest(waiting, f.rule.bytes)
	err := f.try(ctx, part, func() (io.ReadCloser, error) {
		r, err := f.files.Reader(e, part.From)
		if err != nil || f.rule.growing || pauses == 0 || part.To-part.From < pacedFrom {
			return r, err
		}
		return &paced{ReadCloser: r, rest: pauses}, nil
	})
	if ctx.Err() != nil {
		return // the next start goes on
	}
	now := time.Now()
	f.mu.Lock()
	if err == nil && !p.has(part) { // it may be one that a crash has left, and that was there already
		err = p.add(part)
	}
	if err == nil {
		f.drop(p)
		p.tries, p.err = 0, nil
		p.since = now
		f.stored++
		f.mu.Unlock()
		f.parts.Inc()
		f.succeed()
		return
	}
	f.mu.Unlock()
	switch {
	case errors.Is(err, hourly.ErrGone):
		// see notices, and lets go of the intent
	case errors.Is(err, errDamaged):
		f.block(p, err)
	default:
		err = fmt.Errorf("%v: %w", part, err)
		f.mu.Lock()
		p.tries++
		p.retry = now.Add(f.backoff(p.tries))
		p.err = err
		f.mu.Unlock()
		f.fail(ctx, err)
	}
}

// try stores a part. Whatever a client library does with what it is given or
// answered, the process goes on: it has records to take.
func (f *follower) try(ctx context.Context, part Part, open func() (io.ReadCloser, error)) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s: %w", cause, debug.Stack(), errDamaged)
		}
	}()
	return f.dest.Store(ctx, part, open)
}

// backoff returns the pause after so many failures in a row.
func (f *follower) backoff(tries int) time.Duration {
	d := min(f.shortest<<min(tries-1, 20), f.longest)
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}

// pause waits, and reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
