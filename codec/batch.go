package codec

import (
	"sync"
	"sync/atomic"
	"time"
)

// Run is the part of a Batch whose records fall into one hour: whole canonical
// lines, in the order in which they arrived.
type Run struct {
	Hour    Hour
	Records int
	// start and end bound the lines within the batch's buffer.
	start, end int
}

// Batch is canonical NDJSON, divided into one Run per hour. It is filled by Decode
// or AppendLines, handed to a sink, and used again: a Batch and every slice it
// gives out are valid until its next Decode, AppendLines, Reset or PutBatch. A
// Batch is not safe for concurrent use; but as long as none of those is called,
// any number of goroutines may read it, once Runs has been called after the
// last AppendLines.
type Batch struct {
	buf     []byte
	records int
	counted int  // bytes of the workspace that room has been asked for
	room    Room // is asked before the batch takes memory; nil: it is not counted
	arrived int  // of them, those that have the time of arrival

	// runs divide buf, in its order. While lines are being added an hour may
	// have several; unsorted says that they are to be regrouped.
	runs     []Run
	unsorted bool

	// What decoding works with, and leaves for the next.
	rules   Rules // of Decode and AppendLines, which are told the limits only
	clock   clock
	commas  [64]int  // in the piece that canonical copies next
	skipped [16]span // in the body: members that asBefore compares with
	scratch []byte   // single values; and buf's twin when runs are regrouped
	arrival []byte   // the time of arrival, once it has been needed
	extra   []byte   // the extra members of a record, each after a comma
	spare   []Run    // runs' twin
	scan    scanner
	now     time.Time // of records without a time
	bounds  interval  // of the records' times, where they have any
	noRoom  error     // of room, if that ended the decoding

	// Between Begin and End.
	one    decoder
	before []byte      // extra members that come before those of the record
	last   RecordError // of the last record that was not added

	// What reading the bodies of shippers works with.
	outer, inner object // records, and objects in their members
	log          logLine
	recent       recent
	shape        shape
	envelope     envelope
	common       commonHour
	moment       [32]byte // the last time that was not RFC 3339
	plain        []byte   // a string without its escapes
	converted    []byte   // a record written anew as JSON
	extended     extended
	columns      []column // of CSV
	names        []byte   // theirs
	headed       bool     // they are those of a header line
	order        []uint8  // the columns of a CSV body

	shippers        bool // it may have grown since it was given back
	heldForShippers int  // shipperMemory, when it was given back

	keepers atomic.Int32 // owners beside the first; see Keep
	atEnd   func()       // is called by the last PutBatch; nil: nothing is
}

// span is a part of a body.
type span struct{ start, end int }

// Records returns how many records the batch holds.
func (b *Batch) Records() int { return b.records }

// ArrivalTimes returns how many of the records had no time of their own and got
// the time at which the batch arrived.
func (b *Batch) ArrivalTimes() int { return b.arrived }

// Runs returns one Run per hour, in ascending order of the hour. It is valid
// as long as the batch is unchanged.
func (b *Batch) Runs() []Run {
	b.regroup()
	return b.runs
}

// Lines returns the canonical lines of r, each ending in a newline.
func (b *Batch) Lines(r Run) []byte { return b.buf[r.start:r.end:r.end] }

// Len returns the bytes of all lines together.
func (b *Batch) Len() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf, b.runs, b.records, b.arrived, b.unsorted = b.buf[:0], b.runs[:0], 0, 0, false
}

// retained is how much memory, in bytes, a batch in the pool may keep. A batch
// of 1,000 records with its regrouping is some 0.4 MB and of 10,000 some 4 MB:
// those are what shippers send all day, and are decoded without an allocation.
// Above it the allocation is little beside the decoding, and a few clients
// with large bodies must not leave the process holding memory for hundreds.
const retained = 4 << 20

// pools hold batches by the memory they keep: up to 64 KiB, 256 KiB, 1 MiB, and
// 4 MiB. A small body so does not hold the memory of a large one.
var pools [4]sync.Pool

// poolOf returns the pool of batches that keep n bytes.
func poolOf(n int) int {
	i := 0
	for limit := retained >> (2 * (len(pools) - 1)); n > limit && i < len(pools)-1; limit <<= 2 {
		i++
	}
	return i
}

// batches is the pool of batches without a Room, of any size.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// GetBatch returns an empty batch from the pool.
func GetBatch() *Batch { return batches.Get().(*Batch) }

// GetBatchFor returns an empty batch from the pool, for a body of n bytes. It asks
// room for its memory, until PutBatch.
func GetBatchFor(n int, room Room) *Batch {
	first := poolOf(n)
	for i := first; i < min(first+2, len(pools)); i++ { // a batch for such a body may have grown into the next pool
		if b, ok := pools[i].Get().(*Batch); ok {
			if held := b.held(); room != nil && held > 0 && !room.Reuse(held) {
				break
			}
			b.room, b.counted = room, b.workspace()
			return b
		}
	}
	return &Batch{room: room}
}

// Keep gives the batch one more owner: its memory is used again only after a
// PutBatch of each of them. A sink calls it when it still reads a batch whose
// writer has stopped waiting.
func (b *Batch) Keep() { b.keepers.Add(1) }

// AtEnd makes the PutBatch of the last owner call f. It is called by an owner, and
// forgotten after that.
func (b *Batch) AtEnd(f func()) { b.atEnd = f }

// PutBatch gives the batch back. The caller must not use it, nor any slice it
// gave out, afterwards: built with the tag poison, its memory is overwritten.
func PutBatch(b *Batch) {
	if b.keepers.Load() > 0 {
		if b.keepers.Add(-1) >= 0 {
			return // another owner still reads it
		}
		b.keepers.Store(0)
	}
	poison(b)
	if b.shippers {
		b.heldForShippers = b.shipperMemory()
		b.shippers = false
	}
	pool, n := &batches, b.held()
	if b.room != nil {
		pool = &pools[poolOf(n)]
		b.room = nil
	}
	f := b.atEnd
	if f != nil {
		b.atEnd = nil
	}
	if n <= retained {
		b.Reset()
		pool.Put(b)
	}
	if f != nil {
		f() // after the memory has gone to the pool or the garbage collector
	}
}

// runBytes is the size of a Run.
const runBytes = 32

// held returns the bytes of memory that b keeps.
func (b *Batch) held() int {
	return b.workspace() + cap(b.buf) + runBytes*(cap(b.runs)+cap(b.spare))
}

// workspace returns the bytes of memory that single records are worked on in.
func (b *Batch) workspace() int {
	forShippers := b.heldForShippers
	if b.shippers {
		forShippers = b.shipperMemory()
	}
	return forShippers + cap(b.extra) + 8*cap(b.scan.nesting) + cap(b.scan.name) + cap(b.order) + cap(b.scratch)
}

// shipperMemory returns how much of it is for bodies of shippers.
func (b *Batch) shipperMemory() int {
	const memberBytes, columnBytes = 24, 48
	return cap(b.plain) + cap(b.converted) + cap(b.names) + cap(b.extended.names) + columnBytes*(cap(b.columns)+cap(b.extended.columns)) +
		memberBytes*(cap(b.outer.members)+cap(b.inner.members))
}
