package kafka

// From the batch to the topic and back: which lines travel together, when they
// take off, and what happens when they have arrived or failed.

import (
	"context"
	"time"

	"logforge/codec"
	"logforge/sink"
)

// tendInterval bounds how long a chunk waits when the group on its way is
// stuck, at one broker of several for example.
const tendInterval = 200 * time.Millisecond

// join copies b into the open chunks of its hours and appends to in the chunks
// it is in. It sends those that are worth sending.
//
// A chunk is sent alone when it is half full, so that large batches wait for
// nobody. All others are sent as a group, one group at a time: at once when
// none is on its way, so that a lone request waits for nobody either, otherwise
// when that one has come back. Under load small requests so find themselves
// together, with no timer and no added delay. (Two groups at a time were
// measured: a third more processor time, and no more records a second.)
func (p *Producer) join(b *codec.Batch, ack sink.Ack, in []*chunk) ([]*chunk, error) {
	var few [4]*chunk
	ready := few[:0]
	charge, parts := p.charge(b), int64(0)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.release(charge)
		return nil, sink.ErrClosed
	}
	for _, run := range b.Runs() {
		key := chunkKey{run.Hour, ack}
		for lines := b.Lines(run); len(lines) > 0; {
			n := wholeLines(lines, p.chunkBytes)
			c := p.open[key]
			if c != nil && len(c.lines)+n > p.chunkBytes {
				ready = append(ready, c)
				c = nil
			}
			if c == nil {
				c = newChunk(p, key)
				p.settling.Add(1)
				p.open[key] = c
			}
			c.join(lines[:n], run, n == len(b.Lines(run)))
			part := charge * int64(n) / int64(b.Len())
			c.charged += part
			parts += part
			in = append(in, c)
			if len(c.lines) >= p.chunkBytes/2 {
				ready = append(ready, c)
				delete(p.open, key)
			}
			lines = lines[n:]
		}
	}
	in[0].charged += charge - parts // what the divisions left over
	if len(ready) > 0 && p.flying == 0 {
		p.moved = time.Now()
	}
	p.flying += len(ready)
	if p.grouped == 0 {
		ready = p.takeOpen(ready)
	}
	p.mu.Unlock()
	for _, c := range ready {
		p.send(c)
	}
	return in, nil
}

// takeOpen appends all open chunks to ready, as a group; they are open no
// longer, and the caller sends them. p.mu is held.
func (p *Producer) takeOpen(ready []*chunk) []*chunk {
	if len(p.open) == 0 {
		return ready
	}
	p.lastTake = time.Now()
	if p.flying == 0 {
		p.moved = p.lastTake
	}
	p.flying += len(p.open)
	p.grouped += len(p.open)
	for _, c := range p.open {
		c.grouped = true
		ready = append(ready, c)
	}
	clear(p.open)
	return ready
}

// send hands c to franz-go.
func (p *Producer) send(c *chunk) {
	records := c.cut(int(p.cfg.RecordBytes))
	keep := min(c.charged, int64(cap(c.lines)+chunkOverhead+len(records)*recordOverhead))
	p.release(c.charged - keep)
	c.charged = keep
	c.sent = time.Now()
	number := p.next.Add(1)
	c.left.Store(int32(len(records)))
	for i := range records {
		records[i].Partition = number // for the partitioner
		// Not the request's context: a record that ends early takes with it
		// whatever else waits for its partition.
		p.client.Produce(context.Background(), &records[i], c.promise)
	}
}

// settle is called when the last of c's Kafka records has been acknowledged or
// has finally failed.
func (p *Producer) settle(c *chunk) {
	now := time.Now()
	var ready []*chunk
	p.mu.Lock()
	p.flying--
	p.moved = now
	if c.grouped {
		p.grouped--
	}
	if p.grouped == 0 {
		ready = p.takeOpen(nil)
	}
	p.mu.Unlock()
	for _, ch := range ready {
		p.send(ch)
	}
	switch {
	case c.err == nil:
		p.latency.Update(now.Sub(c.sent).Seconds())
		p.lines.Add(c.records)
	default:
		p.writerErrors.Inc()
		p.log.Error("kafka did not take records", "hour", c.key.hour, "records", c.records, "ack", c.key.ack.String(), "err", c.err)
		if c.key.ack == sink.Enqueued {
			p.dead.add(c) // takes the chunk's memory, and frees it
			return
		}
	}
	close(c.done)
	c.free()
}

// tend sends what has waited too long for company, and notices when nothing is
// acknowledged any more.
func (p *Producer) tend(ctx context.Context) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			var ready []*chunk
			var stuck time.Duration
			p.mu.Lock()
			if p.flying > 0 && now.Sub(p.moved) > p.server.RequestTimeout {
				stuck = now.Sub(p.moved)
			}
			if now.Sub(p.lastTake) >= tendInterval {
				ready = p.takeOpen(nil)
			}
			p.mu.Unlock()
			p.stuck.Store(int64(stuck))
			for _, c := range ready {
				p.send(c)
			}
		}
	}
}
