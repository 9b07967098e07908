package hourly

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"logforge/codec"
	"logforge/sink"
	"logforge/sink/durable"
)

// A failure of one hour's file, or of the directory of one day, while the logs
// directory itself can be written, is confined to that hour or day: a link or a
// pipe in its place, rights that are missing, a bad block. Records of other hours
// are stored, and /ready says ready and names what cannot be written, unless it is
// the hour that the clock shows.

// faults are the failures that are confined, by the name of what cannot be
// written: 2026-02-09, or 2026-02-09/15.log.json. It is never changed.
type faults map[string]*trouble

// of returns the failure that concerns an hour, or nil.
func (m faults) of(h codec.Hour) *trouble {
	if len(m) == 0 {
		return nil
	}
	name := Path(h)
	if t := m[filepath.Dir(name)]; t != nil {
		return t
	}
	return m[name]
}

// ofBatch returns the first failure that concerns a batch, or nil.
func (m faults) ofBatch(b *codec.Batch) error {
	if len(m) == 0 || b == nil {
		return nil
	}
	for _, r := range b.Runs() {
		if t := m.of(r.Hour); t != nil {
			return t.err
		}
	}
	return nil
}

// confined returns the failures that are confined; nil if there are none.
func (f *Files) confined() faults {
	if m := f.confinedTo.Load(); m != nil {
		return *m
	}
	return nil
}

// setConfined changes the failures that are confined. f.writing is held.
func (f *Files) setConfined(change func(faults)) {
	m := maps.Clone(f.confined())
	if m == nil {
		m = faults{}
	}
	change(m)
	if len(m) == 0 {
		f.confinedTo.Store(nil)
		return
	}
	f.confinedTo.Store(&m)
}

// generalError is an error that concerns every hour, wherever it was met.
type generalError struct{ err error }

func (e *generalError) Error() string { return e.err.Error() }
func (e *generalError) Unwrap() error { return e.err }

// confine takes note that the hour of where cannot be written, if nothing else is
// the matter but what is known: the logs directory itself can be. f.writing is
// held.
func (f *Files) confine(known *trouble, err error, where *segment, bytes int64) *failure {
	var general *generalError
	if where == nil || isOutOfDescriptors(err) || kindOf(err) == sink.ErrDiskFull && !isTooLarge(err) ||
		errors.As(err, &general) || f.lost.Load() != nil || f.trouble.Load() != known {
		return nil
	}
	if f.tryIn(".", 0, 0) != nil || f.root.SyncDir(".") != nil {
		return nil
	}
	name := Path(where.hour)
	if _, e := f.root.ReadDir(filepath.Dir(name)); e != nil && !errors.Is(e, fs.ErrNotExist) {
		name, err = filepath.Dir(name), e
	}
	t := &trouble{&failure{kindOf(err), err}, where, bytes}
	if old := f.confined()[name]; old == nil || old.err.Error() != t.err.Error() {
		f.log.Warn("an hour or a day cannot be written: answering 503 for its records until it can be", "name", filepath.Join(f.cfg.LogsDir, name), "err", err)
	}
	f.setConfined(func(m faults) { m[name] = t })
	return t.err
}

// tryConfined looks whether what could not be written can be by now. f.writing is
// held.
func (f *Files) tryConfined() {
	for name, t := range f.confined() {
		if f.retry(t) != nil {
			continue
		}
		f.setConfined(func(m faults) { delete(m, name) })
		f.log.Info("the hour or the day can be written again", "name", filepath.Join(f.cfg.LogsDir, name))
	}
}

// retry tries what has failed for one hour, without adding anything to it.
func (f *Files) retry(t *trouble) error {
	s := t.where
	if s.present {
		if err := f.ensureOpen(s); err != nil {
			return err
		}
	}
	switch {
	case s.file != nil:
		if err := f.look(s); err != nil {
			return err
		}
		// A file that may not be changed is open all the same. To cut it where it
		// ends changes nothing.
		if err := f.cut(s, s.written); err != nil {
			return err
		}
		if err := s.file.Truncate(s.written); err != nil {
			return err
		}
	default:
		file, err := f.root.Open(Path(s.hour), false)
		if err == nil {
			var st durable.State
			st, err = file.Stat()
			err = errors.Join(err, st.ReadOnly, file.Close())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := f.tryIn(filepath.Dir(Path(s.hour)), s.written, t.bytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the day is made when there is a record for it
	}
	return err
}

// tryIn makes a file in a directory, writes as much as may find no room, as far
// into it, syncs and removes it.
func (f *Files) tryIn(dir string, at, bytes int64) error { return tryIn(f.root, dir, at, bytes) }

func tryIn(root durable.Dir, dir string, at, bytes int64) error {
	name := filepath.Join(dir, probeName)
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := root.Open(name, true)
	if err != nil {
		return err
	}
	if err = file.Truncate(at); err == nil {
		_, err = durable.Writer(file).Write(make([]byte, min(max(bytes, minProbe), maxProbe)))
	}
	if err == nil {
		err = file.Sync()
	}
	if isFatal(err) {
		err = fmt.Errorf("probing: %v", err) //nolint:errorlint // nobody's data: not final
	}
	return errors.Join(err, file.Close(), root.Remove(name))
}

// readyConfined returns what Ready says of the failures that are confined.
func (f *Files) readyConfined() error {
	m := f.confined()
	if len(m) == 0 {
		return nil
	}
	if t := m.of(codec.HourOf(time.Now())); t != nil {
		return t.err
	}
	first := slices.Min(slices.Collect(maps.Keys(m)))
	more := ""
	if len(m) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(m)-1)
	}
	return fmt.Errorf("%w: records of %s are answered 503: %w%s", sink.ErrDegraded, first, m[first].err, more)
}

// onlyConfined reports whether nothing but single hours or days has failed.
func (f *Files) onlyConfined() bool {
	return f.Err() == nil && f.lost.Load() == nil && f.trouble.Load() == nil
}

// narrow looks whether a failure that lasts is that of one hour by now. f.writing
// is held.
func (f *Files) narrow() {
	t := f.trouble.Load()
	if t == nil || t.where == nil {
		return
	}
	// Ready goes on to say t until it says that it is confined.
	if f.confine(t, t.err.cause, t.where, t.bytes) != nil {
		f.trouble.CompareAndSwap(t, nil)
	}
}
