package server

import (
	"errors"
	"io"
	"math/bits"
	"net"
	"sync"

	"github.com/valyala/fasthttp"

	"logforge/codec"
)

// buffer is a pooled slice with the capacity of its class. It belongs to one
// handler from getBuffer to putBuffer.
type buffer struct{ b []byte }

// Classes are four to each doubling, from 1 KiB up: a buffer, and what is
// reserved for it, is at most a quarter larger than asked for.
const (
	minBuffer = 1 << minBits
	minBits   = 10
	classes   = 1 + 4*(32-minBits)
)

var buffers [classes]sync.Pool

// classOf returns the smallest class that holds n bytes, and its size.
func classOf(n int) (class, size int) {
	if n <= minBuffer {
		return 0, minBuffer
	}
	step := bits.Len(uint(n-1)) - 3
	steps := (n-1)>>step + 1 // 5 to 8
	return 1 + 4*(step+2-minBits) + steps - 5, steps << step
}

// roundUp returns the capacity of the buffer that getBuffer(n) gives.
func roundUp(n int) int {
	_, size := classOf(n)
	return size
}

// getBuffer returns an empty buffer with room for n bytes.
func getBuffer(n int) *buffer {
	class, size := classOf(n)
	if b := pooled(class); b != nil {
		return b
	}
	return &buffer{b: make([]byte, 0, size)}
}

// pooled returns a buffer from the pool of a class; nil if there is none.
func pooled(class int) *buffer {
	b, _ := buffers[class].Get().(*buffer)
	return b
}

// buffer is getBuffer for a request, which takes the bytes for it first. The errors are
// those of take.
func (u *usage) buffer(n int) (*buffer, error) {
	class, size := classOf(n)
	if err := u.charge(size); err != nil {
		return nil, err
	}
	if b := pooled(class); b != nil {
		u.s.bytes.reuse(int64(size))
		return b, nil
	}
	u.s.bytes.collect(int64(size))
	return &buffer{b: make([]byte, 0, size)}, nil
}

// putBuffer gives b back. No slice of it may be used afterwards.
func putBuffer(b *buffer) {
	if poison {
		all := b.b[:cap(b.b)]
		for i := range all {
			all[i] = 0xDB
		}
	}
	b.b = b.b[:0]
	class, _ := classOf(cap(b.b))
	buffers[class].Put(b)
}

// How a body's buffer grows. While less than a quarter of all room is in use, a
// body is given at once what its Content-Length asks for. Past that it begins in
// a small buffer that grows by what has really arrived; and so does a body
// without a Content-Length.
const (
	firstBuffer = 4 << 10
	growth      = 4
)

// readBody reads the whole request body, of which wants is the plan, into a
// buffer taken from u. The buffer is the caller's, to be given back by drop.
// Errors: errTooLarge, errBusy, errTruncated, errSlow, errChunk.
func (s *Server) readBody(ctx *fasthttp.RequestCtx, u *usage, wants wants) (*buffer, error) {
	length := ctx.Request.Header.ContentLength() // -1 is chunked, -2 is none
	stream := ctx.RequestBodyStream()
	if length > s.maxBody {
		return nil, errTooLarge
	}
	if length == 0 || length == -2 || stream == nil {
		length = 0 // there may be no stream; fill then reads nothing
	}
	first := firstBuffer
	if length >= 0 && (length <= first || s.bytes.used.Load()+int64(length) < s.bytes.limit/4) {
		first = length
	}
	if err := u.await(s.needOf(length, wants)); err != nil {
		return nil, err
	}
	buf, err := u.buffer(first)
	if err != nil {
		return nil, err
	}
	err = fill(stream, length, s.maxBody, &buf, u)
	if err == nil && (length > 0 && len(buf.b) < length || length < 0 && hungUp(ctx)) {
		// fasthttp takes a connection that is closed in the middle of a body, or
		// between two chunks, for the body's end.
		err = errTruncated
	}
	if err != nil {
		drop(buf, u)
		return nil, readError(ctx, err)
	}
	return buf, nil
}

// usualRatio is how many times larger a compressed body usually becomes when it is
// inflated: access logs shrink ten- to twenty-fold.
const usualRatio = 16

// needOf estimates what a request holds at its height, in bytes: a body of the
// given length, its inflated form, and the batch. It is what the request waits
// for before its first byte. If it needs more, it takes that later, if there is
// room.
func (s *Server) needOf(length int, wants wants) int {
	need := 3 * firstBuffer // nothing is known of a chunked body
	if length >= 0 {
		plain := length
		need = roundUp(length)
		if wants.codings.n > 0 {
			plain = min(plain*usualRatio, s.maxBody)
			need += roundUp(plain)
		}
		need += plain
		if wants.format == codec.CSV { // grows by the names of its members
			need += plain
		}
	}
	return min(need, int(s.bytes.limit))
}

// fill reads r to its end, which lies after length bytes if length is above 0,
// and never past limit bytes. It replaces *buf as it grows; *buf stays the
// caller's. Errors: errTooLarge, errBusy, io.ErrNoProgress, or what r returned.
func fill(r io.Reader, length, limit int, buf **buffer, u *usage) error {
	const patience = 100 // reads in a row that return nothing, as in package bufio
	for empty := 0; empty < patience; {
		b := *buf
		have := len(b.b)
		switch {
		case have == length:
			return nil
		case have > limit:
			return errTooLarge
		case have < cap(b.b):
			n, err := r.Read(b.b[have:cap(b.b)])
			b.b = b.b[:have+n]
			if err == io.EOF && have+n <= limit {
				return nil
			}
			if err != nil && err != io.EOF {
				return err
			}
			if empty++; n > 0 {
				empty = 0
			}
		case have == limit: // full, and only the end may follow
			var probe [1]byte
			n, err := r.Read(probe[:])
			if n > 0 {
				return errTooLarge
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			empty++
		default:
			want := min(have*growth, limit)
			if length > 0 {
				want = min(want, length)
			}
			if err := grow(buf, want, u); err != nil {
				return err
			}
		}
	}
	return io.ErrNoProgress
}

// grow moves *buf into a buffer with room for n bytes. The new one is taken
// before the old one is given back, as both exist for a moment.
func grow(buf **buffer, n int, u *usage) error {
	if err := u.inflating(n); err != nil {
		return err
	}
	next, err := u.buffer(n)
	if err != nil {
		return err
	}
	next.b = append(next.b, (*buf).b...)
	drop(*buf, u)
	*buf = next
	return nil
}

// drop gives a buffer and what was taken for it back.
func drop(b *buffer, u *usage) {
	u.give(cap(b.b))
	putBuffer(b)
}

// readError says why a body could not be read to its end.
func readError(ctx *fasthttp.RequestCtx, err error) error {
	var network *net.OpError
	switch {
	case err == errTooLarge, err == errBusy, err == errNeverFits, err == errTruncated:
		return err
	case timedOut(ctx): // asked of the connection: fasthttp.ErrBrokenChunk hides its cause
		return errSlow
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return errTruncated
	}
	return errChunk
}
