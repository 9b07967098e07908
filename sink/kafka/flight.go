package kafka

// From the batch to the topic and back: which lines travel together, when they
// take off, and what happens when they have arrived or failed.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"logforge/codec"
	"logforge/sink"
)

// tendInterval bounds how long a chunk waits when the group on its way is
// stuck, at one broker of several for example.
const tendInterval = 200 * time.Millisecond

// errAway is why a chunk failed that was never sent.
var errAway = errors.New("kafka was away for longer than kafka.deliveryTimeout, or until the end of the process")

// join copies b into the open chunks of its hours and appends to in the chunks
// it is in. It sends those that are worth sending.
//
// A chunk is sent alone when it is half full, so that large batches wait for
// nobody. All others are sent as a group, one group at a time: at once when
// none is on its way, so that a lone request waits for nobody either, otherwise
// when that one has come back. Under load small requests so find themselves
// together, with no timer and no added delay. (Two groups at a time were
// measured: a third more processor time, and no more records a second.)
//
// While the cluster is away nothing is sent. What franz-go has begun to send it
// cannot give up again, because it cannot know whether the broker has it; what
// was never handed to it can become a dead letter without becoming a duplicate.
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
	if p.client.usable.Load() {
		p.takeOff(ready)
		if p.grouped == 0 {
			ready = p.takeOpen(ready)
		}
	} else {
		p.held = append(p.held, ready...)
		ready = nil
	}
	p.mu.Unlock()
	for _, c := range ready {
		p.send(c)
	}
	return in, nil
}

// takeOff counts chunks that are about to be sent. p.mu is held.
func (p *Producer) takeOff(chunks []*chunk) {
	if p.flying == 0 && len(chunks) > 0 {
		p.moved = time.Now()
	}
	p.flying += len(chunks)
}

// takeOpen appends all open chunks to ready, as a group, unless the cluster is
// away; the caller sends them. p.mu is held.
func (p *Producer) takeOpen(ready []*chunk) []*chunk {
	if len(p.open) == 0 || !p.client.usable.Load() {
		return ready
	}
	n := len(ready)
	for _, c := range p.open {
		c.grouped = true
		ready = append(ready, c)
	}
	clear(p.open)
	p.lastTake = time.Now()
	p.grouped += len(ready) - n
	p.takeOff(ready[n:])
	return ready
}

// takeWaiting appends to ready all chunks that began before a time and are not
// sent, open ones and held ones. The caller gives them up. p.mu is held.
func (p *Producer) takeWaiting(ready []*chunk, before time.Time) []*chunk {
	for key, c := range p.open {
		if c.began.Before(before) {
			ready = append(ready, c)
			delete(p.open, key)
		}
	}
	held := p.held[:0]
	for _, c := range p.held {
		if c.began.Before(before) {
			ready = append(ready, c)
		} else {
			held = append(held, c)
		}
	}
	clear(p.held[len(held):])
	p.held = held
	return ready
}

// send hands c, which has taken off, to franz-go.
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
	if c.err != nil {
		p.fail(c)
		return
	}
	p.latency.Update(now.Sub(c.sent).Seconds())
	p.lines.Add(c.records)
	close(c.done)
	c.free()
}

// giveUp fails a chunk that was never sent.
func (p *Producer) giveUp(c *chunk) {
	c.err = errAway
	c.undelivered = []letter{{value: c.lines}}
	p.fail(c)
}

// fail ends a chunk whose err says why it is not delivered.
func (p *Producer) fail(c *chunk) {
	p.writerErrors.Inc()
	p.log.Error("kafka did not take records", "hour", c.key.hour, "records", c.records, "ack", c.key.ack.String(), "err", c.err)
	if c.key.ack == sink.Enqueued {
		p.dead.add(c) // keeps what was acknowledged, and then frees c
		return
	}
	close(c.done)
	c.free()
}

// tend sends what has waited too long for company, sends what was held when the
// cluster is back, gives up what was held for too long, and notices when
// nothing is acknowledged any more.
func (p *Producer) tend(ctx context.Context) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		change := p.client.change()
		p.tendOnce(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-change:
		}
	}
}

func (p *Producer) tendOnce(now time.Time) {
	var ready, late []*chunk
	var stall error
	p.mu.Lock()
	if d := now.Sub(p.moved); p.flying > 0 && d > p.server.RequestTimeout {
		stall = fmt.Errorf("nothing acknowledged for %s", d.Round(time.Second))
	}
	switch {
	case p.client.usable.Load():
		ready, p.held = p.held, nil
		p.takeOff(ready)
		if now.Sub(p.lastTake) >= tendInterval {
			ready = p.takeOpen(ready)
		}
	default:
		late = p.takeWaiting(nil, now.Add(-p.cfg.DeliveryTimeout))
	}
	p.mu.Unlock()
	p.client.stalled(stall)
	for _, c := range ready {
		p.send(c)
	}
	for _, c := range late {
		p.giveUp(c)
	}
}
