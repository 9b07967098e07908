package hourly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
	"logforge/sink"
	"logforge/sink/durable"
)

// RejectedDir is the directory, within a logs directory, of the records that
// were set aside.
const RejectedDir = ".rejected"

// Rejected keeps the records that pipeline 1 sets aside, in files by the hour of
// arrival:
//
//	logs/.rejected/2026-02-09/15.ndjson     then 15.1.ndjson, 15.2.ndjson, …
//
// A line is what sink.Rejected.AppendJSON writes. A new part of an hour begins
// once the last one has reached an eighth of maxBytes, so that the oldest part
// can go when all files together are over maxBytes. Files that somebody removes
// or moves are begun anew. A crash can leave half a line at the end of a file:
// it is cut off before the file is appended to, and readers ignore it.
//
// All methods may be called at the same time.
type Rejected struct {
	cfg      config.Storage
	maxBytes int64
	ack      sink.Ack
	log      *slog.Logger
	group    *sink.Group[rejectedLines]
	stop     context.CancelFunc
	bg       sync.WaitGroup

	mu     sync.Mutex         // guards everything below
	logs   *durable.Directory // the logs directory
	parts  []rejectedPart
	file   durable.File // nil before the first line and after Close
	now    rejectedPart // which one file is
	total  int64        // bytes of all parts and of the current file
	dirty  bool         // the current file has bytes that are not synced
	sticky error        // the failure after which nothing is written any more
	torn   bool         // the current file holds more than it counts
	known  bool         // the files that are there have been listed
	failed *failure     // why the last attempt did not work; nil if it did
	closed bool

	droppedBytes, droppedFiles *metrics.Counter
}

// rejectedLines is what one call of Reject adds.
type rejectedLines struct {
	hour   codec.Hour
	lines  []byte
	synced bool
}

// OpenRejected opens the rejected records below the logs directory, of which the
// caller holds the lock. At most about maxBytes are kept. ack is the level that
// sink.Default stands for. Nothing is made on disk before the first record.
func OpenRejected(cfg config.Storage, maxBytes int64, ack sink.Ack, log *slog.Logger, set *metrics.Set) (*Rejected, error) {
	logs, err := durable.OpenDir(cfg.LogsDir)
	if err != nil {
		return nil, fmt.Errorf("rejected records: %w", err)
	}
	r := &Rejected{
		cfg:          cfg,
		logs:         logs,
		maxBytes:     maxBytes,
		ack:          ack,
		log:          log,
		droppedBytes: metric.Counter(set, "logforge_rejected_dropped_bytes_total", "Bytes of records set aside that were removed, the oldest first, because all together were over ingestion.maxRejectedBytes."),
		droppedFiles: metric.Counter(set, "logforge_rejected_dropped_files_total", "Files of records set aside that were removed for that."),
	}
	r.group = sink.NewGroup(r.write, nil, nil)
	metric.Gauge(set, "logforge_rejected_bytes", "Bytes of the records set aside that are kept in files.", func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(r.total)
	})
	if err := r.scan(); err != nil {
		_ = r.notWritten(err) // said by Ready, and tried again
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.bg.Go(func() { r.syncEvery(ctx, cfg.SyncInterval) })
	return r, nil
}

// Reject is sink.RejectSink.
func (r *Rejected) Reject(ctx context.Context, records []sink.Rejected, ack sink.Ack) error {
	if len(records) == 0 {
		return nil
	}
	if ack == sink.Default {
		ack = r.ack
	}
	hour, lines := codec.HourOf(records[0].At), []byte(nil)
	for i := range records {
		lines = records[i].AppendJSON(lines)
		last := i == len(records)-1
		if !last && len(lines) < rejectedPiece {
			continue // lines can be several times as long as their records
		}
		// A file is synced before another one is begun: a sync of the last piece is
		// enough.
		item := rejectedLines{hour: hour, lines: lines, synced: last && ack == sink.Synced}
		if err := r.group.Do(ctx, item, true); err != nil {
			return fmt.Errorf("%w: %w", sink.ErrNotSetAside, err)
		}
		lines = nil // a group that was given up may still be writing it
	}
	return nil
}

// rejectedPiece is how many bytes of lines are gathered before they are written.
const rejectedPiece = 1 << 20

