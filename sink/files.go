package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"logforge/codec"
	"logforge/config"

	"github.com/VictoriaMetrics/metrics"
)

// Files is the sink that writes the hourly files: version 1's only sink, and
// where version 2's consumer puts what comes from Kafka. See the package
// comment for what it promises.
type Files struct {
	cfg  config.Storage
	ack  Ack
	log  *slog.Logger
	disk disk

	writes *Group[*codec.Batch]
	syncs  *Group[struct{}]

	// mu guards everything below. Whoever leads a group of writes holds it
	// while writing; a sync holds it only to see what there is to sync.
	mu       sync.Mutex
	segments map[codec.Hour]*segment // every hour that has a file
	open     []*segment              // those whose file is open, in no order
	last     *segment                // the one found last: nearly always the next one too
	touched  []*segment              // of the group being written
	reached  int                     // how many of touched may have been written to
	scratch  []byte
	round    uint64              // counts groups, for the least recently used
	dirs     map[string]struct{} // directories whose entries are not synced yet
	journal  *journal
	// journalRound counts compactions: a segment with another number is not
	// in the journal.
	journalRound uint64 // from 1
	tx           transaction
	unlock       func() error
	closed       bool

	opened atomic.Int64          // len(open)
	full   atomic.Bool           // the last write found no room
	sticky atomic.Pointer[error] // the failure after which nothing is written any more
	failed chan struct{}

	stop context.CancelFunc
	idle sync.WaitGroup // the goroutine that syncs at intervals

	bytesWritten *metrics.Counter
	groupBatches *metrics.PrometheusHistogram
	syncSeconds  *metrics.PrometheusHistogram
	tornBytes    *metrics.Counter
	rolledBack   *metrics.Counter
	writeErrors  *metrics.Counter
}

// OpenFiles opens the logs directory cfg.LogsDir, makes it if it is not there,
// takes its lock, and brings every file back to whole lines after a crash. ack
// is the level that Default stands for: Written or Synced. The caller has to
// Close it.
func OpenFiles(cfg config.Storage, ack Ack, log *slog.Logger, set *metrics.Set) (*Files, error) {
	return openFiles(cfg, ack, log, set, osDisk{})
}

func openFiles(cfg config.Storage, ack Ack, log *slog.Logger, set *metrics.Set, d disk) (*Files, error) {
	f := &Files{
		cfg:      cfg,
		ack:      ack,
		log:      log,
		disk:     d,
		segments: map[codec.Hour]*segment{},
		dirs:     map[string]struct{}{},
		failed:   make(chan struct{}),

		journalRound: 1,
	}
	f.writes = NewGroup(f.writeGroup)
	f.syncs = NewGroup(f.syncGroup)
	f.register(set)

	if err := makeAll(d, filepath.Clean(cfg.LogsDir)); err != nil {
		return nil, fmt.Errorf("logs directory: %w", err)
	}
	unlock, err := d.lock(filepath.Join(cfg.LogsDir, lockName))
	if err != nil {
		return nil, fmt.Errorf("logs directory %s: %w", cfg.LogsDir, err)
	}
	f.unlock = unlock
	if err := f.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("logs directory %s: %w", cfg.LogsDir, err), unlock())
	}

	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.idle.Go(func() { f.tend(ctx) })
	return f, nil
}

// makeAll makes dir and the parents it lacks. It syncs dir's entry also where it
// was there: the process that made it may have been killed before that.
func makeAll(d disk, dir string) error {
	parent := filepath.Dir(dir)
	_, err := d.readDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if parent != dir {
			if err := makeAll(d, parent); err != nil {
				return err
			}
		}
		err = d.mkdir(dir)
	}
	if err != nil {
		return err
	}
	if err := d.syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err // a parent we may not read was not made by us
	}
	return nil
}

func (f *Files) register(set *metrics.Set) {
	f.bytesWritten = set.NewCounter("logforge_written_bytes_total")
	f.groupBatches = set.NewPrometheusHistogramExt("logforge_write_group_batches", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256})
	f.syncSeconds = set.NewPrometheusHistogramExt("logforge_sync_duration_seconds", []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10})
	f.tornBytes = set.NewCounter("logforge_torn_bytes_total")
	f.rolledBack = set.NewCounter("logforge_rolled_back_bytes_total")
	f.writeErrors = set.NewCounter("logforge_write_errors_total")
	set.NewGauge("logforge_open_files", func() float64 { return float64(f.opened.Load()) })
	set.NewGauge("logforge_disk_full", func() float64 {
		if f.full.Load() {
			return 1
		}
		return 0
	})
}

// Write implements Sink for version 1. The levels are Written and Synced.
func (f *Files) Write(_ context.Context, b *codec.Batch, ack Ack) error {
	if ack == Default {
		ack = f.ack
	}
	if ack != Written && ack != Synced {
		return ErrAck
	}
	if b.Records() == 0 {
		return nil
	}
	if err := f.writes.Do(b); err != nil || ack == Written {
		return err
	}
	return f.syncs.Do(struct{}{})
}

// writeGroup writes all batches, or none: one write for each hour they touch.
func (f *Files) writeGroup(batches []*codec.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	f.groupBatches.Update(float64(len(batches)))
	for _, b := range batches {
		if err := f.gather(b); err != nil {
			return f.giveUp(err)
		}
	}
	if err := f.journalTouched(kindFloor); err != nil {
		return f.giveUp(err)
	}
	n, err := f.appendTouched()
	if err != nil {
		return f.giveUp(err)
	}
	for _, s := range f.touched {
		s.length, s.dirty = s.tail, true
	}
	f.touched, f.reached = f.touched[:0], 0
	f.bytesWritten.AddInt64(n)
	f.full.Store(false)
	return nil
}

