package kafka

// From Kafka records to batches: pieces of one partition each, decoded by
// kafka.consumers goroutines, handed back in the order in which they came.

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
)

// pieceBytes is how much of a partition is decoded and appended at once: enough
// that a write to a file is worth its call, little enough that the batch stays in
// the processor's cache between the two.
const pieceBytes = 512 << 10

// piece is a row of records of one partition.
type piece []*kgo.Record

// cut appends records to work, in pieces.
func cut(work []piece, records []*kgo.Record) []piece {
	from, size := 0, 0
	for i, r := range records {
		if size > 0 && size+len(r.Value) > pieceBytes {
			work = append(work, records[from:i])
			from, size = i, 0
		}
		size += len(r.Value)
	}
	return append(work, records[from:])
}

// result is a decoded piece.
type result struct {
	batch *codec.Batch
	dead  []*kgo.Record // dead letters
	bytes int64         // of the values
}

// decoding is the goroutines that decode.
type decoding struct {
	limits codec.Limits
	ahead  int
	jobs   chan *job
	idle   sync.WaitGroup
}

type job struct {
	piece  piece
	result result
	done   chan struct{}
}

// newDecoding starts n goroutines. The caller closes it.
func newDecoding(n int, limits codec.Limits) *decoding {
	d := &decoding{limits: limits, ahead: 2 * n, jobs: make(chan *job, 2*n)}
	for range n {
		d.idle.Go(func() {
			for j := range d.jobs {
				j.result = decode(j.piece, d.limits)
				close(j.done)
			}
		})
	}
	return d
}

func (d *decoding) close() {
	close(d.jobs)
	d.idle.Wait()
}

// run decodes work and calls put for each piece, in order. A result is valid
// during the call only, but for its dead letters. It returns put's first error,
// and puts nothing after it.
func (d *decoding) run(work []piece, put func(*result) error) error {
	if len(work) == 1 { // nothing to do meanwhile
		r := decode(work[0], d.limits)
		defer codec.PutBatch(r.batch)
		return put(&r)
	}
	jobs := make([]*job, 0, len(work))
	next := func() {
		if len(jobs) < len(work) {
			j := &job{piece: work[len(jobs)], done: make(chan struct{})}
			jobs = append(jobs, j)
			d.jobs <- j
		}
	}
	for range d.ahead {
		next()
	}
	var failed error
	for i := 0; i < len(jobs); i++ {
		j := jobs[i]
		<-j.done
		if failed == nil {
			failed = put(&j.result)
		}
		codec.PutBatch(j.result.batch)
		jobs[i] = nil
		if failed == nil {
			next()
		}
	}
	return failed
}

// decode reads the lines of records: one each, or many. An empty value has none.
// The records are used up.
func decode(records []*kgo.Record, limits codec.Limits) result {
	r := result{batch: codec.GetBatch()}
	for _, rec := range records {
		r.bytes += int64(len(rec.Value))
		if len(rec.Value) > 0 {
			bad := grave{of: rec}
			r.batch.AppendLines(rec.Value, limits, bad.add)
			r.dead = append(r.dead, bad.letters()...)
		}
		rec.Recycle()
	}
	r.batch.Runs() // now, and not when it is appended
	return r
}
