package kafka

// A chunk: lines of one hour, from one request or many, that go to the topic
// together and are acknowledged together; and the memory for it.

import (
	"bytes"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/sink"
)

const (
	// lineChunkBytes is how much travels together at least when it has come
	// together, even if each line is a Kafka record.
	lineChunkBytes = 64 << 10
	// chunkOverhead and recordOverhead are what a chunk and a Kafka record
	// take beside their lines, in bytes, ours and franz-go's.
	chunkOverhead  = 1 << 10
	recordOverhead = 320
)

// chunkKey says what may share a chunk. Acknowledged and not yet acknowledged
// lines do not: only the former are kept when delivery fails.
type chunkKey struct {
	hour codec.Hour
	ack  sink.Ack
}

type chunk struct {
	p       *Producer
	key     chunkKey
	lines   []byte // from getLines; whole lines
	records int    // lines
	batches int    // parts of requests
	charged int64  // of p.room
	place   int64  // of p.dead.room
	began   time.Time
	sent    time.Time
	inGroup bool // sent as one of a group; guarded by p.mu
	tries   int  // times that it was sent
	epoch   int  // p.epoch when it was sent

	left        atomic.Int32 // Kafka records without an outcome
	undelivered []letter     // Kafka records that failed; their values are within lines
	err         error        // the first; valid once done is closed
	done        chan struct{}
}

func newChunk(p *Producer, key chunkKey) *chunk {
	return &chunk{p: p, key: key, began: time.Now(), done: make(chan struct{})}
}

// join copies lines, which are all of run or a part of it.
func (c *chunk) join(lines []byte, run codec.Run, all bool) {
	if need := len(c.lines) + len(lines); need > cap(c.lines) {
		grown := append(getLines(need), c.lines...)
		putLines(c.lines)
		c.lines = grown
	}
	c.lines = append(c.lines, lines...)
	c.batches++
	if all {
		c.records += run.Records
	} else {
		c.records += countLines(lines)
	}
}

func countLines(b []byte) int { return bytes.Count(b, newline) }

var newline = []byte{'\n'}

// kafkaRecords makes Kafka records of whole lines, of at most size bytes each
// except where one line is longer. A record of a single line is that line
// without its end, as other programs expect a message to be.
//
// Records that become dead letters when they cannot be delivered have an id in
// a header: by it they are found in the topic, whatever timestamps it gives.
func (c *chunk) kafkaRecords(size int) []kgo.Record {
	n := 1
	if len(c.lines) > size {
		n = min(c.records, 2*len(c.lines)/size+1)
	}
	records := make([]kgo.Record, 0, n)
	headers := []kgo.RecordHeader{{Key: headerHour, Value: []byte(c.key.hour.String())}}
	id := ""
	if c.key.ack == sink.Enqueued {
		id = fmt.Sprintf("%s-%d", c.p.runID, c.p.nextID.Add(1))
	}
	for lines := c.lines; len(lines) > 0; {
		n := wholeLines(lines, size)
		value := lines[:n:n]
		if bytes.IndexByte(value, '\n') == n-1 {
			value = value[:n-1]
		}
		r := kgo.Record{Value: value, Headers: headers}
		if id != "" {
			r.Headers = []kgo.RecordHeader{headers[0], {Key: headerID, Value: fmt.Appendf(nil, "%s-%d", id, len(records))}}
		}
		records = append(records, r)
		lines = lines[n:]
	}
	return records
}

// promise is called once for each of the chunk's Kafka records, by one
// goroutine at a time.
func (c *chunk) promise(r *kgo.Record, err error) {
	if err != nil {
		if c.err == nil {
			c.err = err
		}
		c.undelivered = append(c.undelivered, letter{r.Value, r.Timestamp.UnixMilli(), headerOf(r, headerID)})
	}
	if c.left.Add(-1) == 0 {
		c.p.settle(c)
	}
}

// again makes a chunk of what was not delivered, to be sent once more.
func (c *chunk) again() {
	size := 0
	for _, l := range c.undelivered {
		size += len(l.value) + 1
	}
	lines := getLines(size)
	for _, l := range c.undelivered {
		lines = appendLines(lines, l.value)
	}
	putLines(c.lines)
	c.lines, c.records = lines, countLines(lines)
	c.undelivered, c.err = nil, nil
}

// appendLines appends the value of a Kafka record as whole lines.
func appendLines(dst, value []byte) []byte {
	dst = append(dst, value...)
	if n := len(value); n > 0 && value[n-1] != '\n' {
		dst = append(dst, '\n')
	}
	return dst
}

// free gives back the chunk's memory and room. Nobody reads lines any more.
func (c *chunk) free() {
	putLines(c.lines)
	c.lines, c.undelivered = nil, nil
	c.p.release(c.charged)
	c.p.dead.room.release(c.place)
	c.p.unsettled.Done()
}

// wholeLines returns how many bytes at the start of lines are whole lines of at
// most size bytes together, or the length of the first line if that is longer.
func wholeLines(lines []byte, size int) int {
	if len(lines) <= size {
		return len(lines)
	}
	if n := bytes.LastIndexByte(lines[:size], '\n') + 1; n > 0 {
		return n
	}
	return size + bytes.IndexByte(lines[size:], '\n') + 1
}

// Memory for lines, pooled by powers of two from 512 B to 8 MiB.
const (
	minClass = 9
	maxClass = 23
)

var linePools [maxClass - minClass + 1]sync.Pool

// getLines returns an empty slice with room for n bytes, and for less than 2n
// if n is 512 or more.
func getLines(n int) []byte {
	class := max(bits.Len(uint(n-1)), minClass)
	if class > maxClass {
		return make([]byte, 0, n)
	}
	if p, ok := linePools[class-minClass].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, 1<<class)
}

// putLines gives back what getLines gave, or nil.
func putLines(b []byte) {
	n := cap(b)
	class := bits.Len(uint(n)) - 1
	if class < minClass || class > maxClass || n != 1<<class {
		return
	}
	poison(b[:n])
	linePools[class-minClass].Put(&b)
}
