package hourly

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"

	"logforge/sink/durable"
)

// Which files are open: a bounded number, closed again once idle. And what
// becomes of a file that somebody else has moved, removed or changed. All of it
// with f.writing held.

// ensureOpen opens the segment's file if it is closed, and makes it, and its
// day's directory, if they are not there.
func (f *Files) ensureOpen(s *segment) error {
	if s.file != nil {
		return nil
	}
	if err := f.makeRoom(); err != nil {
		return err
	}
	file, err := f.openHour(s)
	if isOutOfDescriptors(err) && len(f.open) > 0 {
		f.limit = max(1, len(f.open)/2)
		f.log.Warn("no file descriptors left: keeping fewer files open", "open", len(f.open), "limit", f.limit)
		if err := f.makeRoom(); err != nil {
			return err
		}
		file, err = f.openHour(s)
	}
	if err != nil {
		return err
	}
	st, err := file.Stat()
	if err = cmp.Or(err, st.ReadOnly); err != nil {
		return errors.Join(err, file.Close())
	}
	f.mu.Lock()
	if !s.named {
		// Also for a file that was there: the process that made it may have
		// been killed before its name was on disk.
		f.dirs[filepath.Dir(Path(s.hour))], f.dirs["."] = struct{}{}, struct{}{}
		s.named = true
	}
	s.file, s.moved = &handle{File: file}, false
	f.open = append(f.open, s)
	f.opened.Store(int64(len(f.open)))
	f.mu.Unlock()

	if s.present {
		if err := f.lookCompressed(s); err != nil {
			return err
		}
	}
	replaced := false
	if s.present && st.Size >= s.written && s.written > 0 {
		sum, err := tailSum(file, s.written)
		if err != nil {
			return err
		}
		replaced = sum != s.tail
	}
	switch {
	case !s.present && st.Size == 0 && s.compressed != nil:
		f.mu.Lock()
		s.present, s.journaled = true, unknown
		f.mu.Unlock()
	case !s.present && st.Size == 0:
		f.begin(s, 0)
	case !s.present, replaced:
		return f.adopt(s, st.Size, 0)
	case st.Size != s.size:
		return f.adopt(s, st.Size, s.written)
	}
	return nil
}

// openHour opens or makes the file of the segment's hour.
func (f *Files) openHour(s *segment) (durable.File, error) {
	name := Path(s.hour)
	file, err := f.root.Open(name, false)
	if errors.Is(err, fs.ErrNotExist) {
		if s.present && f.isContained(s) {
			if err := f.dropContained(s); err != nil { // removed already, and not on disk
				return nil, err
			}
		}
		removed := s.present
		if removed {
			f.log.Warn("an hour's file was removed or moved: a new one begins", "file", name, "bytes", s.visible)
			if err := f.syncRemoval(name); err != nil {
				return nil, err
			}
			f.forget(s)
		}
		if s.compressed != nil {
			if err := f.continueCompressed(s, removed); err != nil {
				return nil, err
			}
		}
		if err = f.root.Mkdir(filepath.Dir(name)); err != nil {
			return nil, &generalError{err} // of the logs directory
		}
		file, err = f.root.Open(name, true)
	}
	return file, err
}

// forget makes the segment one without a file, except for its compressed part.
func (f *Files) forget(s *segment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.forgetFile()
}

// forgetFile does so with f.mu held.
func (s *segment) forgetFile() {
	s.visible, s.written, s.synced, s.size = 0, 0, 0, 0
	s.journaled, s.before, s.tail = unknown, 0, 0
	s.present, s.named, s.moved = false, false, false
	s.cuts++
}

// begin makes what the segment's file holds from byte start on, and what will
// follow, a new generation.
func (f *Files) begin(s *segment, start int64) {
	f.newest = f.nextGeneration()
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.compressed != nil {
		c := *s.compressed
		c.To = min(s.overlap(), start) - start
		s.setCompressed(&c)
	}
	s.generation, s.base, s.journaled, s.present = f.newest, -start, unknown, true
}

