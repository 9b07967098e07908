package hourly

import (
	"errors"
	"fmt"
	"io/fs"

	"logforge/codec"
)

// swap makes what is in the temporary file the compressed part of q's hour, and
// removes the file whose lines it has; see compress.go. The error is errStays if
// the hour is not any more as it was.
func (c *compressor) swap(q *quiet, next *compressed) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.writable(); err != nil {
		return err
	}
	s := c.segments[q.Hour]
	if s == nil || c.root != q.root || !c.isWholly(s, q.Extent) || s.compressed != q.before || s.next != nil {
		return errStays
	}
	if err := c.isQuiet(q, s); err != nil {
		return err
	}
	if s.written != q.length || s.base != q.base || s.compressed != q.before {
		return errStays
	}
	if err := expectCompressed(q); err != nil {
		return err
	}
	if err := c.announce(s, next); err != nil {
		return err
	}
	crashPoint("compress: announced")
	if err := c.root.Rename(q.temporary(), compressedPath(q.Hour)); err != nil {
		c.mu.Lock()
		s.next = nil
		c.mu.Unlock()
		return err
	}
	crashPoint("compress: renamed")
	if err := c.settleSwap(s); err != nil {
		return err
	}
	crashPoint("compress: swapped")
	if err := c.dropContained(s); err != nil {
		return err
	}
	c.compressedBytes.AddInt64(q.length - q.overlap)
	return nil
}

// expectCompressed looks whether the compressed part is still what it was: a file
// that somebody else has put in its place is not replaced.
func expectCompressed(q *quiet) error {
	if q.before != nil {
		file, err := openCompressed(q.root, q.Hour, q.before)
		if err != nil {
			return err
		}
		return file.Close()
	}
	name := compressedPath(q.Hour)
	file, err := q.root.Open(name, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		err = errors.Join(fmt.Errorf("%s: %w", name, errForeign), file.Close())
	}
	return err
}

// announce tells the journal what the compressed part of s is going to be. When it
// returns nil, that is on disk.
func (f *Files) announce(s *segment, next *compressed) error {
	tail, err := tailSum(s.file, s.written)
	if err != nil {
		return err
	}
	if !f.journal.usable() {
		if err := f.compact(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	s.next = next
	k := s.stream()
	f.mu.Unlock()
	k.Length, k.Tail = s.written, tail
	if err := f.journal.add(entry{Kind: kindCompressed, Hours: map[codec.Hour]stream{s.hour: k}}, true); err != nil {
		f.mu.Lock()
		s.next = nil
		f.mu.Unlock()
		return f.finalOr(err)
	}
	return nil
}

// finalOr returns err, after which nothing is written any more if it is a failed
// sync.
func (f *Files) finalOr(err error) error {
	if isFatal(err) {
		return f.fail(err)
	}
	return err
}

// settleSwap puts on disk that the compressed part of s is the one that was
// announced. f.writing is held.
func (f *Files) settleSwap(s *segment) error {
	same, err := s.next.isAt(f.root, s.hour)
	if err != nil {
		return err
	}
	if !same {
		f.mu.Lock()
		s.next = nil
		f.mu.Unlock()
		return errStays
	}
	if err := f.syncRemoval(Path(s.hour)); err != nil { // the directory of both names
		return f.finalOr(err)
	}
	f.mu.Lock()
	s.setCompressed(s.next)
	f.mu.Unlock()
	return nil
}

// isContained reports whether all that the file of s holds is in its compressed
// part as well. f.writing is held.
func (f *Files) isContained(s *segment) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.compressed != nil && s.present && s.written == s.overlap() && s.size == s.written && s.visible == s.written && !s.moved
}

// dropContained removes a file all of whose lines are in the compressed part. The
// removal is on disk before the journal says so: a file that a power loss brought
// back would be taken for late lines. f.writing is held.
func (f *Files) dropContained(s *segment) error {
	if s.file != nil {
		if err := f.shut(s); err != nil {
			return err
		}
	}
	name := Path(s.hour)
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	crashPoint("compress: removed")
	if err := f.syncRemoval(name); err != nil {
		return f.finalOr(err)
	}
	f.mu.Lock()
	s.forgetFile()
	s.base = s.compressed.To
	k := s.stream()
	f.mu.Unlock()
	if f.journal.usable() {
		// Without it the next start finds the same.
		_ = f.journal.add(entry{Kind: kindCompressed, Hours: map[codec.Hour]stream{s.hour: k}}, false)
	}
	return nil
}
