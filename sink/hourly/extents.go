package hourly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
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

// Extents puts what has been written on disk and returns every hour that has a
// file, in ascending order, as far as that has come: nothing that was read of an
// extent is lost with the power. Length is 0 for a file that was emptied.
func (f *Files) Extents() []Extent {
	f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	extents := make([]Extent, 0, len(f.segments))
	for _, s := range f.segments {
		if s.present {
			extents = append(extents, s.extent())
		}
	}
	slices.SortFunc(extents, func(a, b Extent) int { return cmp.Compare(a.Hour, b.Hour) })
	return extents
}

// settle puts what has been written on disk and notes that in the journal, so
// that a file that is shortened later is told also after a crash. What fails of
// it is said by Ready, and extents do not grow.
func (f *Files) settle() {
	f.mu.Lock()
	dirty := false
	for _, s := range f.open {
		dirty = dirty || s.visible > s.synced
	}
	f.mu.Unlock()
	if dirty && f.syncs.Do(context.Background(), nil, false) != nil {
		return
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.writable() == nil {
		_ = f.raiseFloors()
	}
}

// Reader reads the bytes [from, e.Length) of e's generation: whole lines, if from
// is where a line begins. The error is ErrGone, also of a later Read, when that
// generation is no longer there. The caller has to close it.
func (f *Files) Reader(e Extent, from int64) (io.ReadCloser, error) {
	if from < 0 || from > e.Length {
		return nil, fmt.Errorf("%s: offset %d of %d", e.Hour, from, e.Length)
	}
	f.mu.Lock()
	root := f.root
	f.mu.Unlock()
	file, err := root.Open(Path(e.Hour), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, &failure{kindOf(err), err}
	}
	base, err := f.confirm(e, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &extentReader{file: file, at: from - base, end: e.Length - base}, nil
}

// confirm returns the base of e's generation if file is its file.
func (f *Files) confirm(e Extent, file durable.File) (base int64, err error) {
	f.mu.Lock()
	s := f.segments[e.Hour]
	if s == nil || !s.present || s.generation != e.Generation || s.extent().Length < e.Length {
		f.mu.Unlock()
		return 0, ErrGone
	}
	base = s.base
	length, want := s.written, s.tail // of the closed file
	var open *handle
	if s.file != nil {
		open, length = s.use(), e.Length-base
	}
	f.mu.Unlock()
	if open != nil {
		want, err = tailSum(open, length)
		f.done(open)
	}
	if err != nil || length == 0 {
		return base, err
	}
	sum, err := tailSum(file, length)
	if err == nil && sum != want {
		err = ErrGone // replaced, and not noticed yet
	}
	return base, err
}

// extentReader reads a part of one file.
type extentReader struct {
	file    durable.File
	at, end int64
}

func (r *extentReader) Read(p []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.end-r.at)], r.at)
	if err == nil && n == 0 && len(p) > 0 {
		err = ErrGone // shortened by somebody else
	} else if err != nil {
		err = &failure{kindOf(err), err}
	}
	r.at += int64(max(n, 0))
	return max(n, 0), err
}

func (r *extentReader) Close() error { return r.file.Close() }

// nextGeneration returns a number above all that were ever given in this
// directory. It counts in milliseconds since 1970, so that this holds also for a
// directory whose journal was lost.
func (f *Files) nextGeneration() uint64 {
	return max(f.newest+1, uint64(time.Now().UnixMilli()))
}

// Sync puts everything that has been written on disk.
func (f *Files) Sync() error { return f.syncs.Do(context.Background(), nil, true) }
