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

// removeHour removes the files of e, if e is still all there is of its hour and
// nothing was written to it for as long as quiet, up to now. It returns the size
// of the files, or 0 for one that somebody else has removed. The error is errStays
// if the hour is not as it was said to be.
//
// After a crash at any moment a file is there, as it was, or gone. If that leaves
// one of two, it is removed by a later pass. Nothing begins in its place before its removal is on disk: the next line for the hour
// begins a new generation, and a power loss must not bring the old lines back
// under that one's number.
func (f *Files) removeHour(e Extent, now time.Time, quiet time.Duration) (removed int64, err error) {
	files, removed, err := f.unlinkHour(e, now, quiet)
	if isFatal(err) {
		err = f.fail(err)
	}
	for _, file := range files {
		// The last close gives the blocks back, which takes its time for a
		// large file: it is made when others may write again.
		err = errors.Join(err, file.Close())
	}
	return removed, err
}

// unlinkHour does it, and returns the files, which are still open.
func (f *Files) unlinkHour(e Extent, now time.Time, quiet time.Duration) (files []durable.File, removed int64, err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return nil, 0, err
	}
	s := f.segments[e.Hour]
	if s == nil || s.next != nil || !f.isWholly(s, e) { // next: Compress brings that to an end first
		return nil, 0, errStays
	}
	name := Path(e.Hour)
	var plain, packed durable.File
	if plain, err = f.root.Open(name, false); err == nil {
		files = append(files, plain)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) && s.file == nil {
		// Where there is none it was removed already: by hand, or here before its
		// directory could be synced.
		if err = nil; s.compressed != nil {
			packed, err = openCompressed(f.root, e.Hour, s.compressed)
		}
	}
	switch {
	case packed != nil:
		files = append(files, packed)
	case err != nil && !(errors.Is(err, fs.ErrNotExist) && s.compressed != nil):
		return files, 0, err // a damaged one stays as well
	}
	if len(files) > 0 {
		if removed, err = f.unlink(s, e, plain, packed, now, quiet); err != nil {
			return files, 0, err
		}
		f.removedBytes.AddInt64(removed)
	}
	if err := f.syncRemoval(name); err != nil {
		return files, removed, err
	}
	f.drop(s)
	// An hour of which nothing is known: the next start need not wonder where it
	// is. Without this entry the next start says so, and no more.
	_ = f.journal.add(entry{Kind: kindFloor, Files: map[codec.Hour]int64{e.Hour: 0}, Hours: map[codec.Hour]stream{e.Hour: {}}}, false)
	_ = f.root.RemoveDir(filepath.Dir(name)) // unless it holds anything else
	return files, removed, nil
}

// isWholly reports whether e is all there is of s: every line of it is on disk,
// decided, and in no transaction that is under way. f.writing is held.
func (f *Files) isWholly(s *segment, e Extent) bool {
	if t := f.trouble.Load(); t != nil && t.where == s || f.confined().of(s.hour) != nil || slices.Contains(f.tx.files, s) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.stored() && !s.moved && s.extent() == e &&
		s.visible == s.written && s.synced == s.written && s.size == s.written
}

// unlink removes the names of s's files, which are open as plain and packed; nil
// stands for one that is not there. It returns how many bytes they have. One that
// somebody else has changed is taken as it is, and stays.
func (f *Files) unlink(s *segment, e Extent, plain, packed durable.File, now time.Time, quiet time.Duration) (bytes int64, err error) {
	var last time.Time
	if packed != nil {
		last, bytes = s.compressed.lastWritten(), s.compressed.Size
	}
	if plain != nil {
		if err := f.ensureOpen(s); err != nil {
			return 0, err
		}
		if err := f.look(s); err != nil {
			return 0, err
		}
		st, err := plain.Stat()
		if err != nil {
			return 0, err
		}
		if st.Moved {
			return 0, errStays
		}
		last = s.lastWritten(st.Modified, now)
		bytes += s.written
	}
	if !f.isWholly(s, e) || quiet > 0 && now.Sub(last) < quiet {
		return 0, errStays
	}
	rests, kept, err := f.beside(s.hour)
	if err != nil {
		return 0, err
	}
	if kept {
		return 0, errStays
	}
	for _, name := range rests {
		if err := f.root.Remove(name); err != nil {
			return 0, err
		}
	}
	if s.file != nil {
		if err := f.shut(s); err != nil {
			return 0, err
		}
	}
	if plain != nil {
		if err := f.root.Remove(Path(s.hour)); err != nil {
			return 0, err
		}
	}
	if packed != nil {
		return bytes, f.root.Remove(compressedPath(s.hour))
	}
	return bytes, nil
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

// beside returns the files that go with the hour: what recovery has cut off its
// file, and what a compression that is under way has written. It reports whether
// Keep has marked the hour.
func (f *Files) beside(h codec.Hour) (rests []string, kept bool, err error) {
	day, base := filepath.Split(Path(h))
	entries, err := f.root.ReadDir(filepath.Clean(day))
	for _, entry := range entries {
		switch rest, _ := strings.CutPrefix(entry.Name(), "."+base); {
		case rest == keepEnd:
			kept = true
		case strings.HasPrefix(rest, tornEnd), rest == compressingEnd:
			rests = append(rests, day+entry.Name())
		}
	}
	return rests, kept, err
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
