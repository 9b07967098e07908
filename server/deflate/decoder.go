package deflate

import (
	"encoding/binary"
	"errors"
)

var (
	// ErrShort is returned by Append when dst has not the room to go on: at least
	// Slack bytes behind its length.
	ErrShort = errors.New("deflate: the output is full")
	// ErrCorrupt is returned for input that is no whole stream of its format.
	ErrCorrupt = errors.New("deflate: corrupt or incomplete input")
)

// Slack is the room behind the output that Append needs to go on: the longest
// match, and what the last of its eight-byte stores may write beyond it.
const Slack = 258 + 16

// decoder inflates one DEFLATE stream. It holds no output: matches are copied
// from the slice that it appends to.
type decoder struct {
	in   []byte
	pos  int    // of the next byte to load
	bits uint64 // loaded and not consumed, the next bit lowest
	n    uint   // how many of bits count; those above are zero, or will be loaded again
	past int    // zero bytes loaded from behind the end of in

	state  state
	last   bool // the block is the last one
	stored int  // bytes left of a stored block

	literals     *literalTable
	distances    *distanceTable
	ownLiterals  literalTable
	ownDistances distanceTable
}

type state uint8

const (
	atHeader state = iota // of a block
	inStored
	inCodes
	atEnd
)

func (d *decoder) reset(in []byte) {
	d.in, d.pos, d.bits, d.n, d.past = in, 0, 0, 0, 0
	d.state, d.last, d.stored = atHeader, false, 0
}

// rest returns the input behind the stream, from the next whole byte on. It is
// meaningful at the end of the stream.
func (d *decoder) rest() []byte { return d.in[d.pos+d.past-int(d.n/8):] }

// overrun reports whether bits were consumed that the input does not have.
func (d *decoder) overrun() bool { return int(d.n/8) < d.past }

// need loads until at least 32 bits are there, zeros behind the end of the input.
func (d *decoder) need() {
	for d.n < 32 {
		if d.pos < len(d.in) {
			d.bits |= uint64(d.in[d.pos]) << d.n
			d.pos++
		} else {
			d.past++
		}
		d.n += 8
	}
}

// take consumes and returns n bits, of those that need has loaded.
func (d *decoder) take(n uint) uint {
	v := uint(d.bits) & (1<<n - 1)
	d.bits >>= n
	d.n -= n
	return v
}

