package kafka

// LZ4 frames, written block by block from where the records are. The client's
// own way copies them into a 4 MiB block first and then hashes them a second
// time for a checksum of the content, which Kafka's batches have anyway: a
// sixth of all processor time of producing batches of 1000.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lz4Block is a block size of the LZ4 frame format, and the header of a frame
// of independent blocks of that size without checksums.
type lz4Block struct {
	size   int
	header []byte
}

// lz4Compressor is a kgo.Compressor.
type lz4Compressor struct {
	blocks []lz4Block // ascending
	tables sync.Pool  // of *lz4.Compressor
}

const (
	lz4HeaderBytes = 7       // magic number, two bytes of flags, their checksum
	lz4Stored      = 1 << 31 // set in the size of a block that is not compressed
)

func newLZ4Compressor() (*lz4Compressor, error) {
	c := &lz4Compressor{tables: sync.Pool{New: func() any { return new(lz4.Compressor) }}}
	for _, size := range []lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block1Mb, lz4.Block4Mb} {
		// The library writes the header, with its checksum.
		var frame bytes.Buffer
		w := lz4.NewWriter(&frame)
		err := w.Apply(lz4.ChecksumOption(false), lz4.BlockChecksumOption(false), lz4.BlockSizeOption(size))
		if err == nil {
			_, err = w.Write([]byte{0})
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("lz4: %w", err)
		}
		c.blocks = append(c.blocks, lz4Block{int(size), frame.Bytes()[:lz4HeaderBytes:lz4HeaderBytes]})
	}
	return c, nil
}

// Compress implements kgo.Compressor. The result is within dst.
func (c *lz4Compressor) Compress(dst *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	block := c.blocks[0]
	for _, b := range c.blocks {
		block = b
		if len(src) <= b.size {
			break
		}
	}
	blocks := (len(src) + block.size - 1) / block.size
	dst.Grow(lz4HeaderBytes + blocks*(4+lz4.CompressBlockBound(min(block.size, len(src)))) + 4)
	table := c.tables.Get().(*lz4.Compressor)
	defer c.tables.Put(table)

	out := append(dst.AvailableBuffer(), block.header...)
	for len(src) > 0 {
		part := src[:min(block.size, len(src))]
		src = src[len(part):]
		at := len(out)
		n, err := table.CompressBlock(part, out[at+4:cap(out)])
		if err != nil || n == 0 || n >= len(part) {
			out = binary.LittleEndian.AppendUint32(out, uint32(len(part))|lz4Stored)
			out = append(out, part...)
			continue
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
		out = out[:at+4+n]
	}
	return append(out, 0, 0, 0, 0), kgo.CodecLz4 // the end mark
}
