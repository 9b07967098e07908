package codec

import "sync"

// Run is the part of a Batch whose records fall into one hour: whole canonical
// lines, in the order in which they arrived.
type Run struct {
	Hour    Hour
	Records int
	// start and end bound the lines within the batch's buffer.
	start, end int
}

// Batch is canonical NDJSON, cut into one Run per hour. It is filled by Decode
// or AppendLines, handed to a sink, and used again: a Batch and every slice it
// gives out are valid until its next Decode, Reset or PutBatch. A Batch is not
// safe for concurrent use.
type Batch struct {
	buf     []byte
	runs    []Run
	records int
}

// Records returns how many records the batch holds.
func (b *Batch) Records() int { return b.records }

// Runs returns one Run per hour, in ascending order of the hour.
func (b *Batch) Runs() []Run { return b.runs }

// Lines returns the canonical lines of r, each ending in a newline.
func (b *Batch) Lines(r Run) []byte { return b.buf[r.start:r.end:r.end] }

// Len returns the bytes of all lines together.
func (b *Batch) Len() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	b.buf, b.runs, b.records = b.buf[:0], b.runs[:0], 0
}

var batches = sync.Pool{New: func() any { return new(Batch) }}

// GetBatch returns an empty batch from the pool.
func GetBatch() *Batch { return batches.Get().(*Batch) }

// PutBatch gives the batch back. The caller must not use it, nor any slice it
// gave out, afterwards.
func PutBatch(b *Batch) {
	b.Reset()
	batches.Put(b)
}