// append appends the stream to out, whose bytes from start on are the stream's
// own: no distance leads further back. It returns nil at the end of the stream,
// else ErrShort, to be called again with more room, or ErrCorrupt.
func (d *decoder) append(out []byte, start int) ([]byte, error) {
	for {
		var err error
		switch d.state {
		case atHeader:
			if d.last {
				d.state = atEnd
				continue
			}
			err = d.header()
		case inStored:
			out, err = d.copyStored(out)
		case inCodes:
			out, err = d.decode(out, start)
		case atEnd:
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// header reads the beginning of a block.
func (d *decoder) header() error {
	d.need()
	d.last = d.take(1) == 1
	switch d.take(2) {
	case 0:
		d.take(d.n % 8)
		d.need()
		length, inverse := d.take(16), uint(0)
		d.need()
		inverse = d.take(16)
		if length != ^inverse&0xffff || d.overrun() {
			return ErrCorrupt
		}
		// The bytes that are loaded already are read again, as bytes.
		d.pos -= int(d.n/8) - d.past
		d.bits, d.n, d.past = 0, 0, 0
		d.state, d.stored = inStored, int(length)
	case 1:
		d.literals, d.distances = fixedLiterals, fixedDistances
		d.state = inCodes
	case 2:
		if !d.readCodes() {
			return ErrCorrupt
		}
		d.literals, d.distances = &d.ownLiterals, &d.ownDistances
		d.state = inCodes
	default:
		return ErrCorrupt
	}
	if d.overrun() {
		return ErrCorrupt
	}
	return nil
}

func (d *decoder) copyStored(out []byte) ([]byte, error) {
	n := min(d.stored, cap(out)-len(out), len(d.in)-d.pos)
	out = append(out, d.in[d.pos:d.pos+n]...)
	d.pos += n
	d.stored -= n
	switch {
	case d.stored == 0:
		d.state = atHeader
		return out, nil
	case d.pos == len(d.in):
		return out, ErrCorrupt
	}
	return out, ErrShort
}

// lengthOrder is the order in which the lengths of the code lengths' code come.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the two codes of a dynamic block (RFC 1951, 3.2.7).
func (d *decoder) readCodes() bool {
	d.need()
	literals, distances, count := int(d.take(5))+257, int(d.take(5))+1, int(d.take(4))+4
	if literals > 286 || distances > 30 {
		return false
	}
	const index = 7 // bits of the longest code of a code length
	var lengths [286 + 30]uint8
	for _, s := range lengthOrder[:count] {
		d.need()
		lengths[s] = uint8(d.take(3))
	}
	var symbols [19]entry
	for s := range symbols {
		symbols[s] = special | entry(s)<<16
	}
	var table [1 << index]entry
	if !fillTable(table[:], index, lengths[:19], symbols[:]) {
		return false
	}
	clear(lengths[:19])
	for i := 0; i < literals+distances; {
		d.need()
		e := table[d.bits&(1<<index-1)]
		if e == 0 {
			return false
		}
		d.take(uint(e & 0xff))
		symbol := uint8(e >> 16)
		if symbol < 16 {
			lengths[i] = symbol
			i++
			continue
		}
		var length uint8
		var times int
		switch symbol {
		case 16:
			if i == 0 {
				return false
			}
			length, times = lengths[i-1], 3+int(d.take(2))
		case 17:
			times = 3 + int(d.take(3))
		default:
			times = 11 + int(d.take(7))
		}
		if i+times > literals+distances {
			return false
		}
		for range times {
			lengths[i] = length
			i++
		}
	}
	return fillTable(d.ownLiterals[:], literalBits, lengths[:literals], literalSymbols[:]) &&
		fillTable(d.ownDistances[:], distanceBits, lengths[literals:literals+distances], distanceSymbols[:])
}

// decode decodes symbols until the block ends or out is full.
func (d *decoder) decode(out []byte, start int) ([]byte, error) {
	out, err := d.decodeFast(out, start)
	if err != nil || d.state != inCodes {
		return out, err
	}
	// One symbol at a time, near the end of the input.
	for {
		if cap(out)-len(out) < Slack {
			return out, ErrShort
		}
		d.need()
		e := d.literals[d.bits&(1<<literalBits-1)]
		if e&subtable != 0 {
			d.take(literalBits)
			e = d.literals[entry(d.bits)&(1<<(e>>8&0x1f)-1)+e>>16]
		}
		code, all := uint(e>>8&0x1f), uint(e&0xff)
		if e&literal != 0 {
			d.take(uint(e & 0xff))
			if d.overrun() {
				return out, ErrCorrupt
			}
			out = append(out, byte(e>>16))
			continue
		}
		if e&special != 0 {
			d.take(all)
			if d.overrun() {
				return out, ErrCorrupt
			}
			d.state = atHeader
			return out, nil
		}
		if e == 0 {
			return out, ErrCorrupt
		}
		length := int(e>>16) + int(uint(d.bits)&(1<<all-1)>>code)
		d.take(all)
		d.need()
		e = d.distances[d.bits&(1<<distanceBits-1)]
		if e&special != 0 {
			d.take(distanceBits)
			e = d.distances[entry(d.bits)&(1<<(e>>8&0x1f)-1)+e>>16]
		}
		if e == 0 {
			return out, ErrCorrupt
		}
		code, all = uint(e>>8&0x1f), uint(e&0xff)
		distance := int(e>>16) + int(uint(d.bits)&(1<<all-1)>>code)
		d.take(all)
		if distance > len(out)-start || d.overrun() {
			return out, ErrCorrupt
		}
		for range length {
			out = append(out, out[len(out)-distance])
		}
	}
}

// decodeFast decodes as long as there are 16 bytes of input and room for the
// longest match: within that it need not look at either end.
func (d *decoder) decodeFast(dst []byte, start int) ([]byte, error) {
	in, pos := d.in, d.pos
	if len(in)-pos < 16 {
		return dst, nil
	}
	out, o := dst[:cap(dst)], len(dst)
	bits, n := d.bits, d.n
	literals, distances := d.literals, d.distances
	inEnd, outEnd := len(in)-16, len(out)-Slack
	var err error
	for pos <= inEnd {
		if o > outEnd {
			err = ErrShort
			break
		}
		// At least 56 bits from here on. Bits above n may be loaded twice: they
		// are the same.
		bits |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int(63-n) >> 3
		n |= 56

		e := literals[bits&(1<<literalBits-1)]
		if e >= literal { // up to three: 33 bits
			bits >>= e & 63
			n -= uint(e & 0xff)
			out[o] = byte(e >> 16)
			o++
			e = literals[bits&(1<<literalBits-1)]
			if e >= literal {
				bits >>= e & 63
				n -= uint(e & 0xff)
				out[o] = byte(e >> 16)
				o++
				e = literals[bits&(1<<literalBits-1)]
				if e >= literal {
					bits >>= e & 63
					n -= uint(e & 0xff)
					out[o] = byte(e >> 16)
					o++
					continue
				}
			}
		}
		if e&special != 0 {
			if e&subtable != 0 {
				bits >>= literalBits
				n -= literalBits
				e = literals[entry(bits)&(1<<(e>>8&0x1f)-1)+e>>16]
				if e >= literal {
					bits >>= e & 63
					n -= uint(e & 0xff)
					out[o] = byte(e >> 16)
					o++
					continue
				}
			}
			if e&endOfBlock != 0 {
				bits >>= e & 63
				n -= uint(e & 0xff)
				d.state = atHeader
				break
			}
		}
		if e == 0 {
			err = ErrCorrupt
			break
		}
		// At most 22 of the 56 bits are gone, and 20 more are needed here.
		length := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&31))
		bits >>= e & 63
		n -= uint(e & 0xff)

		bits |= binary.LittleEndian.Uint64(in[pos:]) << (n & 63)
		pos += int(63-n) >> 3
		n |= 56
		e = distances[bits&(1<<distanceBits-1)]
		if e&special != 0 {
			bits >>= distanceBits
			n -= distanceBits
			e = distances[entry(bits)&(1<<(e>>8&0x1f)-1)+e>>16]
		}
		if e == 0 {
			err = ErrCorrupt
			break
		}
		distance := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&31))
		bits >>= e & 63
		n -= uint(e & 0xff)

		from := o - distance
		if from < start {
			err = ErrCorrupt
			break
		}
		copyMatch(out, o, from, length)
		o += length
	}
	d.pos, d.bits, d.n = pos, bits&(1<<n-1), n
	return out[:o], err
}

// copyMatch copies length bytes within out from from to o, which is behind it.
// They may overlap: then what was copied is copied again. It may write up to 16
// bytes too many.
func copyMatch(out []byte, o, from, length int) {
	distance := o - from
	switch {
	case distance >= 8 && length <= 16:
		binary.LittleEndian.PutUint64(out[o:], binary.LittleEndian.Uint64(out[from:]))
		binary.LittleEndian.PutUint64(out[o+8:], binary.LittleEndian.Uint64(out[from+8:]))
	case distance >= length:
		copy(out[o:o+length], out[from:])
	default:
		for end := o + length; o < end; {
			// Each round copies all there is, twice as much as the one before.
			o += copy(out[o:end], out[from:o])
		}
	}
}