// write appends the lines of a group, and syncs them if one of its members asks
// for that. On an error the file is as long as it was before.
func (r *Rejected) write(items []rejectedLines) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return sink.ErrClosed
	case r.sticky != nil:
		return r.sticky
	}
	synced := false
	var start rejectedPart // where this group began in the current file
	if err := r.follow(); err != nil {
		return r.notWritten(err)
	}
	for i, item := range items {
		if err := r.openFor(item.hour); err != nil {
			return r.notWritten(err)
		}
		if i == 0 || r.now.compare(start) != 0 {
			start = r.now
		}
		if err := r.append(item.lines); err != nil {
			r.cutBack(start)
			return r.notWritten(err)
		}
		synced = synced || item.synced
	}
	r.failed = nil
	if synced {
		return r.sync()
	}
	return nil
}

// follow goes on in the directory that has taken the place of one that was
// removed. What happens to one that was moved away, Files.lookAround decides.
func (r *Rejected) follow() error {
	err := r.logs.Check()
	if !errors.Is(err, durable.ErrRemoved) {
		return err
	}
	next, err := durable.OpenDir(r.cfg.LogsDir)
	if err != nil {
		return err
	}
	r.log.Warn("the logs directory was removed: rejected records begin anew", "dir", r.cfg.LogsDir)
	if r.file != nil {
		_ = r.file.Close() // removed
	}
	_ = r.logs.Close() // removed
	r.logs, r.file, r.dirty, r.torn = next, nil, false, false
	return r.scan()
}

func (r *Rejected) append(lines []byte) error {
	if _, err := durable.Writer(r.file).Write(lines); err != nil {
		return err
	}
	r.now.bytes += int64(len(lines))
	r.total += int64(len(lines))
	r.dirty = true
	r.dropOldest()
	return nil
}

// cutBack gives the current file the length it had when the group that failed
// began: its callers will send all of it again.
func (r *Rejected) cutBack(start rejectedPart) {
	r.total -= r.now.bytes - start.bytes
	r.now.bytes = start.bytes
	if err := r.file.Truncate(start.bytes); err != nil {
		r.torn = true // cut before the next line is written
		r.log.Warn("what a failed write of rejected records left cannot be cut off yet", "file", r.now.path(), "err", err)
	}
}

// notWritten keeps err for Ready, until the same works again.
func (r *Rejected) notWritten(err error) error {
	e := &failure{kindOf(err), err}
	if r.sticky == nil && (r.failed == nil || r.failed.Error() != e.Error()) {
		r.log.Warn("records cannot be set aside: answering 503 for batches that hold some until they can be", "err", err)
	}
	r.failed = e
	return e
}

// openFor makes the current file one that lines of h may be appended to.
func (r *Rejected) openFor(h codec.Hour) error {
	if !r.known {
		if err := r.scan(); err != nil {
			return err
		}
	}
	if r.file != nil {
		state, err := r.file.Stat()
		if err != nil {
			return err
		}
		if state.Moved {
			r.log.Warn("a file of rejected records was removed or moved: its next line begins a new one", "file", r.now.path())
			r.total -= r.now.bytes
			_ = r.file.Close() // it is somebody else's now
			r.file, r.dirty, r.torn = nil, false, false
		}
	}
	if r.torn {
		if err := r.file.Truncate(r.now.bytes); err != nil {
			return err
		}
		r.torn = false
	}
	most := max(r.maxBytes/8, 1)
	if r.file != nil && r.now.hour == h && r.now.bytes < most {
		return nil
	}
	if err := r.closeFile(); err != nil {
		return err
	}
	next := rejectedPart{hour: h}
	for _, p := range r.parts {
		if p.hour != h || p.part < next.part {
			continue
		}
		next = p
		if p.bytes >= most {
			next = rejectedPart{hour: h, part: p.part + 1}
		}
	}
	return r.openPart(next)
}

