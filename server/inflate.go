package server

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// coding is one Content-Encoding: inflate takes the whole compressed body and
// returns the plain one in a buffer taken from h, which holds at most
// server.maxBodyBytes. It believes no size that the body states of itself: it
// takes memory for what has come out. Errors: errTooLarge, errBusy, and any other
// for a body that is cut short or damaged.
type coding struct {
	name    string
	inflate func(s *Server, src []byte, h *hold) (*buffer, error)
}

// codingsByName are all of them. The names of the first rows are what a 415 lists.
var codingsByName = []coding{
	{"gzip", (*Server).gunzip},
	{"deflate", (*Server).undeflate},
	{"zstd", (*Server).unzstd},
	{"snappy", (*Server).unsnap},
	{"identity", nil},
	{"x-gzip", (*Server).gunzip},
}

// supportedCodings is what a 415 lists.
var supportedCodings = []string{"gzip", "deflate", "zstd", "snappy", "identity"}

// codings are the layers of one body in the order in which they were applied;
// the last one comes off first.
type codings struct {
	layers [maxCodings]*coding
	n      int
}

// maxCodings bounds the work one body can ask for.
const maxCodings = 3

// add appends the codings of one Content-Encoding header. The error is errCoding.
func (c *codings) add(header []byte) error {
	for len(header) > 0 {
		var name []byte
		name, header, _ = bytes.Cut(header, []byte(","))
		if name = bytes.TrimSpace(name); len(name) == 0 {
			continue
		}
		one := codingOf(name)
		switch {
		case one == nil, c.n == len(c.layers):
			return errCoding
		case one.inflate != nil:
			c.layers[c.n] = one
			c.n++
		}
	}
	return nil
}

// codingOf finds a coding by its name, in whatever case; nil if there is none.
func codingOf(name []byte) *coding {
	for i := range codingsByName {
		if c := &codingsByName[i]; len(name) == len(c.name) && strings.EqualFold(string(name), c.name) {
			return c
		}
	}
	return nil
}

// inflate takes every layer of coding off buf and returns the buffer that holds
// the plain body; buf is given back. Errors: errTooLarge as soon as the limit is
// passed, errCorrupt, and those of take.
func (s *Server) inflate(buf *buffer, c codings, h *hold) (*buffer, error) {
	h.sent = len(buf.b)
	for c.n > 0 {
		c.n--
		out, err := c.layers[c.n].inflate(s, buf.b, h)
		drop(buf, h)
		if err != nil {
			switch err {
			case errTooLarge, errBusy, errNeverFits:
				return nil, err
			}
			return nil, errCorrupt
		}
		buf = out
	}
	return buf, nil
}

// firstInflated is the size of the buffer in which inflating n bytes begins: as
// much as it usually becomes, so that few bodies are moved to a larger one.
func (s *Server) firstInflated(n int) int {
	const least = 64 << 10 // at most server.maxConcurrency of them exist
	return min(max(n*usualRatio, least), s.maxBody)
}

