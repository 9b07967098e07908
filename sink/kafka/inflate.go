package kafka

// Memory for what is fetched. A record batch is small on the wire and can be
// thousands of times as large in memory, as bytes or as records. So batches are
// inflated here, within a budget: one that does not fit beside those that wait to
// be decoded is fetched again once they are gone, and one that would not fit
// alone is refused.

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// recordCost is what franz-go keeps for each fetched record beside its
	// bytes: a kgo.Record and a pointer to it.
	recordCost = 256
	// aloneFactor is how much of the budget the records of one batch may cost
	// when it is the only one in memory.
	aloneFactor = 3

	// fetchMemory is how much memory the answer to one fetch is to take, inflated
	// and with its records. Two are in memory and a third is being decoded.
	fetchMemory = 24 << 20
	// The bounds of what is asked for in one fetch, as it is on the wire, and
	// what is asked for while nothing is known of the topic. A fixed 2 MiB, which
	// is safe for any topic, was measured: 5 % more processor time for consuming
	// records of 256 KiB (BenchmarkConsume).
	minFetch, firstFetch, maxFetch = 64 << 10, 1 << 20, 8 << 20
)

// leastFetch is how many bytes a broker gathers before it answers a fetch, unless
// fetchWait ends first. It is no more than what is asked for of one partition when
// the least is asked for: a broker waits to the end of fetchWait where a partition
// has more than it may put into the answer, and all of that together is less than
// leastFetch.
const leastFetch = minFetch / 2

// fetchWait is how long a broker may gather records before it answers a fetch: a
// fraction of the time after which they are committed. The client library refuses
// less than 10 ms.
func (c *Consumer) fetchWait() time.Duration {
	return max(10*time.Millisecond, min(time.Second, c.flush.FlushInterval/4))
}

// errInflationFull is the error of a batch that has no room at present.
var errInflationFull = errors.New("no room for an inflated record batch until others have been decoded")

// inflation is a kgo.Decompressor with a budget, and the pool that its buffers
// come from and go back to.
type inflation struct {
	most  int          // bytes of all inflated batches, and of one
	ratio atomic.Int64 // inflated bytes for each 1,024 compressed ones, of the last batches
	dense atomic.Int64 // bytes in memory for each 1,024 on the wire, of the last batches
	full  func()       // called when a batch has no room

	mu      sync.Mutex
	used    int
	charges map[*byte]int // of each buffer that was given out

	zstd  *zstd.Decoder
	gzips sync.Pool // of *gzip.Reader
	lz4s  sync.Pool // of *lz4.Reader
}

var (
	_ kgo.Decompressor        = (*inflation)(nil)
	_ kgo.PoolDecompressBytes = (*inflation)(nil)
	_ kgo.HookFetchBatchRead  = (*inflation)(nil)
)

func newInflation(most int, full func()) (*inflation, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(most)))
	if err != nil {
		return nil, err
	}
	return &inflation{most: most, full: full, charges: map[*byte]int{}, zstd: z,
		gzips: sync.Pool{New: func() any { return new(gzip.Reader) }},
		lz4s:  sync.Pool{New: func() any { return lz4.NewReader(nil) }},
	}, nil
}

// Decompress implements kgo.Decompressor.
func (f *inflation) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone || len(src) == 0 {
		return src, nil
	}
	f.mu.Lock()
	used := f.used
	f.mu.Unlock()
	limit, costLimit := f.most-used, f.most-used
	if used == 0 {
		costLimit = aloneFactor * f.most
	}
	out, err := f.inflate(src, codec, limit)
	cost := len(out)
	if err == nil {
		if cost += recordCost * countRecords(out); cost > costLimit {
			err = kgo.ErrMaxDecompress
		}
	}
	if errors.Is(err, kgo.ErrMaxDecompress) && used > 0 {
		f.full()
		err = errInflationFull
	}
	if err != nil {
		return nil, err
	}
	follow(&f.ratio, len(out), len(src))
	if len(out) > 0 {
		f.mu.Lock()
		f.used += cost
		f.charges[&out[0]] = cost
		f.mu.Unlock()
	}
	return out, nil
}

// follow notes how many of a come with each 1,024 of b: at once when it is more
// than before, slowly when it is less.
func follow(ratio *atomic.Int64, a, b int) {
	was, is := ratio.Load(), int64(a)<<10/int64(b)
	ratio.Store(max(is, was-was/16))
}

// OnFetchBatchRead implements kgo.HookFetchBatchRead.
func (f *inflation) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	if m.CompressedBytes > 0 {
		follow(&f.dense, m.UncompressedBytes+recordCost*m.NumRecords, m.CompressedBytes)
	}
}

