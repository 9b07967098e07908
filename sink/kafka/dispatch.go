package kafka

// From the batch to the topic and back: which lines travel together, when they
// are sent, and what happens when they have arrived or failed.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"logforge/codec"
	"logforge/sink"
)

const (
	// tendInterval bounds how long a chunk waits when the group on its way is
	// stuck, at one broker of several for example.
	tendInterval = 200 * time.Millisecond
	// maxTries is how often a chunk is sent that the topic refuses for its size,
	// or that was on its way when the topic was made again.
	maxTries = 10
)

// errAway is the error of a chunk that was never sent.
var errAway = errors.New("kafka was away for longer than kafka.deliveryTimeout, or until the end of the process")

// join copies b into the open chunks of its hours, and sends the chunks that are
// full enough. It returns in with the chunks appended that have a part of b.
// charge is what b takes of the producer's buffer, in bytes; the chunks give it back.
//
// A chunk is sent alone when it is half full, so that large batches do not
// wait. All others are sent as a group, one group at a time: at once when none is
// in flight, so that a lone request does not wait either, otherwise when the one
// in flight has its outcome. Under load small requests thus share a group, with
// no timer and no added delay. (Two groups at a time cost a third more processor
// time, and gave no more records a second.)
//
// While the cluster is away nothing is sent. What franz-go has begun to send it
// cannot give up again, because it cannot know whether the broker has it; what
// was never handed to it can become a dead letter without becoming a duplicate.
func (p *Producer) join(b *codec.Batch, charge int64, ack sink.Ack, in []*chunk) ([]*chunk, error) {
	var few [4]*chunk
	ready := few[:0]
	size, parts := p.chunkBytes(), int64(0)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.release(charge)
		return nil, sink.ErrClosed
	}
	for _, run := range b.Runs() {
		key := chunkKey{run.Hour, ack}
		for lines := b.Lines(run); len(lines) > 0; {
			n := wholeLines(lines, size)
			c := p.open[key]
			if c != nil && len(c.lines)+n > size {
				ready = append(ready, c)
				c = nil
			}
			if c == nil {
				c = newChunk(p, key)
				p.unsettled.Add(1)
				p.open[key] = c
			}
			before := c.records
			c.join(lines[:n], run, n == len(b.Lines(run)))
			if ack == sink.Enqueued {
				c.place += p.dead.room.need(n, c.records-before)
			}
			part := charge * int64(n) / int64(b.Len())
			c.charged += part
			parts += part
			in = append(in, c)
			if len(c.lines) >= size/2 {
				ready = append(ready, c)
				delete(p.open, key)
			}
			lines = lines[n:]
		}
	}
	in[0].charged += charge - parts // the remainders of the divisions
	if p.sendable() {
		p.countDispatched(ready)
		if p.inGroup == 0 {
			ready = p.takeOpen(ready)
		}
	} else {
		p.unsent = append(p.unsent, ready...)
		ready = nil
	}
	p.mu.Unlock()
	for _, c := range ready {
		p.send(c)
	}
	return in, nil
}

// chunkBytes is how many bytes of lines one chunk has at most; one longer line
// is a chunk of its own.
func (p *Producer) chunkBytes() int { return max(int(p.recordBytes.Load()), lineChunkBytes) }

// sendable reports whether chunks may be sent now. p.mu is held.
func (p *Producer) sendable() bool { return p.client.usable.Load() && p.renewal == none }

// countDispatched counts chunks that are about to be sent. p.mu is held.
func (p *Producer) countDispatched(chunks []*chunk) {
	if p.inFlight == 0 && len(chunks) > 0 {
		p.lastProgress = time.Now()
	}
	p.inFlight += len(chunks)
	for _, c := range chunks {
		c.epoch = p.epoch
	}
}