// drain reads r, which inflates n bytes, to its end into a buffer taken from h.
func (s *Server) drain(r io.Reader, n int, h *hold) (*buffer, error) {
	first := s.firstInflated(n)
	if err := h.take(roundUp(first)); err != nil {
		return nil, err
	}
	out := getBuffer(first)
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

// window is the memory of an inflater.
const window = 48 << 10

// gunzip undoes gzip, of one member or several.
func (s *Server) gunzip(src []byte, h *hold) (*buffer, error) {
	return s.unflate(src, h, func(in *inflater) (io.Reader, error) {
		if in.gzip == nil {
			in.gzip = new(gzip.Reader)
		}
		return in.gzip, in.gzip.Reset(&in.src)
	})
}

// undeflate undoes zlib, and the bare DEFLATE that some clients send as deflate.
func (s *Server) undeflate(src []byte, h *hold) (*buffer, error) {
	return s.unflate(src, h, func(in *inflater) (r io.Reader, err error) {
		switch zlibbed := isZlib(src); {
		case zlibbed && in.zlib == nil:
			in.zlib, err = zlib.NewReader(&in.src)
			return in.zlib, err
		case zlibbed:
			return in.zlib, in.zlib.(zlib.Resetter).Reset(&in.src, nil)
		case in.raw == nil:
			in.raw = flate.NewReader(&in.src)
			return in.raw, nil
		}
		return in.raw, in.raw.(flate.Resetter).Reset(&in.src, nil)
	})
}

// unflate inflates with the reader that open begins on the inflater's src.
func (s *Server) unflate(src []byte, h *hold, open func(*inflater) (io.Reader, error)) (*buffer, error) {
	if err := h.take(window); err != nil {
		return nil, err
	}
	defer h.give(window)

	in := inflaters.Get().(*inflater)
	in.src.Reset(src)
	defer func() {
		in.src.Reset(nil) // the pool must not keep a body alive
		inflaters.Put(in)
	}()
	r, err := open(in)
	if err != nil {
		return nil, err
	}
	out, err := s.drain(r, len(src), h)
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

// zstdBlock is the most that one block makes (RFC 8878, section 3.1.1.2.4).
const zstdBlock = 128 << 10

// zstdSlack is a block, and what the decoder likes to have beyond it. A buffer
// with that much more than a body needs is never in the way of its last block.
const zstdSlack = zstdBlock + 64

// unzstd decodes into a buffer as large as such a body usually needs, and into
// larger ones until it fits: a failed try costs at most a quarter of the next one.
// (The decoder's own reader needs no second try, but a window of its own beside
// the buffer, up to maxWindow of it.)
//
// The size that a frame states saves the tries, as far as that much usually comes
// out of what was sent: it is believed up to believedRatio.
func (s *Server) unzstd(src []byte, h *hold) (*buffer, error) {
	const believedRatio = 64
	// A block takes four bytes at least: a body that states more is lying.
	most := len(src) / 4 * zstdBlock
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return nil, err
	}
	size := s.firstInflated(len(src))
	if header.HasFCS {
		switch stated := header.FrameContentSize; {
		case stated > uint64(most):
			return nil, errCorrupt
		case stated > uint64(s.maxBody):
			return nil, errTooLarge
		default:
			size = max(size, min(int(stated), believedRatio*len(src)))
		}
	}
	for {
		size = min(size, most, s.maxBody)
		if err := h.inflating(size); err != nil {
			return nil, err
		}
		if err := h.take(roundUp(size + zstdSlack)); err != nil {
			return nil, err
		}
		out := getBuffer(size + zstdSlack)
		space := cap(out.b)
		b, err := s.zstd.DecodeAll(src, out.b)
		if err == nil && len(b) <= s.maxBody {
			out.b = out.b[:len(b)]
			return out, nil
		}
		drop(out, h)
		switch {
		case len(b) > s.maxBody:
			return nil, errTooLarge
		// Not every want of space is called so. What is certain: where there was
		// room for a whole block, it was not that.
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) && space-len(b) >= zstdSlack:
			return nil, err
		case size == s.maxBody:
			return nil, errTooLarge
		case size == most:
			return nil, errCorrupt
		}
		size *= growth
	}
}

// unsnap undoes both forms of snappy: one block, as Vector and Fluent Bit send
// it (vector src/sinks/util/snappy.rs, fluent-bit src/flb_snappy.c), and the
// framed stream, known by its first chunk.
func (s *Server) unsnap(src []byte, h *hold) (*buffer, error) {
	if bytes.HasPrefix(src, []byte("\xff\x06\x00\x00sNaPpY")) {
		const chunks = 160 << 10
		if err := h.take(chunks); err != nil {
			return nil, err
		}
		defer h.give(chunks)
		r := unframers.Get().(*s2.Reader)
		defer func() {
			r.Reset(nil)
			unframers.Put(r)
		}()
		r.Reset(bytes.NewReader(src))
		return s.drain(r, len(src), h)
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
	if err := h.inflating(n); err != nil {
		return nil, err
	}
	if err := h.take(roundUp(n)); err != nil {
		return nil, err
	}
	out := getBuffer(n)
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
