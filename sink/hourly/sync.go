package hourly

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"logforge/codec"
	"logforge/sink"
	"logforge/sink/durable"
)

// parallelSyncs is how many files are synced at a time: the file system does in
// one commit of its own what comes together.
const parallelSyncs = 32

// pass is one file to sync up to a length.
type pass struct {
	*segment
	file  *handle
	upTo  int64
	cuts  int
	state durable.State
	err   error
}

// syncGroup puts everything that has been written until now on disk, under the
// names of its hours: one fdatasync a file for all who wait, then the directories
// of new files. What is written meanwhile goes on.
//
// What fails of single hours or days, and may pass, fails those who wait for
// records of them; a nil batch waits for every hour.
func (f *Files) syncGroup(batches []*codec.Batch) error {
	defer f.hanging.Store(false)
	const tries = 20 // a file may be moved again while its lines are moved over
	var failed faults
	for try := 1; ; try++ {
		if err := f.Err(); err != nil {
			return err
		}
		if lost := f.lost.Load(); lost != nil {
			return lost
		}
		f.mu.Lock()
		var work []pass
		for _, s := range f.open {
			if s.written > s.synced && (failed == nil || failed.of(s.hour) == nil) {
				work = append(work, f.beginPass(s))
			}
		}
		var dirs map[string]struct{}
		if len(f.dirs) > 0 {
			dirs, f.dirs = f.dirs, map[string]struct{}{}
		}
		f.mu.Unlock()

		changed, err := f.run(work)
		unsynced := f.syncDirs(dirs, err)
		if err == nil && len(changed) == 0 && len(unsynced) == 0 {
			return failed.each(batches)
		}
		if err != nil {
			return f.classify(err, nil, 0) // a failed sync
		}
		f.writing.Lock()
		failed, err = f.takeFailed(failed, changed, unsynced)
		if err == nil && len(changed) > 0 && try == tries {
			err = f.classify(fmt.Errorf("%s is moved away again and again", Path(changed[0].hour)), nil, 0)
		}
		f.writing.Unlock()
		if err != nil {
			return err
		}
		if len(changed) == 0 {
			return failed.each(batches)
		}
	}
}

// each returns the errors of those who wait for batches: nil if there are none.
func (m faults) each(batches []*codec.Batch) error {
	if len(m) == 0 {
		return nil
	}
	each := make(sink.Each, len(batches))
	for i, b := range batches {
		if each[i] = m.ofBatch(b); b == nil {
			each[i] = m[slices.Min(slices.Collect(maps.Keys(m)))].err
		}
	}
	return each
}