// takeOpen appends all open chunks to ready, as a group, unless nothing may be
// sent; the caller sends them. p.mu is held.
func (p *Producer) takeOpen(ready []*chunk) []*chunk {
	if len(p.open) == 0 || !p.sendable() {
		return ready
	}
	n := len(ready)
	for _, c := range p.open {
		c.inGroup = true
		ready = append(ready, c)
	}
	clear(p.open)
	p.lastDispatch = time.Now()
	p.inGroup += len(ready) - n
	p.countDispatched(ready[n:])
	return ready
}

// takeWaiting appends to ready all chunks that were begun before that time and have
// not been sent. The caller gives them up. p.mu is held.
func (p *Producer) takeWaiting(ready []*chunk, before time.Time) []*chunk {
	for key, c := range p.open {
		if c.began.Before(before) {
			ready = append(ready, c)
			delete(p.open, key)
		}
	}
	unsent := p.unsent[:0]
	for _, c := range p.unsent {
		if c.began.Before(before) {
			ready = append(ready, c)
		} else {
			unsent = append(unsent, c)
		}
	}
	clear(p.unsent[len(unsent):])
	p.unsent = unsent
	return ready
}

// send hands c, which has been counted, to franz-go.
func (p *Producer) send(c *chunk) {
	records := c.kafkaRecords(int(p.recordBytes.Load()))
	keep := min(c.charged, int64(cap(c.lines)+chunkOverhead+len(records)*recordOverhead))
	p.release(c.charged - keep)
	c.charged = keep
	c.sent = time.Now()
	c.tries++
	c.left.Store(int32(len(records)))
	toTopic := p.toTopic.Load()
	for i := range records {
		// Not the request's context: a record that ends early takes with it
		// whatever else waits for its partition.
		toTopic.Produce(context.Background(), &records[i], c.promise)
	}
}

// settle is called when the last of c's Kafka records has been acknowledged or
// has finally failed.
func (p *Producer) settle(c *chunk) {
	now := time.Now()
	var ready []*chunk
	p.mu.Lock()
	p.inFlight--
	p.lastProgress = now
	if c.inGroup {
		p.inGroup--
		c.inGroup = false
	}
	again := c.err != nil && p.sendsAgain(c)
	if again {
		c.again()
		p.unsent = append(p.unsent, c)
	}
	if p.inGroup == 0 {
		ready = p.takeOpen(nil)
	}
	wake := again || p.renewal != none && p.inFlight == 0
	p.mu.Unlock()
	if wake {
		p.wakeTend()
	}
	for _, ch := range ready {
		p.send(ch)
	}
	switch {
	case again:
		return
	case c.err != nil:
		p.fail(c)
		return
	}
	p.client.refused(nil)
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
	if err := classified(c.err); errors.Is(err, sink.ErrRefused) {
		p.client.refused(err)
	}
	if c.key.ack == sink.Enqueued {
		p.dead.add(c) // keeps what was acknowledged, and then frees c
		return
	}
	close(c.done)
	c.free()
}

// tend sends what has waited too long for others to join it, and, when the cluster
// is back, what could not be sent. It gives up what has waited for longer than
// kafka.deliveryTimeout, renews what the client knows of the topic, and notices when
// nothing is acknowledged any more.
func (p *Producer) tend(ctx context.Context) {
	tick := time.NewTicker(tendInterval)
	defer tick.Stop()
	for {
		change := p.client.change()
		p.renew()
		p.tendOnce(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.wake:
		case <-change:
		}
	}
}

func (p *Producer) wakeTend() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Producer) tendOnce(now time.Time) {
	var ready, late []*chunk
	var stall error
	p.mu.Lock()
	if d := now.Sub(p.lastProgress); p.inFlight > 0 && d > p.server.RequestTimeout {
		stall = fmt.Errorf("no acknowledgement for %s", d.Round(time.Second))
	}
	switch {
	case p.sendable():
		ready, p.unsent = p.unsent, nil
		p.countDispatched(ready)
		if now.Sub(p.lastDispatch) >= tendInterval {
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