// fetchBytes returns how many bytes to ask for in one fetch.
func (f *inflation) fetchBytes() int32 {
	dense := f.dense.Load()
	if dense == 0 {
		return firstFetch
	}
	return int32(max(minFetch, min(maxFetch, fetchMemory<<10/dense)))
}

// GetDecompressBytes implements kgo.PoolDecompressBytes; it is for the
// decompressor of franz-go, which is not used.
func (f *inflation) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte { return nil }

// PutDecompressBytes implements kgo.PoolDecompressBytes: the last record of the
// buffer has been recycled.
func (f *inflation) PutDecompressBytes(b []byte) {
	if cap(b) == 0 {
		return
	}
	b = b[:1]
	f.mu.Lock()
	f.used -= f.charges[&b[0]]
	delete(f.charges, &b[0])
	f.mu.Unlock()
	putLines(b)
}

// inflate returns src inflated, in a buffer of its own. More than limit bytes
// are kgo.ErrMaxDecompress.
func (f *inflation) inflate(src []byte, codec kgo.CompressionCodecType, limit int) ([]byte, error) {
	if limit <= 0 {
		return nil, kgo.ErrMaxDecompress
	}
	guess := func() []byte {
		const slack = 4 << 10 // a reader wants room to find the end in
		return getLines(int(min(int64(len(src))*max(f.ratio.Load(), 1024)>>10+slack, int64(limit)+1)))
	}
	switch codec {
	case kgo.CodecSnappy:
		return unsnappy(src, limit)
	case kgo.CodecZstd:
		out, err := f.zstd.DecodeAll(src, guess())
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || err == nil && len(out) > limit {
			return nil, kgo.ErrMaxDecompress
		}
		return out, err
	case kgo.CodecGzip:
		r := f.gzips.Get().(*gzip.Reader)
		defer f.gzips.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return nil, err
		}
		return readUpTo(r, guess(), limit)
	case kgo.CodecLz4:
		r := f.lz4s.Get().(*lz4.Reader)
		defer f.lz4s.Put(r)
		r.Reset(bytes.NewReader(src))
		return readUpTo(r, guess(), limit)
	}
	return nil, fmt.Errorf("unknown compression %d", codec)
}

func readUpTo(r io.Reader, into []byte, limit int) ([]byte, error) {
	buf := bytes.NewBuffer(into)
	if _, err := buf.ReadFrom(io.LimitReader(r, int64(limit)+1)); err != nil {
		return nil, err
	}
	if buf.Len() > limit {
		putLines(buf.Bytes())
		return nil, kgo.ErrMaxDecompress
	}
	return buf.Bytes(), nil
}

// xerialHeader begins snappy data as Java's producers write it: blocks, each
// behind its length as four bytes. Behind it are two version numbers.
var xerialHeader = []byte{130, 83, 78, 65, 80, 80, 89, 0}

const xerialHeaderBytes = 16

// unsnappy inflates snappy data, in a block or in many as Java writes them.
func unsnappy(src []byte, limit int) ([]byte, error) {
	blocks := [][]byte{src}
	if len(src) > xerialHeaderBytes && bytes.HasPrefix(src, xerialHeader) {
		blocks = blocks[:0]
		for src = src[xerialHeaderBytes:]; len(src) > 0; {
			if len(src) < 4 || uint64(binary.BigEndian.Uint32(src)) > uint64(len(src)-4) {
				return nil, s2.ErrCorrupt
			}
			n := 4 + int(binary.BigEndian.Uint32(src))
			blocks = append(blocks, src[4:n])
			src = src[n:]
		}
	}
	size := 0
	for _, b := range blocks {
		n, err := s2.DecodedLen(b)
		if err != nil {
			return nil, err
		}
		if size += n; n < 0 || size > limit {
			return nil, kgo.ErrMaxDecompress
		}
	}
	out := getLines(max(size, 1))
	for _, b := range blocks {
		n, _ := s2.DecodedLen(b) // it was read above
		at := len(out)
		if _, err := s2.Decode(out[at:at+n:at+n], b); err != nil {
			putLines(out)
			return nil, err
		}
		out = out[:at+n]
	}
	return out, nil
}

// countRecords returns how many records an inflated batch holds: each begins
// with its length.
func countRecords(b []byte) int {
	count := 0
	for len(b) > 0 {
		size, n := binary.Varint(b)
		if n <= 0 || size < 0 || size > int64(len(b)-n) {
			return count + 1 // franz-go reads no further either
		}
		b = b[n+int(size):]
		count++
	}
	return count
}
