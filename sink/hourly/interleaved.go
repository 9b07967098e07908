package hourly

import (
	"errors"
	"fmt"
)

// What becomes of a write between which and the one before somebody else has
// changed the file. A file is compared with what this process left of it once a
// second; that alone would glue a line to half of one that was put there since.
// So every write is asked where it ended: the kernel answers for the very write,
// whatever happens beside it.

// interleavedError says that a write began elsewhere than where the one before
// had ended. What it wrote is between start and end.
type interleavedError struct {
	start, end int64
	all        bool // it wrote everything there was to write
}

func (e *interleavedError) Error() string { return "somebody else writes to the file" }

// interleavedTries is how often a group is written when somebody else changes the
// file each time.
const interleavedTries = 20

// appendTo appends what was gathered for s, so that it is in lines of its own
// whatever somebody else does to the file meanwhile.
func (f *Files) appendTo(s *segment) error {
	for range interleavedTries {
		err := s.append(&f.scratch)
		e, ok := err.(*interleavedError) //nolint:errorlint // append returns it as it is
		if !ok {
			return err
		}
		written, err := f.takeInterleaved(s, e)
		if err == nil && s.journaled == unknown {
			err = f.note([]*segment{s})
		}
		if err != nil {
			return err
		}
		if written {
			s.forgetParts()
			return nil
		}
	}
	return errors.New("somebody else writes to it all the time")
}

// takeInterleaved takes what somebody else has done to the file as it is, and
// reports whether what was written behind it can stay there. If not it is taken
// off, and has to be written again.
//
//	0 … written … size … start … end … the file's end
//	    earlier parts  theirs  ours  theirs
func (f *Files) takeInterleaved(s *segment, e *interleavedError) (stays bool, err error) {
	expected := s.size
	st, err := s.file.Stat()
	s.size = max(e.end, st.Size) // what there is to be cut off after an error
	if err != nil {
		return false, err
	}
	if st.Size > e.end {
		if err := f.keep(s.file, s.hour, e.end, st.Size); err != nil {
			return false, fmt.Errorf("keeping what somebody else has added: %w", err)
		}
	}
	if e.all && e.start > expected {
		if err := f.adopt(s, e.start, s.written); err != nil {
			return false, err
		}
		if s.written == e.start { // whole lines
			s.size, s.added = e.end, e.end-e.start
			return true, nil
		}
		return false, nil
	}
	if e.start > expected {
		if err := f.keep(s.file, s.hour, expected, e.start); err != nil {
			return false, fmt.Errorf("keeping what somebody else has added: %w", err)
		}
	}
	left := min(s.written, e.start)
	if err := s.file.Truncate(left); err != nil {
		return false, err
	}
	s.size = left
	return false, f.adopt(s, left, s.written)
}
