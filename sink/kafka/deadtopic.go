package kafka

// What cannot be stored goes to the dead-letter topic, one record a line: lines
// of the topic that do not parse, sent before the offsets are committed, and
// records that a route has set aside, sent before their batch is acknowledged.
// That is at least once: when the commit does not come to be, the lines are
// decoded and sent again. The same line has the same key, which names where it
// came from.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/sink"
)

// Headers of records in the topic.
const (
	headerHour = "hour"        // of the record's lines, 2026-02-09T15
	headerID   = "logforge-id" // of a record that may have to be looked for, see kafkaRecords
)

// Headers of a dead letter.
const (
	headerTopic     = "logforge-topic"     // where it came from
	headerPartition = "logforge-partition" // likewise, a decimal number
	headerOffset    = "logforge-offset"    // likewise
	headerLine      = "logforge-line"      // which line of the record's value, from 0, blank ones not counted
	headerField     = "logforge-field"     // timestamp, path, userAgent, or record
	headerReason    = "logforge-reason"    // for a person
	headerLines     = "logforge-lines"     // how many lines the value holds, when there is more than one
	headerFullSize  = "logforge-cut"       // how many bytes the line had, when only its beginning is kept
)

const (
	// maxBadLines is how many dead letters one record becomes: the lines beyond
	// share letters of up to sharedBytes, so that a record of garbage does not
	// grow a hundredfold.
	maxBadLines = 100
	sharedBytes = 256 << 10
	// maxDead and maxDeadBytes bound the dead letters of one transaction: with
	// more, it is committed in the middle of what was polled.
	maxDead      = 10_000
	maxDeadBytes = 8 << 20
	// wholeBytes is how long a line may be to be kept whole; of a longer one
	// keptBytes are kept. A dead-letter topic may have Kafka's default
	// max.message.bytes of 1 MiB.
	wholeBytes = otherTopicBytes - 64<<10
	keptBytes  = 256 << 10
)

// badLines gathers the lines of one record that do not parse.
type badLines struct {
	of     *kgo.Record
	lines  []badLine
	shared bool // the last one of lines takes further ones
}

type badLine struct {
	value  []byte
	size   int // of the line; value may be its beginning
	count  int // lines in value
	line   int
	field  string
	reason string
}

// add takes one line; it is copied.
func (b *badLines) add(line []byte, e codec.RecordError) {
	size := len(line)
	if size > wholeBytes {
		line = line[:keptBytes]
	}
	if n := len(b.lines); n > 0 && b.shared {
		if last := &b.lines[n-1]; len(last.value)+len(line) < sharedBytes {
			last.value = append(append(last.value, '\n'), line...)
			last.count++
			return
		}
	}
	b.lines = append(b.lines, badLine{append([]byte(nil), line...), size, 1, e.Index, e.Field, e.Reason})
	b.shared = len(b.lines) >= maxBadLines
}

// letters returns the dead letters, without their topic.
func (b *badLines) letters() []*kgo.Record {
	if len(b.lines) == 0 {
		return nil
	}
	letters := make([]*kgo.Record, len(b.lines))
	partition, offset := strconv.Itoa(int(b.of.Partition)), strconv.FormatInt(b.of.Offset, 10)
	for i, l := range b.lines {
		line := strconv.Itoa(l.line)
		letters[i] = &kgo.Record{
			Key:   []byte(b.of.Topic + "/" + partition + "/" + offset + "/" + line),
			Value: l.value,
			Headers: []kgo.RecordHeader{
				{Key: headerTopic, Value: []byte(b.of.Topic)},
				{Key: headerPartition, Value: []byte(partition)},
				{Key: headerOffset, Value: []byte(offset)},
				{Key: headerLine, Value: []byte(line)},
				{Key: headerField, Value: []byte(l.field)},
				{Key: headerReason, Value: []byte(l.reason)},
			},
		}
		if l.count > 1 {
			setHeader(letters[i], headerLines, strconv.Itoa(l.count))
		}
		if l.count == 1 && l.size > len(l.value) {
			setHeader(letters[i], headerFullSize, strconv.Itoa(l.size))
		}
	}
	return letters
}

// Headers of a dead letter that was a record set aside by a route, beside field,
// reason and cut.
const (
	headerRoute  = "logforge-route"  // as metrics name it
	headerClient = "logforge-client" // the client's address, without its port
	headerAt     = "logforge-at"     // when its request arrived, RFC 3339
)

