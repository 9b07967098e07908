package hourly

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
)

// Which files are open: at most cfg.MaxOpenFiles, closed again once idle. And
// what becomes of a file that somebody else has moved, removed or changed.

// ensureOpen opens the segment's file if it is closed, and makes it, and its
// day's directory, if they are not there. f.mu is held.
func (f *Files) ensureOpen(s *segment) error {
	if s.file != nil {
		return nil
	}
	if err := f.makeRoom(); err != nil {
		return err
	}
	name := filepath.Join(f.cfg.LogsDir, Path(s.hour))
	day := filepath.Dir(name)
	file, err := f.disk.open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.disk.mkdir(day); err == nil {
			file, err = f.disk.open(name, true)
		}
	}
	if err != nil {
		return err
	}
	s.present = true
	if !s.listed {
		// Also for a file that was there: the process that made it may have
		// been killed before its name was on disk.
		f.dirs[day], f.dirs[f.cfg.LogsDir] = struct{}{}, struct{}{}
		s.listed = true
	}
	s.file = file
	f.open = append(f.open, s)
	f.opened.Store(int64(len(f.open)))
	return f.check(s)
}

// makeRoom closes the files unused longest until one more may be opened. Those
// being synced stay: it rather goes over the limit for a moment than wait for
// the disk with the lock held.
func (f *Files) makeRoom() error {
	for len(f.open) >= f.cfg.MaxOpenFiles {
		var oldest *segment
		for _, s := range f.open {
			if s.users == 0 && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return nil
		}
		if err := f.shut(oldest); err != nil {
			return err
		}
	}
	return nil
}

// shut syncs the file if it has to and closes it: closed without a sync, a write
// error could be lost for good. f.mu is held and nobody uses the file.
func (f *Files) shut(s *segment) error {
	// After a failure nothing is synced again: it could succeed, and be wrong.
	if (s.dirty || s.inTx) && f.Err() == nil {
		if err := f.syncFile(s.file); err != nil {
			return err
		}
		s.dirty, s.synced = false, s.tail
	}
	err := s.file.close()
	s.file = nil
	i := slices.Index(f.open, s)
	f.open = slices.Delete(f.open, i, i+1)
	f.opened.Store(int64(len(f.open)))
	return err
}

// check compares the open file with what this process left. A file that was
// removed or moved is let go: the next line for its hour begins a new one. One
// that was shortened, or that somebody else has appended to, is taken as it is,
// up to its last whole line.
func (f *Files) check(s *segment) error {
	st, err := s.file.stat()
	if err != nil {
		return err
	}
	if st.gone {
		f.log.Warn("an hour's file was removed or moved: its next line begins a new one", "file", Path(s.hour), "bytes", s.tail)
		s.length, s.tail, s.synced, s.journaled, s.present, s.listed = 0, 0, 0, 0, false, false
		s.generation = 0
		return f.shut(s)
	}
	if st.size == s.tail {
		return nil
	}
	if s.tail > 0 || st.size == 0 {
		f.log.Warn("an hour's file was changed by somebody else", "file", Path(s.hour), "bytes", st.size, "left at", s.tail)
	}
	from := s.tail
	if st.size < s.tail {
		from = 0
	}
	good, err := f.repair(s.file, s.hour, from, st.size)
	if err != nil {
		return err
	}
	if good < s.length {
		f.beginGeneration(s, good)
	}
	if s.inTx {
		s.length = min(s.length, good)
	} else {
		s.length = good
	}
	// The journal has to learn of it before the next append.
	s.tail, s.dirty, s.journaled, s.synced = good, true, 0, min(s.synced, good)
	return nil
}
