package hourly

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

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
func (f *Files) syncGroup([]struct{}) error {
	defer f.hanging.Store(false)
	const tries = 20 // a file may be moved again while its lines are moved over
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
			if s.written > s.synced {
				work = append(work, f.beginPass(s))
			}
		}
		var dirs map[string]struct{}
		if len(f.dirs) > 0 {
			dirs, f.dirs = f.dirs, map[string]struct{}{}
		}
		f.mu.Unlock()

		changed, err := f.run(work)
		if failed := f.syncDirs(dirs, err); err == nil {
			err = failed
		}
		if err == nil && len(changed) == 0 {
			return nil
		}
		if err == nil {
			err = f.takeChanged(changed)
		}
		if err == nil && try == tries {
			err = fmt.Errorf("%s is moved away again and again", Path(changed[0].hour))
		}
		if err != nil {
			return f.classify(err, nil, 0)
		}
	}
}

// takeChanged takes files that somebody else has moved or shortened as they are.
// Lines of a shortened file that somebody waits for may be gone: its error says
// so.
func (f *Files) takeChanged(changed []pass) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	for _, p := range changed {
		if p.segment.file != p.file {
			continue // by ourselves, meanwhile
		}
		if err := f.look(p.segment); err != nil {
			return err
		}
		if p.segment.file == p.file && p.segment.written < p.upTo {
			return fmt.Errorf("%s was shortened by somebody else while lines for it were on their way", Path(p.hour))
		}
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
// which nothing is known, as they were moved, cut or shortened meanwhile. After a
// failed sync nothing is synced any more.
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
		case p.err != nil:
			if err == nil || isFatal(p.err) {
				err = p.err
			}
		case s.file != p.file || s.cuts != p.cuts || p.state.Moved || p.state.Size < p.upTo:
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

// syncDirs puts the names in dirs on disk. What could not be synced, also as
// nothing may be after failed, is left for the next sync.
func (f *Files) syncDirs(dirs map[string]struct{}, failed error) error {
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
			return f.fail(err)
		}
		if failed == nil {
			failed = err
		}
	}
	if len(dirs) > 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		for dir := range dirs {
			f.dirs[dir] = struct{}{}
		}
	}
	return failed
}
