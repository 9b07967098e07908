package deflate

import (
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
)

// Format is what is around a DEFLATE stream.
type Format uint8

// The formats. Raw is DEFLATE without a header or a checksum.
const (
	Gzip Format = iota
	Zlib
	Raw
)

// Decoder inflates one body. The zero value is ready for Reset; one Decoder can
// be used for any number of bodies, one after another. It takes about 13 KiB.
type Decoder struct {
	stream decoder
	format Format
	inside bool   // of a member of the input
	rest   []byte // input behind the last member
	start  int    // of the member's output
	summed int    // output up to here is in sum
	sum    uint32
}

// Reset begins with body, which must not change until Append has returned nil or
// an error other than ErrShort.
func (d *Decoder) Reset(body []byte, f Format) {
	d.format, d.inside, d.rest = f, false, body // begin sets the others
}

// Release lets go of the body.
func (d *Decoder) Release() { d.Reset(nil, d.format); d.stream.reset(nil) }

// Append appends the inflated body to dst, within dst's capacity. It returns nil
// at the end of the body; ErrShort when dst is full, to be called again with what
// it returned and more room behind (the bytes may have moved, and must be the
// same: matches are copied from them); or ErrCorrupt. A gzip body may have several
// members; a body that goes on behind its end is corrupt.
func (d *Decoder) Append(dst []byte) ([]byte, error) {
	for {
		if !d.inside {
			if !d.begin(len(dst)) {
				return dst, ErrCorrupt
			}
		}
		out, err := d.stream.append(dst, d.start)
		d.checksum(out)
		if err != nil {
			return out, err
		}
		d.inside = false
		if !d.end(len(out) - d.start) {
			return out, ErrCorrupt
		}
		if len(d.rest) == 0 {
			return out, nil
		}
		if d.format != Gzip {
			return out, ErrCorrupt
		}
		dst = out
	}
}

// begin reads the header of a member whose output will begin at start.
func (d *Decoder) begin(start int) bool {
	b := d.rest
	switch d.format {
	case Gzip:
		n := gzipHeader(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		d.sum = 0
	case Zlib:
		// Method 8, a window of at most 32 KiB, no preset dictionary.
		if len(b) < 2 || b[0]&0x0f != 8 || b[0]>>4 > 7 || b[1]&0x20 != 0 || (uint(b[0])<<8|uint(b[1]))%31 != 0 {
			return false
		}
		b = b[2:]
		d.sum = 1
	}
	d.stream.reset(b)
	d.inside, d.start, d.summed = true, start, start
	return true
}

// checksum adds what is new of out to the sum.
func (d *Decoder) checksum(out []byte) {
	switch d.format {
	case Gzip:
		d.sum = crc32.Update(d.sum, crc32.IEEETable, out[d.summed:])
	case Zlib:
		d.sum = updateAdler(d.sum, out[d.summed:])
	}
	d.summed = len(out)
}

// end compares what follows a member of length bytes.
func (d *Decoder) end(length int) bool {
	b := d.stream.rest()
	switch d.format {
	case Gzip:
		if len(b) < 8 || binary.LittleEndian.Uint32(b) != d.sum || binary.LittleEndian.Uint32(b[4:]) != uint32(length) {
			return false
		}
		b = b[8:]
	case Zlib:
		if len(b) < 4 || binary.BigEndian.Uint32(b) != d.sum {
			return false
		}
		b = b[4:]
	}
	d.rest = b
	return true
}

// gzipHeader returns the length of the header of a gzip member, or -1 (RFC 1952,
// 2.3).
func gzipHeader(b []byte) int {
	const headerCRC, extra, name, comment = 1 << 1, 1 << 2, 1 << 3, 1 << 4
	if len(b) < 10 || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 {
		return -1
	}
	flags, n := b[3], 10
	if flags&extra != 0 {
		if len(b) < n+2 {
			return -1
		}
		n += 2 + int(binary.LittleEndian.Uint16(b[n:]))
	}
	for _, flag := range []byte{name, comment} {
		if flags&flag == 0 {
			continue
		}
		for {
			if n >= len(b) {
				return -1
			}
			n++
			if b[n-1] == 0 {
				break
			}
		}
	}
	if flags&headerCRC != 0 {
		if len(b) < n+2 || uint16(crc32.ChecksumIEEE(b[:n])) != binary.LittleEndian.Uint16(b[n:]) {
			return -1
		}
		n += 2
	}
	if n > len(b) {
		return -1
	}
	return n
}

// updateAdler adds p to an Adler-32 checksum. hash/adler32 cannot go on from a
// sum, but the sum of a whole is that of its parts put together (zlib's
// adler32_combine).
func updateAdler(sum uint32, p []byte) uint32 {
	const mod = 65521
	next := adler32.Checksum(p)
	length := uint64(len(p)) % mod
	a1, b1 := uint64(sum&0xffff), uint64(sum>>16)
	a2, b2 := uint64(next&0xffff), uint64(next>>16)
	a := (a1 + a2 + mod - 1) % mod
	b := (b1 + b2 + length*a1 + mod*mod - length) % mod
	return uint32(b<<16 | a)
}
