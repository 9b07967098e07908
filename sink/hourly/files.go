package hourly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/durable"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config/metric"
)

// Files is the sink that writes the hourly files: pipeline 1's only sink, and
// where pipeline 2's consumer puts what comes from Kafka. See the package
// comment for what it promises.
type Files struct {
	cfg  config.Storage
	ack  sink.Ack
	log  *slog.Logger
	disk disk

	writes *sink.Group[*codec.Batch]
	syncs  *sink.Group[*codec.Batch] // whose lines have to be on disk; nil: all there are
	wide   chan struct{}             // holds one while a batch of many hours is written
	behind chan struct{}             // holds one when writeBack has something to do

	// writing is held by whoever changes files, for as long as the disk takes: a
	// group of writes, a step of a transaction, upkeep. It is taken before mu,
	// and guards what follows.
	writing  sync.Mutex
	root     root
	former   []root     // removed, with lines that are still to be moved over
	last     *segment   // the one found last: nearly always the next one too
	touched  []*segment // of the group being written
	scratch  []byte
	batches  uint64 // counts them, for the least recently used
	slices   uint64 // counts them; see segment.slice
	limit    int    // of open files
	journal  *journal
	tx       transaction
	position []byte    // of the last transaction decided
	newest   uint64    // the largest generation ever given
	lastUsed time.Time // when the journal that was found was written to; zero: there was none
	closed   bool
	// transactional: what is written counts once it is decided, and the journal
	// says exactly up to where each file is good.
	transactional bool

	// mu is held for a moment only, never while the disk works. It guards what
	// syncs and readers look at: the list of segments, their lengths and files
	// (see segment), and dirs.
	mu       sync.Mutex
	segments map[codec.Hour]*segment
	open     []*segment          // those whose file is open, in no order
	dirs     map[string]struct{} // directories whose entries are not synced yet

	opened     atomic.Int64            // len(open)
	trouble    atomic.Pointer[trouble] // what failed and may pass
	confinedTo atomic.Pointer[faults]  // what failed of single hours and days; nil: nothing
	lost       atomic.Pointer[failure] // the directory's path leads elsewhere
	hanging    atomic.Bool             // a caller's time ended while the disk worked
	sticky     atomic.Pointer[error]   // the failure after which nothing is written any more
	failed     chan struct{}

	stop   context.CancelFunc
	upkeep sync.WaitGroup

	bytesWritten *metrics.Counter
	groupBatches *metrics.PrometheusHistogram
	syncSeconds  *metrics.PrometheusHistogram
	tornBytes    *metrics.Counter
	rolledBack   *metrics.Counter
	writeErrors  *metrics.Counter
	removedBytes *metrics.Counter
	overdueBytes atomic.Int64

	compressedBytes *metrics.Counter
	compressErrors  *metrics.Counter
	freeBytes       func() uint64 // that may still be taken on the file system
}

// disk is where tests put a file system that fails, or that forgets what was not
// synced.
type disk interface {
	// attach makes the directory if it is not there, and locks it.
	attach(dir string) (root, error)
}

// root is the logs directory.
type root interface {
	durable.Dir
	// Check returns nil if the path given to attach still leads here.
	Check() error
	Close() error
}

type osDisk struct{}

