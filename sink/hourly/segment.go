package hourly

import (
	"io"
	"time"

	"logforge/codec"
)

// segment is one hour's file. All of it is guarded by Files.mu, but for file
// while users is above zero: it then stays open.
type segment struct {
	hour codec.Hour
	// generation and base say which stream the file holds: its first byte has
	// the offset base, which is negative where it holds older lines as well.
	generation uint64
	base       int64
	// length is what readers may see: whole lines, up to here.
	length int64
	// tail is where the file ends: length, and what an undecided transaction
	// has appended behind it.
	tail int64

	file      file          // nil while closed
	used      uint64        // the group that touched it last
	seen      uint64        // used, when last looked at
	idle      time.Duration // since then
	users     int           // syncs under way on file
	present   bool          // has a file
	listed    bool          // the next sync, or an earlier one, puts its name on disk
	dirty     bool          // written to since the last sync began
	synced    int64         // on disk up to here
	journaled uint64        // the journal round that knows the file
	floored   int64         // what that journal says of it
	exact     bool          // and does it say open rather than floor
	inTx      bool          // has grown in the undecided transaction

	// Of the group being written.
	parts  [][]byte
	before int64 // tail before it
}

// gatherBytes is up to which size the parts of a write are copied together: below
// it one copy costs less than the kernel's work on each part.
const gatherBytes = 64 << 10

// append writes the parts gathered for the segment at its end, and lets go of
// them. On an error the file may hold a part of them: see cut.
func (s *segment) append(scratch *[]byte) error {
	parts := s.parts
	total := 0
	for _, p := range parts {
		total += len(p)
	}
	if len(parts) > 1 && total <= gatherBytes {
		buf := (*scratch)[:0]
		for _, p := range parts {
			buf = append(buf, p...)
		}
		*scratch = buf
		parts = append(parts[:0], buf)
	}
	for left := total; left > 0; {
		n, err := s.file.writev(parts[:min(len(parts), maxParts)])
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			s.drop()
			return err
		}
		left -= n
		parts = advance(parts, n)
	}
	s.tail += int64(total)
	s.drop()
	return nil
}

// drop forgets the parts, so that no batch is held beyond its write.
func (s *segment) drop() {
	clear(s.parts)
	s.parts = s.parts[:0]
}

// maxParts is the kernel's limit on one writev (IOV_MAX).
const maxParts = 1024

// advance removes the first n bytes from parts. It changes parts.
func advance(parts [][]byte, n int) [][]byte {
	for n > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}

// cut takes the file back to size. It never makes a file longer: one that
// somebody else has shortened stays as it is.
func (s *segment) cut(size int64) error {
	st, err := s.file.stat()
	if err != nil {
		return err
	}
	if st.size > size {
		if err := s.file.truncate(size); err != nil {
			return err
		}
	}
	s.tail = min(size, st.size)
	s.synced = min(s.synced, s.tail)
	return nil
}
