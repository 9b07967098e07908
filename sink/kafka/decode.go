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

// piece is a run of records of one partition.
type piece struct {
	part    *part
	records []*kgo.Record
	next    int64 // the offset after the last of them
	epoch   int32 // of the last one's leader
}

// splitPieces appends records to work, in pieces of at most count records.
func splitPieces(work []piece, p *part, records []*kgo.Record, count int) []piece {
	from, size := 0, 0
	end := func(to int) {
		last := records[to-1]
		work = append(work, piece{p, records[from:to], last.Offset + 1, last.LeaderEpoch})
		from, size = to, 0
	}
	for i, r := range records {
		if i > from && (size+len(r.Value) > pieceBytes || i-from >= count) {
			end(i)
		}
		size += len(r.Value)
	}
	end(len(records))
	return work
}

// result is a decoded piece.
type result struct {
	piece piece // its records have been given back to franz-go
	batch *codec.Batch
	dead  []*kgo.Record // dead letters
	bytes int64         // of the values
}

// decoding is a group of goroutines that decode.
type decoding struct {
	limits  codec.Limits
	ahead   int // how many pieces may be decoded, or wait to be, before the first of them is put
	jobs    chan *job
	workers sync.WaitGroup
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
		d.workers.Go(func() {
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
	d.workers.Wait()
}

// run decodes work and calls put for each piece, in order. A result is valid
// during the call only, except for its dead letters. run returns the first error of
// put, which it does not call again after one.
func (d *decoding) run(work []piece, put func(*result) error) error {
	if len(work) == 1 { // no other piece could be decoded meanwhile
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

// decode reads the lines of a piece's records: one each, or many. An empty value
// has none, and neither has the control record of a transaction. The records go
// back to franz-go's pool.
func decode(p piece, limits codec.Limits) result {
	r := result{piece: p, batch: codec.GetBatch()}
	var bad badLines
	add := bad.add // made once: a method value allocates
	for _, rec := range p.records {
		if !rec.Attrs.IsControl() && len(rec.Value) > 0 {
			r.bytes += int64(len(rec.Value))
			bad.of = rec
			r.batch.AppendLines(rec.Value, limits, add)
			if len(bad.lines) > 0 {
				r.dead = append(r.dead, bad.letters()...)
				bad = badLines{}
			}
		}
		rec.Recycle()
	}
	r.batch.Runs() // regroups here, in parallel, rather than when it is appended
	return r
}
