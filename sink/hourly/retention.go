package hourly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// Retention says which hours may be removed. Which ones are due is said by
// storage.maxAge and storage.maxBytes.
type Retention struct {
	// MayRemove reports whether nobody needs the file of an extent any more. It
	// is asked without any lock held. Where it is nil, nobody needs any.
	MayRemove func(Extent) bool
	// KeepWritten is how long an hour stays at least after its last line was
	// written.
	KeepWritten time.Duration
}

const (
	// retainInterval is how often hours are removed, and retainRest how often
	// that is tried while none of those that are due may be removed.
	retainInterval = 5 * time.Second
	retainRest     = time.Minute
	// busy is how long an hour counts as written to a moment ago: storage.maxBytes
	// removes it only if no older one is left.
	busy = 10 * time.Minute
	// overdueAfter is for how long hours have to be overdue before the log says
	// so, and overdueAgain how long it is until it says so again.
	overdueAfter = 10 * time.Minute
	overdueAgain = time.Hour
)

// errStays is why an hour that is due is not removed now.
var errStays = errors.New("the hour is in use")

// Retain removes whole hours, the oldest first, until ctx ends: those that ended
// longer than storage.maxAge ago, and as many as it takes to bring the files
// together down to storage.maxBytes. What r does not allow yet stays; the metric
// logforge_storage_overdue_bytes and the log say so. One goroutine at a time.
func (f *Files) Retain(ctx context.Context, r Retention) error {
	var reminder reminder
	wait := retainInterval
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		p := f.retain(ctx, r, time.Now())
		reminder.note(p)
		wait = retainInterval
		if p.removed == 0 && p.overdue > 0 {
			wait = retainRest
		}
	}
}

// retentionPass is one pass of Retain over all hours.
type retentionPass struct {
	*Files
	Retention
	now   time.Time
	hours []storedHour // in ascending order
	bytes int64        // of those that are not removed

	count   int   // hours removed
	removed int64 // their bytes
	overdue int64 // bytes that were due and stay
	err     error // the first failure; an hour that has to stay is none
}

// storedHour is an hour that has a file.
type storedHour struct {
	Extent
	bytes int64 // of the file
	gone  bool  // removed in this pass
}

// retain makes a pass. now is what ages are measured from.
func (f *Files) retain(ctx context.Context, r Retention, now time.Time) *retentionPass {
	p := &retentionPass{Files: f, Retention: r, now: now}
	oldest, bytes := f.stored()
	if p.bytes = bytes; p.tooOld(oldest) || p.tooMuch(oldest) {
		p.hours = f.storedHours()
	}
	p.remove(ctx, p.tooOld, 0, false)
	p.remove(ctx, p.tooMuch, busy, false)
	p.remove(ctx, p.tooMuch, 0, true)

	var old int64
	for i := range p.hours {
		if h := &p.hours[i]; !h.gone && p.tooOld(h.Hour) {
			old += h.bytes
		}
	}
	if p.cfg.MaxBytes > 0 {
		p.overdue = max(0, p.bytes-int64(p.cfg.MaxBytes))
	}
	p.overdue = max(p.overdue, old)
	f.overdueBytes.Store(p.overdue)
	if p.count > 0 {
		f.log.Info("hours were removed, as storage.maxAge and storage.maxBytes say", "dir", f.cfg.LogsDir, "hours", p.count, "bytes", p.removed)
	}
	return p
}

func (p *retentionPass) tooOld(h codec.Hour) bool {
	return p.cfg.MaxAge > 0 && p.now.Sub(h.Time().Add(time.Hour)) > p.cfg.MaxAge
}

func (p *retentionPass) tooMuch(codec.Hour) bool {
	return p.cfg.MaxBytes > 0 && p.bytes > int64(p.cfg.MaxBytes)
}