// openPart opens a file, cuts off what a crash has torn, and makes its name
// durable.
func (r *Rejected) openPart(p rejectedPart) error {
	day := path.Dir(p.path())
	if err := errors.Join(r.logs.Mkdir(RejectedDir), r.logs.Mkdir(day)); err != nil {
		return err
	}
	file, err := r.logs.Open(p.path(), true)
	if err != nil {
		return err
	}
	size, err := cutTorn(file)
	for _, dir := range []string{day, RejectedDir, "."} {
		if err == nil {
			err = r.logs.SyncDir(dir)
		}
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	r.parts = slices.DeleteFunc(r.parts, func(q rejectedPart) bool {
		if q.compare(p) == 0 {
			r.total -= q.bytes
			return true
		}
		return false
	})
	p.bytes = size
	r.total += size
	r.file, r.now, r.dirty = file, p, size > 0
	return nil
}

// dropOldest removes the oldest files until the rest is within the limit. The
// current one stays.
func (r *Rejected) dropOldest() {
	for r.total > r.maxBytes && len(r.parts) > 0 {
		p := r.parts[0]
		r.parts = r.parts[1:]
		name := p.path()
		r.total -= p.bytes
		if err := r.logs.Remove(name); err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // somebody else has removed it, which is as good
				r.log.Warn("an old file of rejected records could not be removed", "file", name, "err", err)
			}
			continue
		}
		r.forget(name)
		r.droppedBytes.Add(int(p.bytes))
		r.droppedFiles.Inc()
		r.log.Warn("the oldest rejected records were removed: all of them together were over ingestion.maxRejectedBytes",
			"file", name, "bytes", p.bytes, "maxRejectedBytes", r.maxBytes)
	}
}

// forget removes what resubmit has left beside a file that is gone, and the day's
// directory if that was its last file. Failures leave an empty file or directory.
func (r *Rejected) forget(name string) {
	day, base := path.Split(name)
	_ = r.logs.Remove(day + "." + base + ".resubmitted")
	if !slices.ContainsFunc(append(r.parts, r.now), func(p rejectedPart) bool { return path.Dir(p.path())+"/" == day }) {
		_ = r.logs.Remove(day + ".lock")
		_ = os.Remove(filepath.Join(r.logs.Path(), day))
	}
}

// closeFile syncs and closes the current file, and lists it with the others.
func (r *Rejected) closeFile() error {
	if r.file == nil {
		return nil
	}
	if err := r.sync(); err != nil {
		return err
	}
	err := r.file.Close()
	r.file = nil
	r.parts = append(r.parts, r.now)
	slices.SortFunc(r.parts, rejectedPart.compare)
	return err
}

// sync puts the current file on disk. After a failed one nothing is written any
// more: the kernel may have dropped what it could not write.
func (r *Rejected) sync() error {
	if !r.dirty || r.file == nil {
		return nil
	}
	if err := r.file.Sync(); err != nil {
		r.sticky = fmt.Errorf("rejected records: restart needed: %w", err)
		r.log.Error("rejected records can no longer be kept", "err", r.sticky)
		return r.sticky
	}
	r.dirty = false
	return nil
}

// syncEvery syncs what was acknowledged as written.
func (r *Rejected) syncEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		r.mu.Lock()
		if r.sticky == nil {
			_ = r.sync() // sticky says it to the next caller, and the log has it
		}
		r.retry()
		r.mu.Unlock()
	}
}

// retry tries whether what failed works again, without a record to write.
func (r *Rejected) retry() {
	if r.failed == nil || r.sticky != nil {
		return
	}
	err := r.follow()
	if err == nil {
		err = r.logs.Mkdir(RejectedDir)
	}
	if err == nil {
		err = tryIn(r.logs, RejectedDir, 0, minProbe)
	}
	if err == nil { // what is in the place of the file may be in the way
		err = r.openFor(codec.HourOf(time.Now()))
	}
	if err != nil {
		_ = r.notWritten(err)
		return
	}
	r.failed = nil
	r.log.Info("records can be set aside again")
}

// Ready returns nil if a record can be expected to be set aside, or why not.
func (r *Rejected) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sticky != nil {
		return r.sticky
	}
	switch {
	case r.failed == nil:
		return nil
	case errors.Is(r.failed, sink.ErrDiskFull):
		return r.failed
	}
	// The logs directory is what Files reports.
	return fmt.Errorf("%w: batches with records that have to be set aside are answered 503: %w", sink.ErrDegraded, r.failed)
}

// Close syncs and closes the current file. Records are refused from then on.
func (r *Rejected) Close() error {
	r.stop()
	r.bg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var err error
	if r.sticky == nil { // otherwise it was said, and nothing is synced again
		err = r.closeFile()
	}
	return errors.Join(err, r.logs.Close())
}