// takeFailed takes files that somebody else has changed as they are, and adds to
// failed what fails of single hours and days. Any other error is returned.
// f.writing is held.
func (f *Files) takeFailed(failed faults, changed []pass, dirs map[string]error) (faults, error) {
	add := func(err error, where *segment, name string) error {
		err = f.classify(err, where, 0)
		e, ok := err.(*failure) //nolint:errorlint // classify returns it as it is
		if !ok || f.Err() != nil || f.trouble.Load() != nil || f.lost.Load() != nil {
			return err
		}
		if failed == nil {
			failed = faults{}
		}
		failed[name] = &trouble{e, where, 0}
		return nil
	}
	for _, p := range changed {
		if err := f.takeChanged(p); err != nil {
			if err := add(err, p.segment, Path(p.hour)); err != nil {
				return failed, err
			}
		}
	}
	for dir, err := range dirs {
		if err := add(err, f.anyOf(dir), dir); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// anyOf returns a segment of a day's directory; nil if it is none.
func (f *Files) anyOf(dir string) *segment {
	for h, s := range f.segments {
		if filepath.Dir(Path(h)) == dir {
			return s
		}
	}
	return nil
}

// takeChanged takes a file that somebody else has moved or shortened as it is.
// Lines of a shortened file that somebody waits for may be gone: its error says
// so.
func (f *Files) takeChanged(p pass) error {
	if p.segment.file != p.file {
		return nil // by ourselves, meanwhile
	}
	if err := f.look(p.segment); err != nil {
		return err
	}
	if p.segment.file == p.file && p.segment.written < p.upTo {
		return fmt.Errorf("%s was shortened by somebody else while lines for it were on their way", Path(p.hour))
	}
	return nil
}

// secure puts the files of segments, which are open, on disk. f.writing is held.
func (f *Files) secure(segments []*segment) error {
	f.mu.Lock()
	var work []pass
	for _, s := range segments {
		if s.written > s.synced {
			work = append(work, f.beginPass(s))
		}
	}
	f.mu.Unlock()
	changed, err := f.run(work)
	if err != nil || len(changed) == 0 {
		return err
	}
	for _, p := range changed {
		if err := f.look(p.segment); err != nil {
			return err
		}
	}
	return f.secure(segments) // what is on disk is not synced again
}

// beginPass returns a sync of what the segment's file holds now. f.mu is held.
func (f *Files) beginPass(s *segment) pass {
	return pass{segment: s, file: s.use(), upTo: s.written, cuts: s.cuts}
}

// run syncs the files and notes how far they are on disk. It returns those of
// which nothing is known, as they were moved, cut or shortened meanwhile, or cannot
// be looked at. The error is a failed sync: after it nothing is synced any more.
func (f *Files) run(work []pass) (changed []pass, err error) {
	if len(work) == 0 {
		return nil, nil
	}
	if len(work) == 1 {
		f.syncOne(&work[0])
	} else {
		var syncing sync.WaitGroup
		places := make(chan struct{}, parallelSyncs)
		for i := range work {
			places <- struct{}{}
			syncing.Go(func() {
				f.syncOne(&work[i])
				<-places
			})
		}
		syncing.Wait()
	}
	for _, p := range work {
		s := p.segment
		f.done(p.file)
		f.mu.Lock()
		switch {
		case p.err != nil && (isFatal(p.err) || f.Err() != nil):
			err = p.err
		case p.err != nil, s.file != p.file || s.cuts != p.cuts || p.state.Moved || p.state.Size < p.upTo:
			changed = append(changed, p)
		default:
			s.synced = max(s.synced, p.upTo)
		}
		f.mu.Unlock()
	}
	return changed, err
}

func (f *Files) syncOne(p *pass) {
	if p.err = f.Err(); p.err != nil {
		return
	}
	start := time.Now()
	if p.err = p.file.Sync(); p.err != nil {
		_ = f.fail(p.err) // before anybody else syncs
		return
	}
	f.syncSeconds.UpdateDuration(start)
	p.state, p.err = p.file.Stat()
}

// takeDirs returns the directories to be synced: they are the caller's now.
func (f *Files) takeDirs() map[string]struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	dirs := f.dirs
	f.dirs = map[string]struct{}{}
	return dirs
}

// syncDirs puts the names in dirs on disk, and returns what failed of which. What
// could not be synced, also as nothing may be after failed, is left for the next
// sync.
func (f *Files) syncDirs(dirs map[string]struct{}, failed error) (errs map[string]error) {
	for dir := range dirs {
		err := failed
		if err == nil {
			err = f.root.SyncDir(dir)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // removed, with its files: whoever waits for one has it moved over
		}
		if err == nil {
			delete(dirs, dir)
			continue
		}
		if isFatal(err) {
			failed = f.fail(err)
			err = failed
		}
		if errs == nil {
			errs = map[string]error{}
		}
		errs[dir] = err
	}
	if len(dirs) > 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		for dir := range dirs {
			f.dirs[dir] = struct{}{}
		}
	}
	return errs
}

// syncAllDirs puts the names of all directories on disk that are not yet.
func (f *Files) syncAllDirs() error {
	var errs []error
	for _, err := range f.syncDirs(f.takeDirs(), nil) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