// remove removes the hours that are due, from the oldest to the first that is
// not, leaving those alone that were written to within quiet. With inOrder it
// ends at the first that stays.
func (p *retentionPass) remove(ctx context.Context, due func(codec.Hour) bool, quiet time.Duration, inOrder bool) {
	var writtenBefore time.Time
	if quiet = max(quiet, p.KeepWritten); quiet > 0 {
		writtenBefore = p.now.Add(-quiet)
	}
	for i := range p.hours {
		h := &p.hours[i]
		switch {
		case h.gone:
			continue
		case ctx.Err() != nil, !due(h.Hour):
			return
		}
		removed, err := int64(0), errStays
		if p.MayRemove == nil || p.MayRemove(h.Extent) {
			removed, err = p.removeHour(h.Extent, writtenBefore)
		}
		switch {
		case err == nil:
			h.gone = true
			p.bytes -= h.bytes
			if p.removed += removed; removed > 0 {
				p.count++
			}
		case !errors.Is(err, errStays):
			p.err = cmp.Or(p.err, fmt.Errorf("removing %s: %w", Path(h.Hour), err))
		}
		if err != nil && inOrder {
			return
		}
	}
}

// stored returns the oldest hour that has a file, and how many bytes all files
// have together.
func (f *Files) stored() (oldest codec.Hour, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest = math.MaxInt32
	for h, s := range f.segments {
		if s.present {
			oldest = min(oldest, h)
			bytes += s.written
		}
	}
	return oldest, bytes
}

// storedHours returns every hour that has a file, in ascending order.
func (f *Files) storedHours() (hours []storedHour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments {
		if s.present {
			hours = append(hours, storedHour{Extent: s.extent(), bytes: s.written})
		}
	}
	slices.SortFunc(hours, func(a, b storedHour) int { return cmp.Compare(a.Hour, b.Hour) })
	return hours
}

// removeHour removes the file of e, if e is still all there is of its hour and
// nothing was written to it after writtenBefore, which may be zero. It returns the
// size of the file, or 0 for one that somebody else has removed. The error is errStays if the hour
// is not as it was said to be.
//
// After a crash at any moment the file is there, as it was, or gone. Nothing
// begins in its place before its removal is on disk: the next line for the hour
// begins a new generation, and a power loss must not bring the old lines back
// under that one's number.
func (f *Files) removeHour(e Extent, writtenBefore time.Time) (removed int64, err error) {
	file, removed, err := f.unlinkHour(e, writtenBefore)
	if isFatal(err) {
		err = f.fail(err)
	}
	if file != nil {
		// The last close gives the blocks back, which takes its time for a
		// large file: it is made when others may write again.
		err = errors.Join(err, file.Close())
	}
	return removed, err
}

// unlinkHour does it, and returns the file, which is still open; nil if there was
// none.
func (f *Files) unlinkHour(e Extent, writtenBefore time.Time) (file durable.File, removed int64, err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return nil, 0, err
	}
	s := f.segments[e.Hour]
	if s == nil || !f.isWholly(s, e) {
		return nil, 0, errStays
	}
	name := Path(e.Hour)
	file, err = f.root.Open(name, false)
	switch {
	case errors.Is(err, fs.ErrNotExist) && s.file == nil:
		// Removed already: by hand, or here before its directory could be synced.
		file = nil
	case err != nil:
		return nil, 0, err
	default:
		if err := f.unlink(s, e, file, writtenBefore); err != nil {
			return file, 0, err
		}
		removed = s.written
		f.removedBytes.AddInt64(removed)
	}
	if err := f.syncRemoval(name); err != nil {
		return file, removed, err
	}
	f.drop(s)
	// An hour of which nothing is known: the next start need not wonder where it
	// is. Without this entry the next start says so, and no more.
	_ = f.journal.add(entry{Kind: kindFloor, Files: map[codec.Hour]int64{e.Hour: 0}, Hours: map[codec.Hour]stream{e.Hour: {}}}, false)
	_ = f.root.RemoveDir(filepath.Dir(name)) // unless it holds anything else
	return file, removed, nil
}

