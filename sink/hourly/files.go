package hourly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

// Files is the sink that writes the hourly files: version 1's only sink, and
// where version 2's consumer puts what comes from Kafka. See the package
// comment for what it promises.
type Files struct {
	cfg  config.Storage
	ack  sink.Ack
	log  *slog.Logger
	disk disk

	writes *sink.Group[*codec.Batch]
	syncs  *sink.Group[struct{}]

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
	position     []byte // of the last transaction decided
	newest       uint64 // the largest generation ever given
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

// Open opens the logs directory cfg.LogsDir, makes it if it is not there,
// takes its lock, and brings every file back to whole lines after a crash. ack
// is the level that Default stands for: Written or Synced. The caller has to
// Close it.
func Open(cfg config.Storage, ack sink.Ack, log *slog.Logger, set *metrics.Set) (*Files, error) {
	return openOn(cfg, ack, log, set, osDisk{})
}

func openOn(cfg config.Storage, ack sink.Ack, log *slog.Logger, set *metrics.Set, d disk) (*Files, error) {
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
	f.writes = sink.NewGroup(f.writeGroup)
	f.syncs = sink.NewGroup(f.syncGroup)
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
	registerSpace(set, f.cfg.LogsDir)
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
		return sink.ErrDiskFull
	}
	return nil
}

// Close syncs and closes every file and gives the directory free. What an
// undecided transaction has appended is left for Pending, or taken back.
func (f *Files) Close() error {
	f.stop()
	f.idle.Wait()
	err := f.syncs.Do(struct{}{}, true)

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
