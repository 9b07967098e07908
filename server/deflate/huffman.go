package deflate

import "math/bits"

// An entry of a decoding table says what to do with the next bits:
//
//	bit  31     a literal, in bits 16-23
//	bits 16-30  the base of a length or a distance, or where a subtable begins
//	bit  15     neither literal nor base: see the next two
//	bit  14     a subtable: bits 8-12 are the bits that index it
//	bit  13     the end of the block
//	bits 8-12   bits of the code, before its extra bits
//	bits 0-7    bits to consume: the code and its extra bits
//
// An entry of zero belongs to no code.
type entry = uint32

const (
	literal    entry = 1 << 31
	special    entry = 1 << 15
	subtable   entry = 1 << 14
	endOfBlock entry = 1 << 13

	literalBits  = 11 // that index the table of literals and lengths
	distanceBits = 9  // that index the table of distances
	maxCodeBits  = 15

	maxLiterals  = 288
	maxDistances = 32

	// Entries of a complete code with subtables, by zlib's enough.c:
	// enough 288 11 15 and enough 32 9 15.
	literalEntries  = 2342
	distanceEntries = 594
)

type (
	literalTable  [literalEntries]entry
	distanceTable [distanceEntries]entry
)

// What the symbols of each alphabet mean, without the bits of their codes: a
// literal, or a base with the number of its extra bits in bits 0-7.
var (
	literalSymbols  = makeLiteralSymbols()
	distanceSymbols = makeDistanceSymbols()
)

func makeLiteralSymbols() (symbols [maxLiterals]entry) {
	for s := range entry(256) {
		symbols[s] = literal | s<<16
	}
	symbols[256] = special | endOfBlock
	base := entry(3)
	for s := 257; s < 285; s++ {
		extra := entry(max(0, (s-261)/4))
		symbols[s] = base<<16 | extra
		base += 1 << extra
	}
	symbols[285] = 258 << 16
	return symbols // 286 and 287 stay zero: no symbol may use them
}

func makeDistanceSymbols() (symbols [maxDistances]entry) {
	base := entry(1)
	for s := range 30 {
		extra := entry(max(0, s/2-1))
		symbols[s] = base<<16 | extra
		base += 1 << extra
	}
	return symbols
}

// The tables of blocks with fixed codes (RFC 1951, 3.2.6).
var (
	fixedLiterals  = makeFixedLiterals()
	fixedDistances = makeFixedDistances()
)

func makeFixedLiterals() *literalTable {
	var lengths [maxLiterals]uint8
	for s := range lengths {
		switch {
		case s < 144:
			lengths[s] = 8
		case s < 256:
			lengths[s] = 9
		case s < 280:
			lengths[s] = 7
		default:
			lengths[s] = 8
		}
	}
	t := new(literalTable)
	fillTable(t[:], literalBits, lengths[:], literalSymbols[:])
	return t
}

func makeFixedDistances() *distanceTable {
	var lengths [maxDistances]uint8
	for s := range lengths {
		lengths[s] = 5
	}
	t := new(distanceTable)
	fillTable(t[:], distanceBits, lengths[:], distanceSymbols[:])
	return t
}

// fillTable makes table the decoding table of the canonical Huffman code in which
// symbol s has a code of lengths[s] bits, none if that is 0. The first 1<<index
// entries are found by the next bits of input; longer codes lead from there to
// subtables behind them. It reports false for lengths that are no prefix code. As
// zlib does, it takes a single code of one bit, and no code at all.
func fillTable(table []entry, index uint, lengths []uint8, symbols []entry) bool {
	var count, next [maxCodeBits + 1]int // codes of a length, and the next of them
	longest := 0
	for _, n := range lengths {
		count[n]++
		longest = max(longest, int(n))
	}
	clear(table[:1<<index])
	if longest == 0 {
		return true
	}
	count[0] = 0
	code := 0
	for n := 1; n <= longest; n++ {
		code = (code + count[n-1]) << 1
		next[n] = code
	}
	code += count[longest]
	if code != 1<<longest && (code != 1 || longest != 1) {
		return false
	}

	// The symbols by length, and within a length as they are: this is the order of
	// their codes, in which those with a common prefix follow one another.
	var order [maxLiterals]uint16
	var at [maxCodeBits + 1]int
	total := 0
	for n, c := range count {
		at[n] = total
		total += c
	}
	for s, n := range lengths {
		if n > 0 {
			order[at[n]] = uint16(s)
			at[n]++
		}
	}
	free := 1 << index // where the next subtable begins
	prefix := -1       // the bits that lead to the subtable that is being filled
	var sub []entry
	for _, s := range order[:total] {
		n := uint(lengths[s])
		reversed := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		e := symbols[s]
		if e == 0 {
			count[n]--
			continue // a code that no symbol may have: its entries stay zero
		}
		if n <= index {
			e += entry(n)<<8 | entry(n)
			for i := reversed; i < 1<<index; i += 1 << n {
				table[i] = e
			}
			count[n]--
			continue
		}
		if low := reversed & (1<<index - 1); low != prefix {
			prefix = low
			// As wide as the longest code of this prefix: wider until the codes
			// that are left fill it.
			width := n - index
			for used := count[n]; used < 1<<width; used = used<<1 + count[index+width] {
				width++
			}
			sub = table[free : free+1<<width]
			clear(sub)
			table[low] = special | subtable | entry(free)<<16 | entry(width)<<8 | entry(index)
			free += 1 << width
		}
		e += entry(n-index)<<8 | entry(n-index)
		for i := reversed >> index; i < len(sub); i += 1 << (n - index) {
			sub[i] = e
		}
		count[n]--
	}
	return true
}