// Reject implements sink.RejectSink: records that a route has set aside go to the
// dead-letter topic, all in one call, and are there, on every in-sync replica,
// when it returns nil, whatever ack says: they are few, and to keep them in
// memory is no good reason to lose them. They take room in the buffer, as
// batches do. It does not retain records or what they hold.
func (p *Producer) Reject(ctx context.Context, records []sink.Rejected, _ sink.Ack) error {
	if len(records) == 0 {
		return nil
	}
	letters := make([]*kgo.Record, len(records))
	need := 0
	for i := range records {
		letters[i] = rejectedLetter(&records[i])
		need += letterBytes(letters[i])
	}
	room := min(p.roomSize, int64(need))
	if err := p.admit(ctx, room, sink.Replicated); err != nil {
		return fmt.Errorf("%w: %w", sink.ErrNotSetAside, err)
	}
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.unsettled.Add(1)
	}
	p.mu.Unlock()
	if closed {
		p.release(room)
		return fmt.Errorf("%w: %w", sink.ErrNotSetAside, sink.ErrClosed)
	}
	inFlight := new(sync.WaitGroup)
	err := p.client.produceDeadLetters(ctx, letters, p.server.RequestTimeout, inFlight)
	free := func() {
		inFlight.Wait()
		p.release(room)
		p.unsettled.Done()
	}
	switch {
	case err == nil:
		free()
		p.rejected.Add(len(records))
		return nil
	case !errors.Is(err, sink.ErrRefused):
		err = fmt.Errorf("%w: %w", sink.ErrUnavailable, err)
	}
	go free() // what is still on its way keeps its room
	p.writerErrors.Inc()
	return fmt.Errorf("%w: %w", sink.ErrNotSetAside, err)
}

func rejectedLetter(r *sink.Rejected) *kgo.Record {
	letter := &kgo.Record{
		Value: bytes.Clone(r.Record),
		Headers: []kgo.RecordHeader{
			{Key: headerRoute, Value: []byte(r.Route)},
			{Key: headerClient, Value: []byte(r.From)},
			{Key: headerAt, Value: r.At.UTC().AppendFormat(nil, time.RFC3339Nano)},
			{Key: headerField, Value: []byte(r.Field)},
			{Key: headerReason, Value: []byte(r.Reason)},
		},
	}
	if r.Bytes > len(r.Record) {
		setHeader(letter, headerFullSize, strconv.Itoa(r.Bytes))
	}
	return letter
}

// letterBytes is about what a dead letter takes in memory and on the wire.
func letterBytes(r *kgo.Record) int { return len(r.Key) + len(r.Value) + recordOverhead }

// produceDeadLetters produces letters to the dead-letter topic and returns once
// every in-sync replica has them. It gives up when none is acknowledged for
// patience, or ctx ends: those that inFlight then counts may still arrive.
func (c *client) produceDeadLetters(ctx context.Context, letters []*kgo.Record, patience time.Duration, inFlight *sync.WaitGroup) error {
	tooLarge, err := c.produceOnce(ctx, letters, patience, inFlight)
	if err != nil || len(tooLarge) == 0 {
		return err
	}
	if len(letters) == 1 {
		if !shorten(letters[0]) {
			return fmt.Errorf("producing to dead-letter topic %s: %w", DeadLetterTopic(c.cfg), kerr.MessageTooLarge)
		}
		return c.produceDeadLetters(ctx, letters, patience, inFlight)
	}
	// A record batch is refused as a whole: fewer of them may fit.
	half := (len(tooLarge) + 1) / 2
	if err := c.produceDeadLetters(ctx, tooLarge[:half], patience, inFlight); err != nil || half == len(tooLarge) {
		return err
	}
	return c.produceDeadLetters(ctx, tooLarge[half:], patience, inFlight)
}

// errStuck is a dead-letter topic that is too slow for what was sent.
var errStuck = errors.New("too slow")

// produceOnce is produceDeadLetters without another try. It returns the letters
// that were refused for the size of their record batch.
func (c *client) produceOnce(ctx context.Context, letters []*kgo.Record, patience time.Duration, inFlight *sync.WaitGroup) (tooLarge []*kgo.Record, err error) {
	topic := DeadLetterTopic(c.cfg)
	type outcome struct {
		letter *kgo.Record
		err    error
	}
	outcomes := make(chan outcome, len(letters))
	for _, r := range letters {
		r.Topic = topic
		inFlight.Add(1)
		// Not ctx: a record that ends early takes with it whatever else waits
		// for its partition.
		c.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			outcomes <- outcome{r, err}
			inFlight.Done()
		})
	}
	stuck := time.NewTimer(patience)
	defer stuck.Stop()
	for range letters {
		select {
		case o := <-outcomes:
			switch {
			case o.err == nil:
				stuck.Reset(patience)
			case errors.Is(o.err, kerr.MessageTooLarge), errors.Is(o.err, kerr.RecordListTooLarge):
				tooLarge = append(tooLarge, o.letter)
			default:
				return nil, named(fmt.Errorf("producing to dead-letter topic %s: %w", topic, o.err))
			}
		case <-stuck.C:
			return nil, fmt.Errorf("producing to dead-letter topic %s: %w: no acknowledgement for %v", topic, errStuck, patience)
		case <-ctx.Done():
			return nil, fmt.Errorf("producing to dead-letter topic %s: %w", topic, context.Cause(ctx))
		}
	}
	return tooLarge, nil
}

// shorten keeps the beginning of a dead letter that the topic does not take, and
// says so. It reports false when it is as short as it gets.
func shorten(r *kgo.Record) bool {
	const least = 1 << 10
	if len(r.Value) <= least {
		return false
	}
	if headerOf(r, headerFullSize) == "" {
		setHeader(r, headerFullSize, strconv.Itoa(len(r.Value)))
	}
	r.Value = r.Value[:max(least, min(keptBytes, len(r.Value)/4))]
	return true
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func setHeader(r *kgo.Record, key, value string) {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: []byte(value)})
}