// makeRoom closes files, those unused longest first, until one more may be
// opened. Files of the slice being written stay open, and so do those being
// synced: rather than wait for them, the limit is exceeded for a moment.
func (f *Files) makeRoom() error {
	if len(f.open) < f.limit {
		return nil
	}
	var idle []*segment
	f.mu.Lock()
	for _, s := range f.open {
		if s.file.users == 0 && s.slice != f.slices {
			idle = append(idle, s)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(idle, func(a, b *segment) int { return cmp.Compare(a.used, b.used) })
	// A good part of them at once, so that their syncs share the disk.
	idle = idle[:min(len(idle), max(len(f.open)-f.limit+1, f.limit/4))]
	if err := f.secure(idle); err != nil {
		return err
	}
	for _, s := range idle {
		if err := f.shut(s); err != nil {
			return err
		}
	}
	return nil
}

// shut closes the file. It has to be synced: a write error that the kernel meets
// later would be lost for good. Only after a failure, when nothing may be synced
// any more, it is closed as it is.
func (f *Files) shut(s *segment) error {
	if s.written > f.onDisk(s) && f.Err() == nil && f.lost.Load() == nil && !s.moved {
		if err := f.secure([]*segment{s}); err != nil {
			return err
		}
		if s.file == nil {
			return nil
		}
	}
	tail, err := tailSum(s.file, s.written)
	if err != nil && !f.closed {
		return err // without it the file would be taken for another one when it is opened again
	}
	f.mu.Lock()
	file := s.file
	s.file, s.tail = nil, tail
	i := slices.Index(f.open, s)
	f.open = slices.Delete(f.open, i, i+1)
	f.opened.Store(int64(len(f.open)))
	f.mu.Unlock()
	return errors.Join(err, f.retire(file))
}

// tailBytes is how many bytes before a length its checksum is of.
const tailBytes = 64

// tailSum returns a checksum of the bytes just before length, by which a file
// that was replaced while it was closed is told.
func tailSum(file durable.File, length int64) (uint32, error) {
	var buf [tailBytes]byte
	part := buf[:min(length, tailBytes)]
	n, err := file.ReadAt(part, length-int64(len(part)))
	if err != nil {
		return 0, err
	}
	return crc32.Checksum(part[:n], castagnoli), nil
}

// look compares an open file with what this process left.
func (f *Files) look(s *segment) error {
	st, err := s.file.Stat()
	switch {
	case err != nil:
		return err
	case st.Moved:
		return f.moveOver(s)
	}
	s.moved = false
	if err := f.lookCompressed(s); err != nil {
		return err
	}
	if st.Size != s.size {
		return f.adopt(s, st.Size, s.written)
	}
	return nil
}

// adopt takes a file that somebody else has changed, and that is open, as it is,
// up to its last whole line. It is good up to from already, unless it is shorter
// by now. Lines that are gone, and a file that is another one (from 0), make it
// a new generation: of the bytes behind those that were there before.
func (f *Files) adopt(s *segment, size, from int64) error {
	if s.written > 0 || size == 0 {
		f.log.Warn("an hour's file was changed by somebody else", "file", Path(s.hour), "bytes", size, "left at", s.written)
	}
	if from > 0 && size >= from {
		// One that was emptied and is as long again has a line's middle there.
		var last [1]byte
		if _, err := s.file.ReadAt(last[:], from-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			from = 0
		}
	}
	another := from == 0 && size >= s.written
	if size < from {
		from = 0
	}
	good, err := f.repair(s.file, s.hour, from, size)
	if err != nil {
		return err
	}
	switch {
	case another && s.visible > 0, !s.present:
		f.begin(s, 0)
	case good < s.visible:
		f.begin(s, good)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.written > s.visible { // in a transaction
		s.visible = min(s.visible, good)
	} else {
		s.visible = good
	}
	s.written, s.size, s.before = good, good, good
	s.synced = min(s.synced, good)
	if another {
		s.synced = 0
	}
	s.journaled = unknown // it has to learn of it before the next append
	s.cuts++
	return nil
}

// moveOver begins a new file for an hour whose file was removed or moved away,
// with the lines of the old one that are not yet known to be on disk under the
// hour's name: whoever waits for them will find them there, and no other file
// has them. It leaves s as it was if that fails.
func (f *Files) moveOver(s *segment) error {
	f.mu.Lock()
	old, from, ours, before := s.file, s.synced, s.size, s.moved
	s.moved = true
	s.cuts++ // a sync under way raises synced no more
	f.mu.Unlock()
	if !before {
		f.log.Warn("an hour's file was removed or moved: a new one begins", "file", Path(s.hour), "bytes", s.visible, "moved", s.written-from)
	}

	if err := f.syncRemoval(Path(s.hour)); err != nil {
		return err
	}
	n := &segment{hour: s.hour, journaled: unknown, slice: f.slices, compressed: s.compressed}
	if n.compressed != nil {
		n.base = n.compressed.To
	}
	file, err := f.openHour(n)
	if err != nil {
		return err
	}
	n.file = &handle{File: file}
	same := false
	err = func() error {
		st, err := file.Stat()
		if err = cmp.Or(err, st.ReadOnly); err != nil {
			return err
		}
		// Its name was away for a moment only.
		now, err := old.Stat()
		if same = err == nil && now.Inode == st.Inode && now.Device == st.Device; same || err != nil {
			return err
		}
		if st.Size > 0 {
			err = f.adopt(n, st.Size, 0)
		} else {
			f.begin(n, 0)
		}
		if err != nil {
			return err
		}
		// Also where no line is moved: whoever reads the journal beside this
		// process would take the empty file for the one that was removed.
		if err := f.note([]*segment{n}); err != nil {
			return err
		}
		return f.copyLines(n, old, from, s.written)
	}()
	if err != nil {
		if n.size > n.written {
			err = errors.Join(err, file.Truncate(n.written))
		}
		return errors.Join(fmt.Errorf("beginning %s anew: %w", Path(s.hour), err), file.Close())
	}

	if same {
		s.moved = false
		return file.Close()
	}
	f.mu.Lock()
	shift := n.written // where the copied lines begin
	n.written = n.size
	n.visible = n.written
	if f.transactional {
		n.visible = shift + max(s.visible-from, 0)
	}
	s.generation, s.base, s.compressed, s.next = n.generation, n.base, n.compressed, nil
	s.before = shift + max(s.before-from, 0)
	s.visible, s.written, s.synced, s.size, s.journaled = n.visible, n.written, 0, n.size, n.journaled
	s.file, s.present, s.moved, s.named = n.file, true, false, true
	f.dirs[filepath.Dir(Path(s.hour))], f.dirs["."] = struct{}{}, struct{}{}
	f.mu.Unlock()
	f.takeOff(old, from, ours)
	return nil
}

// copyLines appends the bytes [from, to) of old to n's file, and counts them in
// n.size.
func (f *Files) copyLines(n *segment, old *handle, from, to int64) error {
	buf := make([]byte, min(to-from, 256<<10))
	for from < to {
		got, err := old.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if err != nil {
			return err
		}
		if got == 0 {
			return errors.New("the moved file was shortened")
		}
		from += int64(got)
		for part := buf[:got]; len(part) > 0; {
			w, err := n.file.Writev([][]byte{part})
			if err != nil {
				return err
			}
			n.size += int64(w)
			part = part[w:]
		}
	}
	return nil
}

// takeOff cuts the lines from byte from on off a file that was moved away, so
// that they are in the new one alone, and closes it. It ends at byte ours, unless
// somebody else has added to it: to another hour, if that is the file's name now.
// Then it stays as it is.
func (f *Files) takeOff(old *handle, from, ours int64) {
	st, err := old.Stat()
	switch {
	case err != nil || st.Links == 0 || st.Size <= from || ours == from:
	case st.Size > ours:
		err = errors.New("somebody else has added to it")
	default:
		err = old.Truncate(from)
	}
	if err = errors.Join(err, f.retire(old)); err != nil {
		f.log.Warn("the last lines of a file that was moved away may also be in the one that took its place", "err", err)
	}
}
