package hourly

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"logforge/codec"
	"logforge/sink"
	"logforge/sink/durable"
)

// lookInterval is how often the directory itself, and what has failed, is looked
// at.
const lookInterval = time.Second

// tend keeps the promise of Written (on disk within SyncInterval), closes idle
// files, and looks whether files, or the directory, were removed under it, and
// whether what has failed works again.
func (f *Files) tend(ctx context.Context) {
	tick := time.NewTicker(min(f.cfg.SyncInterval, lookInterval))
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f.lookAround()
		if time.Since(last) >= f.cfg.SyncInterval-lookInterval/10 {
			last = time.Now()
			if err := f.tendOnce(); err != nil {
				f.log.Error("keeping the logs directory", "dir", f.cfg.LogsDir, "err", err)
			}
		}
	}
}

// tendOnce is the upkeep of one interval.
func (f *Files) tendOnce() error {
	f.lookAround()
	if f.lost.Load() != nil {
		return nil // said
	}
	if err := f.syncs.Do(context.Background(), nil, true); err != nil && !f.onlyConfined() {
		return err
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	f.closeFormer()
	f.limit = f.cfg.MaxOpenFiles
	for i := len(f.open) - 1; i >= 0; i-- {
		if i >= len(f.open) {
			continue
		}
		s := f.open[i]
		f.mu.Lock()
		used := s.file.users > 0
		f.mu.Unlock()
		if used {
			continue
		}
		if s.used != s.seen {
			s.seen, s.idle = s.used, 0
		} else {
			s.idle += f.cfg.SyncInterval
		}
		err := f.look(s)
		if err == nil && s.idle >= f.cfg.IdleClose && s.written == f.onDisk(s) && s.written == s.visible {
			err = f.shut(s)
		}
		if err = f.classify(err, s, 0); err != nil && !f.onlyConfined() {
			return err
		}
	}
	if len(f.tx.files) == 0 {
		if err := f.compactLarge(); err != nil {
			return err
		}
	}
	return f.raiseFloors()
}

// compactLarge writes the journal anew once it is large. When that fails for a
// reason that may pass, the one there is serves on.
func (f *Files) compactLarge() error {
	if !f.journal.large() {
		return nil
	}
	err := f.compact()
	if err != nil && !isFatal(err) && f.journal.usable() {
		f.log.Warn("the journal cannot be written anew", "dir", f.cfg.LogsDir, "err", err)
		return nil
	}
	return f.classify(err, nil, 0)
}

// raiseFloors notes how far the files are on disk by now, so that a restart
// after a crash need not read further back, and a file that is shortened until
// then is told. f.writing is held.
func (f *Files) raiseFloors() error {
	if f.transactional {
		return nil
	}
	e := entry{Kind: kindFloor, Files: map[codec.Hour]int64{}}
	late := false // A file without a length is not missed where the hour goes on without it.
	for _, s := range f.open {
		if synced := f.onDisk(s); s.journaled != unknown && synced > s.journaled {
			e.Files[s.hour], s.journaled = synced, synced
			late = late || s.compressed != nil
		}
	}
	if len(e.Files) == 0 {
		return nil
	}
	// Without room it can wait.
	if err := f.journal.add(e, late); err != nil && !isDiskFull(err) {
		return f.classify(err, nil, 0)
	}
	return nil
}

// lookAround looks whether the directory is still the one that was locked, and
// whether what has failed works again.
func (f *Files) lookAround() {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.Err() != nil || f.closed {
		return
	}
	err := f.root.Check()
	if errors.Is(err, durable.ErrRemoved) && !f.transactional {
		err = f.reattach()
	}
	if err != nil {
		e := &failure{sink.ErrStorage, err}
		if f.lost.Swap(e) == nil {
			f.log.Error("the logs directory is no longer this process's: nothing is acknowledged until it is put back", "dir", f.cfg.LogsDir, "err", err)
		}
		return
	}
	if f.lost.Swap(nil) != nil {
		f.log.Info("the logs directory is back", "dir", f.cfg.LogsDir)
	}
	if f.journal.moved() {
		f.log.Warn("the journal was removed or moved: writing it anew", "dir", f.cfg.LogsDir)
		if err := f.compact(); err != nil {
			// What is added to a file without a name is lost with the process.
			_ = f.journal.close()
			_ = f.classify(err, nil, 0) // kept, and said by Ready
		}
	}
	f.tryConfined()
	if t := f.trouble.Load(); t != nil {
		if err := f.probe(t); err == nil {
			f.recovered(t)
		} else if !errors.Is(err, t.err.kind) {
			_ = f.classify(err, t.where, t.bytes) // another reason by now
		}
		f.narrow()
	}
}

// Bounds of what a probe writes: a disk with room for that much has some again.
const (
	minProbe = 64 << 10
	maxProbe = 1 << 20
)

// probe tries what has failed, without changing any hour: it makes a file in the
// directory of the hour that could not be written, or in the logs directory,
// writes as much as found no room, as far into the file, syncs and removes it.
func (f *Files) probe(t *trouble) error {
	if !f.journal.usable() {
		if err := f.compact(); err != nil {
			return err
		}
	}
	dir, at := ".", int64(0)
	if t.where != nil {
		dir, at = filepath.Dir(Path(t.where.hour)), t.where.written
		if err := f.root.Mkdir(dir); err != nil {
			return &generalError{err}
		}
	}
	if t.where != nil && t.where.present {
		if err := f.ensureOpen(t.where); err != nil {
			return err
		}
		if t.where.size > t.where.written {
			if err := f.cut(t.where, t.where.written); err != nil {
				return err
			}
		}
	}
	if err := f.tryIn(dir, at, t.bytes); err != nil {
		return err
	}
	return f.syncAllDirs()
}

// reattach begins anew in a directory that takes the place of one that was
// removed, made here if nobody has. Lines of which it is not known that they were
// on disk before go with it; everything else was removed. f.writing is held.
func (f *Files) reattach() error {
	next, err := f.disk.attach(f.cfg.LogsDir)
	if err != nil {
		return err
	}
	f.log.Warn("the logs directory was removed: beginning anew", "dir", f.cfg.LogsDir)
	before, segments, open, journal := f.root, f.segments, f.open, f.journal
	newest := f.newest
	f.mu.Lock()
	f.root, f.segments, f.open, f.dirs = next, map[codec.Hour]*segment{}, nil, map[string]struct{}{}
	f.mu.Unlock()
	f.last = nil
	if err = f.recover(); err != nil {
		f.mu.Lock()
		f.root, f.segments, f.open = before, segments, open
		f.mu.Unlock()
		f.journal = journal
		return errors.Join(err, next.Close())
	}
	f.newest = max(f.newest, newest)
	f.trouble.Store(nil) // of what was removed
	f.confinedTo.Store(nil)
	var gone []*handle
	f.mu.Lock()
	for _, s := range open {
		if s.written > s.synced {
			s.moved = true // so that the next sync moves its lines over
			f.segments[s.hour], f.open = s, append(f.open, s)
			continue
		}
		gone = append(gone, s.file)
	}
	f.opened.Store(int64(len(f.open)))
	f.mu.Unlock()
	for _, h := range gone {
		_ = f.retire(h) // removed, and nobody waits for its lines
	}
	// The files that are kept look for their names in the directory that they
	// were opened in: it stays open as long as they do.
	f.former = append(f.former, before)
	f.closeFormer()
	_ = journal.close() // removed
	return nil
}

// closeFormer closes directories that were removed, once no file of them is open.
func (f *Files) closeFormer() {
	if slices.ContainsFunc(f.open, func(s *segment) bool { return s.moved }) {
		return
	}
	for _, r := range f.former {
		_ = r.Close() // removed
	}
	f.former = nil
}