// writable returns why nothing can be written at all.
func (f *Files) writable() error {
	if f.closed {
		return ErrClosed
	}
	return f.Err()
}

// gather notes the lines of b with their segments, whose files it opens.
func (f *Files) gather(b *codec.Batch) error {
	f.round++
	for _, r := range b.Runs() {
		s := f.last
		if s == nil || s.hour != r.Hour {
			s = f.segments[r.Hour]
			if s == nil {
				s = &segment{hour: r.Hour}
				f.segments[r.Hour] = s
			}
			f.last = s
		}
		if len(s.parts) == 0 {
			s.used = f.round
			f.touched = append(f.touched, s)
		}
		s.parts = append(s.parts, b.Lines(r))
	}
	return nil
}

// journalTouched notes in the journal where the touched files end, for those it
// does not know yet: before anything is appended to them.
func (f *Files) journalTouched(kind string) error {
	var unknown map[codec.Hour]int64
	for _, s := range f.touched {
		if s.journaled != f.journalRound {
			if unknown == nil {
				unknown = map[codec.Hour]int64{}
			}
			unknown[s.hour] = s.length
		}
	}
	if unknown == nil {
		return nil
	}
	if err := f.journal.add(entry{Kind: kind, Files: unknown}, true); err != nil {
		return err
	}
	for h, n := range unknown {
		s := f.segments[h]
		s.journaled, s.synced, s.floored = f.journalRound, n, n
		s.exact = kind == kindOpen
	}
	return nil
}

// appendTouched writes what was gathered and returns the bytes written.
func (f *Files) appendTouched() (n int64, err error) {
	for i, s := range f.touched {
		if err := f.ensureOpen(s); err != nil {
			return n, err
		}
		s.before = s.tail
		f.reached = i + 1
		if err := s.append(&f.scratch); err != nil {
			return n, fmt.Errorf("writing %s: %w", Path(s.hour), err)
		}
		n += s.tail - s.before
	}
	return n, nil
}

// giveUp ends a group that failed: every file goes back to where it was before,
// so that a later line is never glued to half of one.
func (f *Files) giveUp(err error) error {
	f.writeErrors.Inc()
	if failed := f.takeBack(); failed != nil {
		return f.fail(fmt.Errorf("%w; and taking it back failed: %w", err, failed))
	}
	return f.classify(err)
}

// takeBack cuts every touched file to where it ended before the group.
func (f *Files) takeBack() error {
	var failed error
	for i, s := range f.touched {
		s.drop()
		if i >= f.reached {
			continue
		}
		err := f.ensureOpen(s)
		if err == nil {
			err = s.cut(s.before)
		}
		failed = errors.Join(failed, err)
	}
	f.touched, f.reached = f.touched[:0], 0
	return failed
}

// classify turns a failure into what a caller can decide on.
func (f *Files) classify(err error) error {
	var fatal *fatalError
	switch {
	case errors.As(err, &fatal):
		return f.fail(err)
	case isDiskFull(err):
		f.full.Store(true)
		f.log.Warn("no room for the logs: answering 503 until there is", "dir", f.cfg.LogsDir, "err", err)
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	default:
		return err
	}
}

// fail makes err sticky: nothing is written any more, and Failed is closed.
func (f *Files) fail(err error) error {
	err = fmt.Errorf("storage failed, restart needed: %w", err)
	if f.sticky.CompareAndSwap(nil, &err) {
		close(f.failed)
	}
	return err
}

// Failed is closed when the files can no longer be trusted: a sync has failed,
// or what a failed write left could not be taken back. The process has to exit;
// a restart recovers.
func (f *Files) Failed() <-chan struct{} { return f.failed }

// Err returns the failure behind Failed, or nil.
func (f *Files) Err() error {
	if err := f.sticky.Load(); err != nil {
		return *err
	}
	return nil
}

// Ready returns nil if a write can be expected to succeed, or why not.
func (f *Files) Ready() error {
	if err := f.Err(); err != nil {
		return err
	}
	if f.full.Load() {
		return ErrDiskFull
	}
	return nil
}

// Hours returns every hour that has a file and the length up to which the file
// may be read: whole lines, decided.
func (f *Files) Hours() iter.Seq2[codec.Hour, int64] {
	type hour struct {
		hour   codec.Hour
		length int64
	}
	f.mu.Lock()
	hours := make([]hour, 0, len(f.segments))
	for h, s := range f.segments {
		if s.length > 0 {
			hours = append(hours, hour{h, s.length})
		}
	}
	f.mu.Unlock()
	slices.SortFunc(hours, func(a, b hour) int { return int(a.hour - b.hour) })
	return func(yield func(codec.Hour, int64) bool) {
		for _, h := range hours {
			if !yield(h.hour, h.length) {
				return
			}
		}
	}
}

// Close syncs and closes every file and gives the directory free. What an
// undecided transaction has appended is left for Pending, or taken back.
func (f *Files) Close() error {
	f.stop()
	f.idle.Wait()
	err := f.syncs.Do(struct{}{})

	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.Err() == nil && f.tx.prepared == nil {
		err = errors.Join(err, f.takeBackTx())
	}
	for _, s := range slices.Clone(f.open) {
		err = errors.Join(err, f.shut(s))
	}
	if f.Err() == nil && f.tx.prepared == nil {
		err = errors.Join(err, f.compact())
	}
	return errors.Join(err, f.journal.close(), f.unlock())
}
