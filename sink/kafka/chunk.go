package kafka

// A chunk: lines of one hour, from one request or many, that go to the topic
// together and are acknowledged together; and the memory for it.

import (
	"bytes"
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
	began   time.Time
	sent    time.Time
	grouped bool // sent as one of a group; guarded by p.mu

	left        atomic.Int32 // Kafka records not settled
	undelivered []letter     // values of Kafka records that failed, within lines
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

// cut makes Kafka records of whole lines, of at most size bytes each except
// where one line is longer. A record of a single line is that line without its
// end, as other programs expect a message to be.
func (c *chunk) cut(size int) []kgo.Record {
	var records []kgo.Record
	if len(c.lines) <= size {
		records = make([]kgo.Record, 0, 1)
	} else {
		records = make([]kgo.Record, 0, min(c.records, 2*len(c.lines)/size+1))
	}
	headers := []kgo.RecordHeader{{Key: "hour", Value: []byte(c.key.hour.String())}}
	for lines := c.lines; len(lines) > 0; {
		n := wholeLines(lines, size)
		value := lines[:n:n]
		if bytes.IndexByte(value, '\n') == n-1 {
			value = value[:n-1]
		}
		records = append(records, kgo.Record{Value: value, Headers: headers})
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
		c.undelivered = append(c.undelivered, letter{r.Value, r.Timestamp.UnixMilli()})
	}
	if c.left.Add(-1) == 0 {
		c.p.settle(c)
	}
}

// free gives back the chunk's memory and room. Nobody reads lines any more.
func (c *chunk) free() {
	putLines(c.lines)
	c.lines, c.undelivered = nil, nil
	c.p.release(c.charged)
	c.p.settling.Done()
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

// spread is the partitioner: each chunk goes, whole, to the partition with the
// fewest records waiting, and round robin among those. Its number comes in
// Record.Partition. A partition that does not move is so left alone, as long
// as others do.
type spread struct{}

// ForTopic implements kgo.Partitioner.
func (spread) ForTopic(string) kgo.TopicPartitioner { return new(topicSpread) }

type topicSpread struct {
	recent [16]struct {
		number int32
		choice int
	}
}

// RequiresConsistency says that a partition without a leader is left out.
func (*topicSpread) RequiresConsistency(*kgo.Record) bool { return false }

// Partition is never called: there is PartitionByBackup.
func (*topicSpread) Partition(r *kgo.Record, n int) int { return int(uint32(r.Partition)) % n }

// PartitionByBackup implements kgo.TopicBackupPartitioner. franz-go calls it
// for one record at a time.
func (s *topicSpread) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	last := &s.recent[uint32(r.Partition)%uint32(len(s.recent))]
	if last.number == r.Partition && last.choice < n {
		return last.choice // the rest of a chunk of many records
	}
	first := int(uint32(r.Partition)) % n
	best, fewest, distance := first, int64(-1), 0
	for backup.Rem() > 0 {
		i, waiting := backup.Next()
		d := (i - first + n) % n
		if fewest < 0 || waiting < fewest || waiting == fewest && d < distance {
			best, fewest, distance = i, waiting, d
		}
	}
	last.number, last.choice = r.Partition, best
	return best
}

var _ kgo.TopicBackupPartitioner = (*topicSpread)(nil)
