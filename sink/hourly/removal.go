package hourly

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// removeHour removes the file of e, if e is still all there is of its hour and
// nothing was written to it for as long as quiet, up to now. It returns the size
// of the file, or 0 for one that somebody else has removed. The error is errStays
// if the hour is not as it was said to be.
//
// After a crash at any moment the file is there, as it was, or gone. Nothing
// begins in its place before its removal is on disk: the next line for the hour
// begins a new generation, and a power loss must not bring the old lines back
// under that one's number.
func (f *Files) removeHour(e Extent, now time.Time, quiet time.Duration) (removed int64, err error) {
	file, removed, err := f.unlinkHour(e, now, quiet)
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
func (f *Files) unlinkHour(e Extent, now time.Time, quiet time.Duration) (file durable.File, removed int64, err error) {
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
		if err := f.unlink(s, e, file, now, quiet); err != nil {
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
	if t := f.trouble.Load(); t != nil && t.where == s || f.confined().of(s.hour) != nil || slices.Contains(f.tx.files, s) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.present && !s.moved && s.extent() == e &&
		s.visible == s.written && s.synced == s.written && s.size == s.written
}

// unlink removes the name of s's file, which is open as file as well. One that
// somebody else has changed is taken as it is, and stays.
func (f *Files) unlink(s *segment, e Extent, file durable.File, now time.Time, quiet time.Duration) error {
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
	if !f.isWholly(s, e) || st.Moved || quiet > 0 && now.Sub(s.lastWritten(st.Modified, now)) < quiet {
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

// lastWritten returns when the segment's file was written to last, as far as that
// is known at now. A time that is still to come was written down by a clock that
// was wrong, then or now: the file counts as written to when that was first seen.
func (s *segment) lastWritten(modified, now time.Time) time.Time {
	if !modified.After(now) {
		s.ahead = time.Time{}
		return modified
	}
	if s.ahead.IsZero() {
		s.ahead = now
	}
	return s.ahead
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
