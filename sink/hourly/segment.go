package hourly

import (
	"io"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// segment is one hour's file. How much of it is where is told by lengths, in
// bytes of the file:
//
//	visible ≤ written ≤ size    readers may see it; written; left by a failed write
//	synced, journaled           on disk under the hour's name; known to the journal
//
// It has to be synced while written > synced, is part of an undecided transaction
// while written > visible, and has to be cut while size > written.
//
// Files.writing guards all of it; what a sync or a reader looks at is changed
// with Files.mu held as well.
type segment struct {
	hour codec.Hour

	// generation and base say which stream the file holds: its first byte has
	// the offset base, which is negative where it holds older lines as well.
	generation uint64
	base       int64

	// compressed is the part of the hour that is in another file, before base; nil
	// if there is none. next is what it becomes once the swap that the journal
	// announces has come to its end.
	compressed, next *compressed

	visible, written, synced int64
	started                  int64 // up to where the kernel was asked to begin writing to the disk
	size                     int64
	journaled                int64 // unknown: not in the journal

	file    *handle // nil while closed
	cuts    int     // counts truncations: a sync under way says nothing after one
	present bool    // has a file
	named   bool    // its name is on disk, or in Files.dirs
	moved   bool    // the file's name leads elsewhere
	tail    uint32  // checksum of the end of the file, when it was closed

	// quietAt is when to look next whether the hour can be compressed.
	quietAt time.Time
	// ahead is when retention first saw that the file's last change is still to
	// come; zero if it is not.
	ahead time.Time

	used  uint64        // the batch that touched it last
	seen  uint64        // used, when last looked at
	idle  time.Duration // since then
	slice uint64        // the slice of a group that it is written in

	// Of the group being written.
	parts  [][]byte
	before int64 // written, before the group
	added  int64 // written by the slice, and not yet in written
}

// handle is an open file, used by syncs and readers beside the writer. It is
// closed once nobody uses it any more.
type handle struct {
	durable.File
	users   int  // guarded by Files.mu
	retired bool // to be closed by the last of them
}

// use keeps the segment's file open until done. f.mu is held.
func (s *segment) use() *handle {
	s.file.users++
	return s.file
}

// onDisk returns how much of the file is on disk under the hour's name. A sync may
// raise it at any time.
func (f *Files) onDisk(s *segment) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.synced
}

// done ends a use.
func (f *Files) done(h *handle) {
	f.mu.Lock()
	h.users--
	last := h.retired && h.users == 0
	f.mu.Unlock()
	if last {
		_ = h.File.Close() // what mattered of it is in another file
	}
}

// retire closes the file, or leaves that to the last who uses it.
func (f *Files) retire(h *handle) error {
	f.mu.Lock()
	h.retired = true
	used := h.users > 0
	f.mu.Unlock()
	if used {
		return nil
	}
	return h.File.Close()
}

// unknown is the journaled length of a file that the journal does not know.
const unknown = -1

// joinBytes is up to which size the parts of a write are copied together: below
// it one copy costs less than the kernel's work on each part.
const joinBytes = 64 << 10

// append writes the parts gathered for the segment at its end, and forgets them.
// After an error size says what the file may hold. After an interleavedError the
// parts are still there.
func (s *segment) append(scratch *[]byte) error {
	total := 0
	for _, p := range s.parts {
		total += len(p)
	}
	if len(s.parts) > 1 && total <= joinBytes {
		buf := (*scratch)[:0]
		for _, p := range s.parts {
			buf = append(buf, p...)
		}
		*scratch = buf
		s.forgetParts()
		s.parts = append(s.parts, buf)
	}
	for i, off := 0, 0; i < len(s.parts); {
		part := s.parts[i]
		s.parts[i] = part[off:]
		n, err := s.file.Writev(s.parts[i:min(len(s.parts), i+maxParts)])
		s.parts[i] = part
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			s.forgetParts()
			return err
		}
		end, err := s.file.End()
		if err != nil {
			s.size += int64(n)
			s.forgetParts()
			return err
		}
		if end != s.size+int64(n) {
			return &interleavedError{start: end - int64(n), end: end, all: n == total}
		}
		s.size = end
		i, off = advance(s.parts, i, off+n)
	}
	s.added = int64(total)
	s.forgetParts()
	return nil
}

// forgetParts lets go of the batches that the parts belong to.
func (s *segment) forgetParts() {
	clear(s.parts)
	s.parts = s.parts[:0]
}

// maxParts is the kernel's limit on one writev (IOV_MAX).
const maxParts = 1024

// advance returns the place n bytes behind the beginning of parts[i]: a part, and
// the offset in it.
func advance(parts [][]byte, i, n int) (part, off int) {
	for i < len(parts) && n >= len(parts[i]) {
		n -= len(parts[i])
		i++
	}
	return i, n
}

// extent returns what followers may read of the segment.
func (s *segment) extent() Extent {
	return Extent{s.hour, s.generation, max(min(s.visible, s.synced)+s.base, 0)}
}
