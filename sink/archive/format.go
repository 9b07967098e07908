package archive

import (
	"io"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/zstd"

	"logforge/codec"
	"logforge/config/metric"
)

// An encoder turns lines into the bytes of one object.
type encoder interface {
	io.WriteCloser
	release() // nothing of it is used any more
}

// format is one of the values of archive.s3.format.
type format struct {
	contentType string
	encoder     func(w io.Writer, h codec.Hour) encoder
}

// formatNames are the values of archive.s3.format, and the ends of names.
var formatNames = map[string]bool{"ndjson.zst": true, "parquet": true}

func formats(set *metrics.Set) map[string]format {
	altered := metric.Counter(set, `logforge_archive_altered_records_total{destination="s3"}`, "Records that a destination of the archive does not take as they are, stored in the nearest form.")
	return map[string]format{
		"ndjson.zst": {"application/zstd", func(w io.Writer, _ codec.Hour) encoder { return newZstdEncoder(w) }},
		"parquet":    {"application/vnd.apache.parquet", func(w io.Writer, h codec.Hour) encoder { return newParquetEncoder(w, h, altered) }},
	}
}

// zstdEncoder compresses the lines as they are: level 1, one goroutine.
type zstdEncoder struct{ *zstd.Encoder }

var zstdEncoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // the options are constants
	}
	return &zstdEncoder{e}
}}

func newZstdEncoder(w io.Writer) *zstdEncoder {
	e := zstdEncoders.Get().(*zstdEncoder)
	e.Reset(w)
	return e
}

func (e *zstdEncoder) release() {
	e.Reset(nil)
	zstdEncoders.Put(e)
}
