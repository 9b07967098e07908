package hourly

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"logforge/codec"
)

// Extent is one hour's stream of canonical lines, as far as it is committed.
//
// An offset is one in this stream, not in a file: it stays what it is when the
// file is compressed. Generation tells the stream from an earlier one of the
// same hour. A file that was removed, replaced or shortened and goes on is a new
// generation with a larger number, whose stream begins at 0; no offset of one
// generation means anything in another. Generations are compared within an hour
// only, and are kept in the journal.
type Extent struct {
	Hour       codec.Hour
	Generation uint64 // never 0
	Length     int64  // bytes: whole lines, decided
}

// ErrGone is returned for a generation that is no longer there.
var ErrGone = errors.New("the hour's file was removed or replaced")

// Extents returns every hour that has a file, in ascending order. Length is 0
// for a file that was emptied.
func (f *Files) Extents() []Extent {
	f.mu.Lock()
	defer f.mu.Unlock()
	extents := make([]Extent, 0, len(f.segments))
	for _, s := range f.segments {
		if s.present {
			extents = append(extents, Extent{s.hour, s.generation, s.length + s.base})
		}
	}
	slices.SortFunc(extents, func(a, b Extent) int { return int(a.Hour - b.Hour) })
	return extents
}

// Reader reads the bytes [from, e.Length) of e's generation: whole lines, if from
// is where a line begins. The error is ErrGone, also of a later Read, when that
// generation is no longer there. The caller has to close it.
func (f *Files) Reader(e Extent, from int64) (io.ReadCloser, error) {
	if from < 0 || from > e.Length {
		return nil, fmt.Errorf("%s: offset %d of %d", e.Hour, from, e.Length)
	}
	f.mu.Lock()
	s := f.segments[e.Hour]
	if s == nil || !s.present || s.generation != e.Generation || s.length+s.base < e.Length {
		f.mu.Unlock()
		return nil, ErrGone
	}
	base := s.base
	f.mu.Unlock()

	file, err := f.disk.open(filepath.Join(f.cfg.LogsDir, Path(e.Hour)), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	return &extentReader{file: file, at: from - base, end: e.Length - base}, nil
}

// extentReader reads a part of one file.
type extentReader struct {
	file    file
	at, end int64
}

func (r *extentReader) Read(p []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	n, err := r.file.readAt(p[:min(int64(len(p)), r.end-r.at)], r.at)
	if err == nil && n == 0 && len(p) > 0 {
		err = ErrGone // shortened by somebody else
	}
	r.at += int64(max(n, 0))
	return max(n, 0), err
}

func (r *extentReader) Close() error { return r.file.close() }

// newGeneration returns a number above all that were ever given in this
// directory. It counts in milliseconds since 1970, so that this holds also for a
// directory whose journal was lost.
func (f *Files) newGeneration() uint64 {
	f.newest = max(f.newest+1, uint64(time.Now().UnixMilli()))
	return f.newest
}

// beginGeneration makes what the segment's file holds from byte start on, and
// what will follow, a new stream.
func (f *Files) beginGeneration(s *segment, start int64) {
	s.generation, s.base, s.journaled = f.newGeneration(), -start, 0
}

// Sync returns when everything that Extents has shown before is on disk. A
// follower calls it before it passes lines on: after a power loss an hour could
// otherwise go on with other lines at the same offsets.
func (f *Files) Sync() error { return f.syncs.Do(struct{}{}, true) }
