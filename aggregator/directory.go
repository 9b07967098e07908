package aggregator

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// directory is the analytics directory. It is locked for as long as the process
// lives, and made anew, with its lock, when somebody has removed it. A name in it
// that is not ours is never opened, nor anything but a regular file.
type directory struct {
	path string
	wrap func(durable.Dir) durable.Dir // of the directory that is used; tests let it fail

	mu     sync.RWMutex // guards what follows; for writing where it is opened or closed
	locked *durable.Directory
	dir    durable.Dir // locked, as wrap makes it; nil before it is there

	// failed: a sync has failed, so that it is not known any more what is on disk.
	failed atomic.Bool

	// Only for the goroutine that makes passes:
	days  map[string]*day     // by name
	pass  uint64              // the pass that is made
	dirty map[string]struct{} // folders whose names are not on disk yet
}

// day is what was found in the folder of a day.
type day struct {
	summaries, aside hoursOfDay
	changed          time.Time // when the folder was last changed, as found
	listed           time.Time // when it was read
	pass             uint64    // in which it was looked at last
}

// hoursOfDay is a set of the hours of a day.
type hoursOfDay uint32

func (s hoursOfDay) has(clock int) bool { return s&(1<<clock) != 0 }

// clockOf returns the hour of the day, from 0 to 23.
func clockOf(h codec.Hour) int { return h.Time().Hour() }

// ensure makes the directory, if it is not there, and locks it, if it is not the
// one that is locked. It reports whether it is another one than before. The error
// is durable.ErrInUse if another process has it.
func (d *directory) ensure() (renewed bool, err error) {
	if d.locked != nil {
		if err := d.locked.Check(); !errors.Is(err, durable.ErrMoved) {
			return false, err
		}
	}
	if err := durable.MkdirAll(d.path); err != nil {
		return false, err
	}
	dir, err := durable.OpenDir(d.path)
	if err != nil {
		return false, err
	}
	if err := dir.Lock(); err != nil {
		return false, errors.Join(err, dir.Close())
	}
	_ = d.close() // one that is gone
	d.mu.Lock()
	defer d.mu.Unlock()
	d.locked, d.dir = dir, dir
	if d.wrap != nil {
		d.dir = d.wrap(dir)
	}
	d.days, d.dirty = map[string]*day{}, map[string]struct{}{}
	d.failed.Store(false)
	return true, nil
}

// close gives the lock back.
func (d *directory) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked == nil {
		return nil
	}
	err := d.locked.Close()
	d.locked, d.dir = nil, nil
	return err
}

// use calls with the open directory. The error is fs.ErrNotExist while there is
// none.
func (d *directory) use(call func(durable.Dir) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.dir == nil {
		return &fs.PathError{Op: "open", Path: d.path, Err: fs.ErrNotExist}
	}
	return call(d.dir)
}

// racy is how long ago a folder must have been changed for its time to tell
// whether it was changed since: the time of a file system is coarser than ours.
const racy = 2 * time.Second

// has reports whether h has a summary, by name. It reads a folder only if it has
// changed since it was read last.
func (d *directory) has(h codec.Hour) bool {
	name := dayPath(h)
	known := d.days[name]
	if known != nil && known.pass == d.pass {
		return known.summaries.has(clockOf(h))
	}
	info, err := os.Lstat(filepath.Join(d.path, name))
	if err != nil {
		delete(d.days, name)
		return false
	}
	if known == nil || !info.ModTime().Equal(known.changed) || known.listed.Sub(known.changed) < racy {
		listed := time.Now()
		if known, err = d.list(name); err != nil {
			return false // writing the summary will say why
		}
		known.changed, known.listed = info.ModTime(), listed
		d.days[name] = known
	}
	known.pass = d.pass
	return known.summaries.has(clockOf(h))
}

// list reads the folder of a day. One that is not there, or is no folder, is
// empty; of one that may not be read all hours count as moved aside.
func (d *directory) list(name string) (*day, error) {
	entries, err := d.readDir(name)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return &day{aside: 1<<24 - 1}, nil
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		return &day{}, nil
	case err != nil:
		return nil, err
	}
	found := &day{}
	for _, entry := range entries {
		if clock, ok := parseSummary(entry.Name()); ok {
			found.summaries |= 1 << clock
		} else if clock, ok := parseAside(entry.Name()); ok {
			found.aside |= 1 << clock
		}
	}
	return found, nil
}

