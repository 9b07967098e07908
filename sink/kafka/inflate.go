package kafka

// Memory for inflated record batches. Without it franz-go inflates into a buffer
// of its own and copies each batch into a new one, for the collector to find.

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxInflated bounds an inflated batch. A producer's batches are bounded by
// kafka.maxMessageBytes as they are compressed; one that inflates to more than
// this is an accident or an attack, and is not taken (kgo.ErrMaxDecompress).
const maxInflated = 64 << 20

// inflation lends buffers of about the size that the last batches had. A record
// gives its share back with Recycle.
type inflation struct {
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
	return getLines(int(min(n, maxInflated)))
}

// PutDecompressBytes implements kgo.PoolDecompressBytes.
func (*inflation) PutDecompressBytes(b []byte) { putLines(b) }

// OnFetchBatchRead learns from a batch: at once when it was larger than thought,
// slowly when it was smaller.
func (f *inflation) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	if m.CompressedBytes <= 0 || m.CompressionType == 0 {
		return
	}
	was, is := f.ratio.Load(), int64(m.UncompressedBytes)<<10/int64(m.CompressedBytes)
	f.ratio.Store(max(is, was-was/16))
}
