package codec

import (
	"encoding/binary"
	"math/bits"
)

// The fast path of CSV. Unlike a JSON record that is canonical already, a row
// cannot be copied as a whole, so its texts are copied while they are scanned.

// plainRow is row for the usual record: its hour is the one remembered, nothing
// in it needs rewriting, and its path is before its user agent. The texts are
// copied to their final places as they are scanned, since the timestamp's length
// is known. For any other record, and when the output has to grow, it returns 0
// and has added nothing; the caller then uses row.
func (d *decoder) plainRow(b []byte, i int) int {
	const pathAt = hourAt + len(`2026-02-09T15:23:00Z","path":"`)
	line := d.out[len(d.out):cap(d.out)]
	if len(line) < pathAt {
		return 0
	}
	begin, end, seen := i, pathAt, uint8(0) // end is the length of the line so far
	for k, column := range d.b.order {
		switch {
		case i >= len(b):
			return 0
		case column == timestamp:
			if len(b)-i < 20 || !d.b.clock.is(b[i:]) || !isSecond(load(b, i+12)>>8, 0) {
				return 0
			}
			copy20(line[hourAt:], b[i:])
			i += 20
		default:
			if column == userAgent {
				const name = `","userAgent":"`
				if seen&(1<<path) == 0 || len(line)-end < len(name) {
					return 0
				}
				copy(line[end:end+len(name)], name)
				end += len(name)
			}
			start, quote := i, 0
			if b[i] == '"' {
				start, quote = i+1, 1
				if i = copyQuoted(line[end:], b, start); i >= len(b) || b[i] != '"' {
					return 0
				}
			} else {
				i = copyField(line[end:], b, start)
			}
			if column != none {
				if i == start || !startsNonBlank(b[start]) {
					return 0
				}
				end += i - start
			}
			i += quote
		}
		seen |= 1 << column
		switch {
		case i >= len(b):
			return 0
		case k < len(d.b.order)-1:
			if b[i] != ',' {
				return 0
			}
			i++
		default:
			n := lineEnd(b, i)
			if n == 0 || d.limits.SentBytes > 0 && i-begin > d.limits.SentBytes {
				return 0
			}
			i += n
		}
	}
	if len(line)-end < 3 || d.limits.RecordBytes > 0 && end+2 > d.limits.RecordBytes {
		return 0
	}
	if d.b.clock.hour != d.hour && !d.within.hour(d.b.clock.hour) {
		return 0
	}
	copy(line[:hourAt], `{"timestamp":"`)
	copy(line[hourAt+20:pathAt], `","path":"`)
	copy(line[end:end+3], "\"}\n")
	if d.b.clock.hour != d.hour {
		d.startRun(d.b.clock.hour, len(d.out), d.good)
	}
	d.out = d.out[:len(d.out)+end+3]
	d.good++
	d.index++
	return i
}

// copyQuoted is ordinary, and also copies the bytes that it passes to dst. It
// copies 16 bytes at a time, so up to 15 more than those are written. It returns
// len(b) where b ends before, or fewer than 16 bytes are left in dst: the caller then
// has to take the general path.
func copyQuoted(dst, b []byte, i int) int {
	n := 0
	for ; i <= len(b)-16 && n <= len(dst)-16; n += 16 {
		s, t := b[i:i+16:i+16], dst[n:n+16:n+16]
		w0, w1 := load(s, 0), load(s, 8)
		binary.LittleEndian.PutUint64(t, w0)
		binary.LittleEndian.PutUint64(t[8:], w1)
		m0, m1 := marks(w0), marks(w1)
		if (m0|m1)&highs != 0 {
			return i + bits.TrailingZeros64(bytesOf(m0)|bytesOf(m1)<<8)
		}
		i += 16
	}
	if len(b) < 8 || n > len(dst)-16 {
		return len(b)
	}
	// The last 15 bytes. Zeros, which are marked, stand for what is behind b.
	for i < len(b) {
		left := min(len(b)-i, 8)
		w := load(b, i+left-8) >> (64 - 8*left)
		binary.LittleEndian.PutUint64(dst[n:n+8], w)
		if m := special(w); m != 0 {
			return i + firstMark(m)
		}
		i += left
		n += left
	}
	return len(b)
}

// copyField is copyQuoted for a field without quotes: it ends at commas too.
func copyField(dst, b []byte, i int) int {
	for n := 0; i <= len(b)-16 && n <= len(dst)-16; n += 16 {
		s, t := b[i:i+16:i+16], dst[n:n+16:n+16]
		w0, w1 := load(s, 0), load(s, 8)
		binary.LittleEndian.PutUint64(t, w0)
		binary.LittleEndian.PutUint64(t[8:], w1)
		m0, m1 := commaOr(w0), commaOr(w1)
		if (m0|m1)&highs != 0 {
			return i + bits.TrailingZeros64(bytesOf(m0)|bytesOf(m1)<<8)
		}
		i += 16
	}
	return len(b)
}
