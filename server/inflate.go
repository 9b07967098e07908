package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// coding is one Content-Encoding.
type coding uint8

const (
	identity coding = iota
	gzipped
	deflated
	zstandard
	snappy
)

// supportedCodings is what a 415 lists.
var supportedCodings = []string{"gzip", "deflate", "zstd", "snappy", "identity"}

// codings are the layers of one body in the order in which they were applied;
// the last one comes off first.
type codings struct {
	layers [maxCodings]coding
	n      int
}

// maxCodings bounds the work one body can ask for.
const maxCodings = 3

// add appends the codings of one Content-Encoding header. The error is errCoding.
func (c *codings) add(header []byte) error {
	for len(header) > 0 {
		var name []byte
		name, header, _ = bytes.Cut(header, []byte(","))
		var one coding
		switch name = bytes.TrimSpace(name); {
		case len(name) == 0, bytes.EqualFold(name, []byte("identity")):
			continue
		case bytes.EqualFold(name, []byte("gzip")), bytes.EqualFold(name, []byte("x-gzip")):
			one = gzipped
		case bytes.EqualFold(name, []byte("deflate")):
			one = deflated
		case bytes.EqualFold(name, []byte("zstd")):
			one = zstandard
		case bytes.EqualFold(name, []byte("snappy")):
			one = snappy
		default:
			return errCoding
		}
		if c.n == len(c.layers) {
			return errCoding
		}
		c.layers[c.n] = one
		c.n++
	}
	return nil
}

// inflate takes every layer of coding off buf and returns the buffer that holds
// the plain body; buf is given back. Errors: errTooLarge as soon as the limit is
// passed, errCorrupt, errBusy.
func (s *Server) inflate(buf *buffer, c codings, h *hold) (*buffer, error) {
	for c.n > 0 {
		c.n--
		var out *buffer
		var err error
		switch layer := c.layers[c.n]; layer {
		case zstandard:
			out, err = s.unzstd(buf.b, h)
		case snappy:
			out, err = s.unsnap(buf.b, h)
		default:
			out, err = s.unflate(buf.b, layer, h)
		}
		drop(buf, h)
		if err != nil {
			if err != errTooLarge && err != errBusy {
				err = errCorrupt
			}
			return nil, err
		}
		buf = out
	}
	return buf, nil
}

// Inflated sizes are guessed as this many times the compressed size where the
// body does not say: access logs shrink ten- to twenty-fold.
const usualRatio = 16

// roomFor returns a buffer of n bytes, together with room for what will be decoded
// from the body that is expected in it.
func (s *Server) roomFor(n, body int, h *hold) (*buffer, error) {
	size := roundUp(n)
	if err := h.expect(size + body); err != nil {
		return nil, err
	}
	h.ahead -= size // is the buffer's own now
	return getBuffer(n), nil
}

// stream inflates with a reader of its own window.
func (s *Server) stream(r io.Reader, guess int, h *hold) (*buffer, error) {
	guess = min(max(guess, firstBuffer), s.maxBody)
	out, err := s.roomFor(guess, guess, h)
	if err != nil {
		return nil, err
	}
	if err := fill(r, -1, s.maxBody, &out, h); err != nil {
		drop(out, h)
		return nil, err
	}
	return out, nil
}

// inflater is a pooled decompressor with the reader it reads from: 40 KiB or so,
// most of it DEFLATE's 32 KiB window.
type inflater struct {
	src  bytes.Reader
	gzip *gzip.Reader
	zlib io.ReadCloser // also a zlib.Resetter
	raw  io.ReadCloser // also a flate.Resetter
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// unflate undoes gzip, zlib, and the bare DEFLATE that some clients send as
// deflate.
func (s *Server) unflate(src []byte, layer coding, h *hold) (*buffer, error) {
	const window = 48 << 10
	if err := h.reserve(window); err != nil {
		return nil, err
	}
	defer h.unreserve(window)

	in := inflaters.Get().(*inflater)
	in.src.Reset(src)
	defer func() {
		in.src.Reset(nil) // the pool must not keep a body alive
		inflaters.Put(in)
	}()
	guess := len(src) * usualRatio
	var r io.Reader
	var err error
	switch {
	case layer == gzipped:
		if len(src) >= 18 { // the last member's size; DEFLATE never shrinks more than 1032-fold
			guess = min(int(binary.LittleEndian.Uint32(src[len(src)-4:])), 1032*len(src)) + 1
		}
		if in.gzip == nil {
			in.gzip = new(gzip.Reader)
		}
		r, err = in.gzip, in.gzip.Reset(&in.src)
	case isZlib(src):
		if in.zlib == nil {
			in.zlib, err = zlib.NewReader(&in.src)
		} else {
			err = in.zlib.(zlib.Resetter).Reset(&in.src, nil)
		}
		r = in.zlib
	default:
		if in.raw == nil {
			in.raw = flate.NewReader(&in.src)
		} else {
			err = in.raw.(flate.Resetter).Reset(&in.src, nil)
		}
		r = in.raw
	}
	if err != nil {
		return nil, err
	}
	out, err := s.stream(r, guess, h)
	if err == nil && in.src.Len() > 0 {
		drop(out, h)
		return nil, errCorrupt // something follows the end of the stream
	}
	return out, err
}

// isZlib tells a zlib header (RFC 1950) from bare DEFLATE.
func isZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&0x0f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0
}

