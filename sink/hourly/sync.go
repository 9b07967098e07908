package hourly

import (
	"context"
	"time"

	"logforge/codec"
)

// syncGroup syncs everything that has been written until now: one fdatasync a
// file for all who wait, then the directories of new files. What is written
// meanwhile goes on.
func (f *Files) syncGroup([]struct{}) error {
	f.mu.Lock()
	if err := f.Err(); err != nil {
		f.mu.Unlock()
		return err
	}
	type job struct {
		*segment
		upTo int64
	}
	var work []job
	for _, s := range f.open {
		if s.dirty {
			s.dirty = false
			s.users++
			work = append(work, job{s, s.tail})
		}
	}
	dirs := f.dirs
	if len(dirs) > 0 {
		f.dirs = map[string]struct{}{}
	}
	f.mu.Unlock()

	var err error
	for _, s := range work {
		if err == nil {
			err = f.syncFile(s.file)
		}
	}
	if err == nil {
		err = f.syncDirs(dirs)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range work {
		s.users--
		if err == nil {
			s.synced = s.upTo
		}
	}
	return err
}

// syncFile syncs one file. A failure is final: the kernel may have dropped the
// pages and would call the next sync a success.
func (f *Files) syncFile(file file) error {
	start := time.Now()
	if err := file.sync(); err != nil {
		return f.fail(&fatalError{err})
	}
	f.syncSeconds.UpdateDuration(start)
	return nil
}

func (f *Files) syncDirs(dirs map[string]struct{}) error {
	for dir := range dirs {
		if err := f.disk.syncDir(dir); err != nil {
			return f.fail(&fatalError{err})
		}
	}
	return nil
}

// tend keeps the promise of Written (on disk within SyncInterval), closes idle
// files, and looks whether files were removed under it or a full disk has room
// again.
func (f *Files) tend(ctx context.Context) {
	tick := time.NewTicker(f.cfg.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := f.tendOnce(); err != nil {
			f.log.Error("keeping the logs directory", "dir", f.cfg.LogsDir, "err", err)
		}
	}
}

func (f *Files) tendOnce() error {
	if err := f.syncs.Do(struct{}{}, true); err != nil {
		return err
	}
	if f.full.Load() && f.disk.room(f.cfg.LogsDir) {
		f.full.Store(false)
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.open) - 1; i >= 0; i-- {
		s := f.open[i]
		if s.users > 0 {
			continue
		}
		if s.used != s.seen {
			s.seen, s.idle = s.used, 0
		} else {
			s.idle += f.cfg.SyncInterval
		}
		var err error
		if s.idle >= f.cfg.IdleClose && s.tail == s.length {
			err = f.shut(s)
		} else {
			err = f.check(s)
		}
		if err != nil {
			return err
		}
	}
	if f.journal.large() && len(f.tx.files) == 0 {
		return f.compact()
	}
	return f.raiseFloors()
}

// raiseFloors notes how far the files are on disk by now, so that a restart
// after a crash need not read further back. Losing the note costs only time.
func (f *Files) raiseFloors() error {
	e := entry{Kind: kindFloor, Files: map[codec.Hour]int64{}}
	for _, s := range f.open {
		if !s.exact && s.journaled == f.journalRound && s.synced > s.floored {
			e.Files[s.hour], s.floored = s.synced, s.synced
		}
	}
	if len(e.Files) == 0 {
		return nil
	}
	if err := f.journal.add(e, false); err != nil && !isDiskFull(err) {
		return f.classify(err)
	}
	return nil
}