func (osDisk) attach(dir string) (root, error) {
	if err := durable.MkdirAll(dir); err != nil {
		return nil, err
	}
	d, err := durable.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	if err := d.Lock(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Open opens the logs directory cfg.LogsDir, makes it if it is not there,
// takes its lock, and brings every file back to whole lines after a crash. ack
// is the level that Default stands for: Written or Synced. The caller has to
// Close it.
//
// With no room on the disk it opens all the same: Ready then says so, and what
// recovery could not write is written once there is room.
func Open(cfg config.Storage, ack sink.Ack, log *slog.Logger, set *metrics.Set) (*Files, error) {
	return openOn(cfg, ack, log, set, osDisk{})
}

func openOn(cfg config.Storage, ack sink.Ack, log *slog.Logger, set *metrics.Set, d disk) (*Files, error) {
	f := &Files{
		cfg:      cfg,
		ack:      ack,
		log:      log,
		disk:     d,
		limit:    cfg.MaxOpenFiles,
		segments: map[codec.Hour]*segment{},
		dirs:     map[string]struct{}{},
		failed:   make(chan struct{}),

		freeBytes: func() uint64 { return freeBytes(cfg.LogsDir) },
	}
	f.wide = make(chan struct{}, 1)
	f.behind = make(chan struct{}, 1)
	f.writes = sink.NewGroup(f.writeGroup, (*codec.Batch).Keep, codec.PutBatch)
	f.syncs = sink.NewGroup(f.syncGroup, keepBatch, putBatch)
	f.register(set)

	root, err := d.attach(cfg.LogsDir)
	if errors.Is(err, durable.ErrInUse) {
		err = fmt.Errorf("%w; give this one a directory of its own (storage.logsDir), or stop that one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("logs directory: %w", err)
	}
	f.root = root
	if err := f.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("logs directory %s: %w", cfg.LogsDir, err), root.Close())
	}

	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.upkeep.Go(func() { f.tend(ctx) })
	f.upkeep.Go(func() { f.writeBack(ctx) })
	return f, nil
}

func (f *Files) register(set *metrics.Set) {
	f.bytesWritten = metric.Counter(set, "logforge_written_bytes_total", "Bytes written to the hourly files.")
	f.groupBatches = metric.Histogram(set, "logforge_write_group_batches", "Batches that shared one write.", 1, 2, 4, 8, 16, 32, 64, 128, 256)
	f.syncSeconds = metric.Histogram(set, "logforge_sync_duration_seconds", "Duration of one fdatasync.", .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10)
	f.tornBytes = metric.Counter(set, "logforge_torn_bytes_total", "Bytes cut off the files at a start, because a crash had left them incomplete; they are kept beside.")
	f.rolledBack = metric.Counter(set, "logforge_rolled_back_bytes_total", "Bytes cut off the files because their transaction was not committed.")
	f.writeErrors = metric.Counter(set, "logforge_write_errors_total", "Writes and syncs that failed.")
	f.removedBytes = metric.Counter(set, "logforge_storage_removed_bytes_total", "Bytes of the hourly files that storage.maxAge and storage.maxBytes have removed.")
	f.compressedBytes = metric.Counter(set, "logforge_storage_compressed_bytes_total", "Bytes of lines that storage.compressAfter has compressed.")
	f.compressErrors = metric.Counter(set, "logforge_storage_compress_errors_total", "Attempts to compress an hour that failed; its lines stay where they were.")
	metric.Gauge(set, "logforge_storage_bytes", "Bytes of all hourly files together.", func() float64 {
		_, bytes := f.stored()
		return float64(bytes)
	})
	metric.Gauge(set, "logforge_storage_overdue_bytes", "Bytes of the hourly files beyond what storage.maxAge and storage.maxBytes allow, which may not be removed yet.", func() float64 { return float64(f.overdueBytes.Load()) })
	metric.Gauge(set, "logforge_open_files", "Hourly files open.", func() float64 { return float64(f.opened.Load()) })
	metric.Gauge(set, "logforge_disk_full", "1 while the file system of storage.logsDir has no room, otherwise 0.", func() float64 {
		if errors.Is(f.Ready(), sink.ErrDiskFull) {
			return 1
		}
		return 0
	})
	registerSpace(set, f.cfg.LogsDir)
}

// Close syncs and closes every file and gives the directory free. What an
// undecided transaction has appended is left for Pending, or taken back.
func (f *Files) Close() error {
	f.stop()
	f.upkeep.Wait()
	err := f.syncs.Do(context.Background(), nil, true)

	f.writing.Lock()
	defer f.writing.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if len(f.confined()) > 0 && f.Err() == nil && !f.unplaced() {
		err = nil // said when it was met, and no line is missing
	}
	usable := f.Err() == nil && f.lost.Load() == nil
	if usable && f.tx.prepared == nil {
		err = errors.Join(err, f.takeBackTx())
	}
	for _, s := range slices.Clone(f.open) {
		err = errors.Join(err, f.shut(s))
	}
	if usable && f.tx.prepared == nil {
		// The journal that is there says enough when that cannot be done.
		if failed := f.compact(); isFatal(failed) || !f.journal.usable() {
			err = errors.Join(err, failed)
		}
	}
	f.closeFormer()
	return errors.Join(err, f.journal.close(), f.root.Close())
}

// unplaced reports whether there are lines of a file that was moved away which no
// other file holds yet.
func (f *Files) unplaced() bool {
	return slices.ContainsFunc(f.open, func(s *segment) bool { return s.moved && s.written > f.onDisk(s) })
}

// keepBatch and putBatch are for groups of batches; nil stands for no batch.
func keepBatch(b *codec.Batch) {
	if b != nil {
		b.Keep()
	}
}

func putBatch(b *codec.Batch) {
	if b != nil {
		codec.PutBatch(b)
	}
}