// maxWindow is the largest zstd window taken: what zstd --long asks for. It costs
// no memory here, as a body is decoded as a whole and is its own window.
const maxWindow = 128 << 20

// newUnzstd returns the decoder all requests share: it decodes a whole body at
// once into our buffer and stops at that buffer's capacity.
func newUnzstd() (*zstd.Decoder, error) {
	return zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithDecoderMaxMemory(1<<32), // the buffer's capacity is the limit
		zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true),
	)
}

// zstdBlock is the most that one block makes (RFC 8878, section 3.1.1.2.4), and
// what the decoder likes to have beyond it. A buffer with that much more than a
// body needs is never in the way of its last block.
const zstdBlock = 128<<10 + 64

// unzstd decodes into a buffer of the size the frame claims or, where it claims
// none, of a guess that is raised until the body fits: each try costs a quarter
// of the next one.
func (s *Server) unzstd(src []byte, h *hold) (*buffer, error) {
	guess := max(len(src)*usualRatio, firstBuffer)
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return nil, err
	}
	if header.HasFCS {
		if header.FrameContentSize > uint64(s.maxBody) {
			return nil, errTooLarge
		}
		guess = int(header.FrameContentSize)
	}
	for {
		guess = min(guess, s.maxBody)
		out, err := s.roomFor(guess+zstdBlock, guess, h)
		if err != nil {
			return nil, err
		}
		space := cap(out.b)
		b, err := s.zstd.DecodeAll(src, out.b)
		if err == nil && len(b) <= s.maxBody {
			out.b = out.b[:len(b)]
			return out, nil
		}
		drop(out, h)
		if len(b) > s.maxBody {
			return nil, errTooLarge
		}
		// Not every want of space is called so. What is certain: where there was
		// room for a whole block, it was not that.
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) && space-len(b) >= zstdBlock {
			return nil, err
		}
		if guess == s.maxBody {
			return nil, errTooLarge
		}
		guess *= growth
	}
}

// unsnap undoes both forms of snappy: one block, as Vector and Fluent Bit send
// it (vector src/sinks/util/snappy.rs, fluent-bit src/flb_snappy.c), and the
// framed stream, known by its first chunk.
func (s *Server) unsnap(src []byte, h *hold) (*buffer, error) {
	if bytes.HasPrefix(src, []byte("\xff\x06\x00\x00sNaPpY")) {
		const window = 160 << 10
		if err := h.reserve(window); err != nil {
			return nil, err
		}
		defer h.unreserve(window)
		r := unframers.Get().(*s2.Reader)
		defer func() {
			r.Reset(nil)
			unframers.Put(r)
		}()
		r.Reset(bytes.NewReader(src))
		return s.stream(r, len(src)*4, h)
	}
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	// Three bytes copy at most 64: what claims more is lying, and gets no memory.
	if n/22 > len(src) {
		return nil, errCorrupt
	}
	if n > s.maxBody {
		return nil, errTooLarge
	}
	out, err := s.roomFor(n, n, h)
	if err != nil {
		return nil, err
	}
	b, err := s2.Decode(out.b[:cap(out.b)], src)
	if err != nil {
		drop(out, h)
		return nil, err
	}
	out.b = out.b[:len(b)]
	return out, nil
}

// unframers read snappy's framed form; its chunks hold at most 64 KiB each.
var unframers = sync.Pool{New: func() any { return s2.NewReader(nil, s2.ReaderMaxBlockSize(64<<10)) }}