// isWholly reports whether e is all there is of s: every line of it is on disk,
// decided, and in no transaction that is under way. f.writing is held.
func (f *Files) isWholly(s *segment, e Extent) bool {
	if t := f.trouble.Load(); t != nil && t.where == s || slices.Contains(f.tx.files, s) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.present && !s.moved && s.extent() == e &&
		s.visible == s.written && s.synced == s.written && s.size == s.written
}

// unlink removes the name of s's file, which is open as file as well. One that
// somebody else has changed is taken as it is, and stays.
func (f *Files) unlink(s *segment, e Extent, file durable.File, writtenBefore time.Time) error {
	if err := f.ensureOpen(s); err != nil {
		return err
	}
	if err := f.look(s); err != nil {
		return err
	}
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if !f.isWholly(s, e) || st.Moved || !writtenBefore.IsZero() && st.Modified.After(writtenBefore) {
		return errStays
	}
	torn, kept, err := f.beside(s.hour)
	if err != nil {
		return err
	}
	if kept {
		return errStays
	}
	for _, name := range torn { // what recovery has cut off goes with the hour
		if err := f.root.Remove(name); err != nil {
			return err
		}
	}
	if err := f.shut(s); err != nil {
		return err
	}
	return f.root.Remove(Path(s.hour))
}

// beside returns the files that hold what recovery has cut off the hour's file,
// and whether Keep has marked the hour.
func (f *Files) beside(h codec.Hour) (torn []string, kept bool, err error) {
	day, base := filepath.Split(Path(h))
	entries, err := f.root.ReadDir(filepath.Clean(day))
	for _, entry := range entries {
		switch rest, _ := strings.CutPrefix(entry.Name(), "."+base); {
		case rest == keepEnd:
			kept = true
		case strings.HasPrefix(rest, tornEnd):
			torn = append(torn, day+entry.Name())
		}
	}
	return torn, kept, err
}

// Keep marks an hour, by a file .HH.log.json.keep beside its own, as one that
// Retain must not remove, because its file alone has some of its records. A
// person who has looked at it removes the mark. When Keep returns nil the mark is
// on disk, or the hour has no file.
func (f *Files) Keep(h codec.Hour) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	day, base := filepath.Split(Path(h))
	mark, err := f.root.Open(day+"."+base+keepEnd, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the day was removed by hand
	}
	if err == nil {
		err = mark.Close()
	}
	if err == nil {
		err = f.root.SyncDir(filepath.Clean(day))
	}
	if isFatal(err) {
		err = f.fail(err)
	}
	return err
}

// syncRemoval puts on disk that there is no file of this name any more, or another
// one. It comes before a new generation of the hour: after a power loss the old
// lines would be taken for the new ones.
func (f *Files) syncRemoval(name string) error {
	err := f.root.SyncDir(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		err = f.root.SyncDir(".") // the whole day was removed
	}
	return err
}

// drop forgets a segment whose file is removed for good.
func (f *Files) drop(s *segment) {
	f.forget(s)
	if f.last == s {
		f.last = nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.segments, s.hour)
}

// reminder says in the log what is overdue: not at once, as most of it goes soon,
// and then not all the time.
type reminder struct {
	due  time.Time // when to say it; zero while nothing is overdue
	said bool
	last string // the failure that was said
}

func (r *reminder) note(p *retentionPass) {
	if p.err != nil && p.err.Error() != r.last {
		r.last = p.err.Error()
		p.log.Error("an hour that is due cannot be removed, and is tried again", "dir", p.cfg.LogsDir, "err", p.err)
	}
	switch {
	case p.overdue == 0:
		if r.said {
			p.log.Info("no hour that is due for removal has to stay any more", "dir", p.cfg.LogsDir)
		}
		*r = reminder{}
	case r.due.IsZero():
		r.due = p.now.Add(overdueAfter)
	case !p.now.Before(r.due):
		r.due, r.said = p.now.Add(overdueAgain), true
		p.log.Warn("hours that are due for removal have to stay: a destination of the archive or their summary does not have them yet, they were written to within archive.keepLocal, are marked by a file .HH.log.json.keep, or cannot be removed",
			"dir", p.cfg.LogsDir, "bytes", p.overdue)
	}
}