// readDir returns what is in a folder: nothing if it is not there.
func (d *directory) readDir(name string) (entries []fs.DirEntry, err error) {
	err = d.use(func(dir durable.Dir) error {
		entries, err = dir.ReadDir(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// open opens h's summary to read it. The error is fs.ErrNotExist where there is
// none, and errDamaged where there is something under its name that cannot be
// opened, or is no regular file.
func (d *directory) open(h codec.Hour) (file durable.File, err error) {
	path := summaryPath(h)
	err = d.use(func(dir durable.Dir) error {
		file, err = dir.Open(path, false)
		return err
	})
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	info, lerr := os.Lstat(filepath.Join(d.path, path))
	switch {
	case errors.Is(lerr, fs.ErrNotExist):
		return nil, lerr
	case lerr == nil && (!info.Mode().IsRegular() || errors.Is(err, fs.ErrPermission)):
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil, err
}

// replace makes what write writes h's summary. Its name is on disk after the next
// sync. A crash before that leaves the old summary or the new one, which is as
// good: each says how far it goes.
func (d *directory) replace(h codec.Hour, write func(io.Writer) error) error {
	path, folder := summaryPath(h), dayPath(h)
	return d.use(func(dir durable.Dir) error {
		err := durable.Replace(dir, path, write)
		if errors.Is(err, fs.ErrNotExist) { // a new day
			if err := dir.Mkdir(folder); err != nil {
				return err
			}
			d.dirty["."] = struct{}{}
			err = durable.Replace(dir, path, write)
		}
		d.dirty[folder] = struct{}{}
		return err
	})
}

// sync puts the names of all files that were replaced or moved on disk: one sync
// a folder, however many summaries of the day have changed. A sync that has
// failed is not repeated: a summary that is lost by it is made anew.
func (d *directory) sync() error {
	var errs []error
	for _, folder := range slices.Sorted(maps.Keys(d.dirty)) {
		errs = append(errs, d.syncNames(folder))
	}
	clear(d.dirty)
	return errors.Join(errs...)
}

// syncNames puts the names in folders on disk.
func (d *directory) syncNames(folders ...string) error {
	for _, folder := range folders {
		err := d.use(func(dir durable.Dir) error { return dir.SyncDir(folder) })
		if failed := (*durable.SyncError)(nil); errors.As(err, &failed) {
			d.failed.Store(true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setAside moves what is in the place of h's summary to a dot file beside it, and
// returns its path. What was moved there before is removed.
func (d *directory) setAside(h codec.Hour) (string, error) {
	path := summaryPath(h)
	to := aside(path)
	err := d.use(func(dir durable.Dir) error { return dir.Rename(path, to) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// A rename replaces neither a directory that is not empty nor, by a file,
		// any directory.
		if err := os.RemoveAll(filepath.Join(d.path, to)); err != nil {
			return "", err
		}
		err = d.use(func(dir durable.Dir) error { return dir.Rename(path, to) })
	}
	delete(d.days, dayPath(h))
	d.dirty[dayPath(h)] = struct{}{}
	return filepath.Join(d.path, to), err
}

// span returns the days that have a folder. Recent is the last of them that is
// not after limit, or the first of all if every day is after it.
func (d *directory) span(limit codec.Hour) (codec.Span, error) {
	entries, err := d.readDir(".")
	if err != nil {
		return codec.Span{}, err
	}
	var days []codec.Hour
	for _, entry := range entries {
		if h, isDay := parseDay(entry.Name()); isDay && entry.IsDir() {
			days = append(days, h)
		}
	}
	if len(days) == 0 {
		return codec.Span{}, nil
	}
	slices.Sort(days)
	after, _ := slices.BinarySearch(days, limit+1)
	return codec.Span{First: days[0], Recent: days[max(0, after-1)], Last: days[len(days)-1], Known: true}, nil
}
