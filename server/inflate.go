package server

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"logforge/server/deflate"
)

// coding is one Content-Encoding: inflate takes the whole compressed body and
// returns the plain one in a buffer taken from u, which holds at most
// server.maxBodyBytes. No size that the body states about itself is trusted:
// memory is taken for what has come out, or for what usually does. Errors:
// errTooLarge, errBusy, errNeverFits, and any other for a body that is cut short
// or damaged.
type coding struct {
	name    string
	inflate func(s *Server, src []byte, u *usage) (*buffer, error)
}

// codingsByName are all codings, under each name that clients use.
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
func (s *Server) inflate(buf *buffer, c codings, u *usage) (*buffer, error) {
	if u.sent == 0 { // what came out of another compression was not sent
		u.sent = len(buf.b)
	}
	for c.n > 0 {
		c.n--
		out, err := c.layers[c.n].inflate(s, buf.b, u)
		drop(buf, u)
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

// unflaters are decoders of DEFLATE without a window of their own.
var unflaters = sync.Pool{New: func() any { return new(deflate.Decoder) }}

// unflaterBytes is the memory of one of them.
const unflaterBytes = 16 << 10

// gunzip undoes gzip, of one member or several.
func (s *Server) gunzip(src []byte, u *usage) (*buffer, error) {
	return s.unflate(src, deflate.Gzip, u)
}

// undeflate undoes zlib, and the bare DEFLATE that some clients send as deflate.
func (s *Server) undeflate(src []byte, u *usage) (*buffer, error) {
	if isZlib(src) {
		return s.unflate(src, deflate.Zlib, u)
	}
	return s.unflate(src, deflate.Raw, u)
}

func (s *Server) unflate(src []byte, format deflate.Format, u *usage) (*buffer, error) {
	first := s.firstInflated(len(src)) + deflate.Slack
	if err := u.take(unflaterBytes); err != nil {
		return nil, err
	}
	out, err := u.buffer(first)
	if err != nil {
		u.give(unflaterBytes)
		return nil, err
	}
	in := unflaters.Get().(*deflate.Decoder)
	in.Reset(src, format)
	defer func() {
		in.Release() // the pool must not keep a body alive
		unflaters.Put(in)
		u.give(unflaterBytes)
	}()
	for {
		var err error
		out.b, err = in.Append(out.b)
		switch {
		case err == nil && len(out.b) <= s.maxBody:
			return out, nil
		case err == nil || err == deflate.ErrShort && len(out.b) > s.maxBody:
			err = errTooLarge
		case err == deflate.ErrShort:
			if err = grow(&out, min(cap(out.b)*growth, s.maxBody+2*deflate.Slack), u); err == nil {
				continue
			}
		}
		drop(out, u)
		return nil, err
	}
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
// The size that a frame states saves the tries; it is used only up to trustedRatio
// times what was sent.
func (s *Server) unzstd(src []byte, u *usage) (*buffer, error) {
	const trustedRatio = 64
	// A block takes four bytes at least, so no valid body inflates to more than this.
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
			size = max(size, min(int(stated), trustedRatio*len(src)))
		}
	}
	for {
		size = min(size, most, s.maxBody)
		if err := u.inflating(size); err != nil {
			return nil, err
		}
		out, err := u.buffer(size + zstdSlack)
		if err != nil {
			return nil, err
		}
		space := cap(out.b)
		b, err := s.zstd.DecodeAll(src, out.b)
		if err == nil && len(b) <= s.maxBody {
			out.b = out.b[:len(b)]
			return out, nil
		}
		drop(out, u)
		switch {
		case len(b) > s.maxBody:
			return nil, errTooLarge
		// The decoder does not report every lack of space as
		// ErrDecoderSizeExceeded. But where a whole block had room, space was not
		// what was missing: the body is damaged.
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
func (s *Server) unsnap(src []byte, u *usage) (*buffer, error) {
	if bytes.HasPrefix(src, []byte("\xff\x06\x00\x00sNaPpY")) {
		return s.unframe(src, u)
	}
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	// Three bytes copy at most 64: a block that states more is damaged, and gets no
	// memory.
	if n/22 > len(src) {
		return nil, errCorrupt
	}
	if n > s.maxBody {
		return nil, errTooLarge
	}
	if err := u.inflating(n); err != nil {
		return nil, err
	}
	out, err := u.buffer(n)
	if err != nil {
		return nil, err
	}
	b, err := s2.Decode(out.b[:cap(out.b)], src)
	if err != nil {
		drop(out, u)
		return nil, err
	}
	out.b = out.b[:len(b)]
	return out, nil
}

// unframe undoes the framed stream.
func (s *Server) unframe(src []byte, u *usage) (*buffer, error) {
	const chunks = 160 << 10 // bytes: the buffers of one reader
	first := s.firstInflated(len(src))
	if err := u.take(chunks); err != nil {
		return nil, err
	}
	defer u.give(chunks)
	out, err := u.buffer(first)
	if err != nil {
		return nil, err
	}
	r := unframers.Get().(*s2.Reader)
	defer func() {
		r.Reset(nil)
		unframers.Put(r)
	}()
	r.Reset(bytes.NewReader(src))
	if err := fill(r, -1, s.maxBody, &out, u); err != nil {
		drop(out, u)
		return nil, err
	}
	return out, nil
}

// unframers read snappy's framed form; its chunks hold at most 64 KiB each.
var unframers = sync.Pool{New: func() any { return s2.NewReader(nil, s2.ReaderMaxBlockSize(64<<10)) }}
