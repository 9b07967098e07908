package hourly

import (
	"cmp"
	"context"
	"errors"
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

// Extents puts what has been written on disk and returns every hour that has a
// file, compressed or not, in ascending order, as far as that has come: nothing
// that was read of an extent is lost with the power. Length is 0 for a file that
// was emptied.
func (f *Files) Extents() []Extent {
	f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	extents := make([]Extent, 0, len(f.segments))
	for _, s := range f.segments {
		if s.stored() {
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

// nextGeneration returns a number above all that were ever given in this
// directory. It counts in milliseconds since 1970, so that this holds also for a
// directory whose journal was lost.
func (f *Files) nextGeneration() uint64 {
	return max(f.newest+1, uint64(time.Now().UnixMilli()))
}

// Sync puts everything that has been written on disk.
func (f *Files) Sync() error { return f.syncs.Do(context.Background(), nil, true) }
