package kafka

// Memory for inflated record batches. Without it franz-go inflates into a buffer
// of its own and copies each batch into a new one, for the collector to find.

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxInflated bounds one inflated batch. One that is larger is an accident
	// or an attack; it is not taken, and its partition waits for a person.
	maxInflated = 256 << 20
	// fetchInflated is how large the answer to one fetch is to be once it is
	// inflated. Three are in memory: one being decoded, two that wait.
	fetchInflated = 20 << 20
	// The bounds of what is asked for in one fetch, as it is on the wire; and
	// what is asked for while nothing is known of how well it is compressed.
	minFetch, firstFetch, maxFetch = 64 << 10, 1 << 20, 16 << 20
)

// inflation lends buffers of about the size that the last batches had. A record
// gives its share back with Recycle.
type inflation struct {
	most  int          // bytes of one inflated batch
	ratio atomic.Int64 // inflated bytes for each 1,024 compressed ones
}

var (
	_ kgo.PoolDecompressBytes = (*inflation)(nil)
	_ kgo.HookFetchBatchRead  = (*inflation)(nil)
)

// GetDecompressBytes implements kgo.PoolDecompressBytes.
func (f *inflation) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	const slack = 4 << 10 // a reader wants room to find the end in
	n := int64(len(compressed))*max(f.ratio.Load(), 1024)>>10 + slack
	return getLines(int(min(n, int64(f.most))))
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (*inflation) PutDecompressBytes(b []byte) { putLines(b) }

// OnFetchBatchRead learns from a batch: at once when it was larger than thought,
// slowly when it was smaller.
func (f *inflation) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	if m.CompressedBytes <= 0 {
		return
	}
	was, is := f.ratio.Load(), int64(m.UncompressedBytes)<<10/int64(m.CompressedBytes)
	f.ratio.Store(max(is, was-was/16))
}

// fetch returns how many bytes to ask for in one fetch.
func (f *inflation) fetch() int32 {
	ratio := f.ratio.Load()
	if ratio == 0 {
		return firstFetch
	}
	return int32(max(minFetch, min(maxFetch, fetchInflated<<10/ratio)))
}
