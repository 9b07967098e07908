package aggregator

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// counter counts keys. It is the hash table of the hot path: open addressing
// with linear probing over slots of eight bytes, and an arena in which each
// key stands behind its count. Counting a key it has seen allocates nothing and
// touches two places in memory: a slot, and the count with its key.
//
// It is bounded: once it holds maxKeys keys, or the next key would take it past
// maxBytes bytes of keys, what it does not know yet is counted under Other. Keys
// are admitted in the order in which they come, so the same keys in the same
// order always give the same counts, in whatever parts they come.
//
// A counter is not safe for concurrent use.
type counter struct {
	slots   []slot   // a power of two of them, at most three quarters of them taken
	keys    int      // slots taken, without the one of Other
	arena   [][]byte // chunks of chunkSize bytes; an entry never straddles two
	filling int      // the chunk that is being filled; those after it are empty
	seed    maphash.Seed

	bytes    int // of all keys
	maxKeys  int
	maxBytes int
}

// slot is a place in the hash table.
type slot struct {
	tag uint32 // the upper half of the hash
	at  ref    // where the entry is; 0 means the slot is free
}

// ref says where in the arena an entry is: the chunk, and the offset within it
// in units of entryAlign, plus one.
type ref uint32

// An entry of the arena is: the count (8 bytes), the length of the key (4), the
// lower half of its hash (4), the key, and what it takes to begin the next
// entry at a multiple of entryAlign.
const (
	entryHead  = 16
	entryAlign = 16

	minSlots  = 1 << 10
	chunkSize = 256 << 10
	chunkRefs = chunkSize / entryAlign
	// maxKey is the longest key that is admitted.
	maxKey = chunkSize - entryHead
	// keyBytes is what the arena may hold for each of maxKeys keys, on average.
	// Paths and user agents of real logs are around 30 and 90 bytes long.
	keyBytes = 192
)

// newCounter returns an empty counter of at most maxKeys distinct keys, which
// together have at most maxKeys × keyBytes bytes.
func newCounter(maxKeys int) *counter {
	c := &counter{
		slots:    make([]slot, minSlots),
		seed:     maphash.MakeSeed(),
		maxKeys:  maxKeys,
		maxBytes: maxKeys * keyBytes,
	}
	c.admitOther()
	return c
}

// admitOther makes the entry that every counter has, with a count of 0.
func (c *counter) admitOther() {
	key := []byte(Other)
	c.admit(key, c.hash(key), 0)
	c.keys, c.bytes = 0, 0
}

// reset empties the counter and keeps its memory.
func (c *counter) reset() {
	clear(c.slots)
	for i := range c.arena {
		c.arena[i] = c.arena[i][:0]
	}
	c.filling = 0
	c.admitOther()
}

// hash returns what find and insert want to know of a key.
func (c *counter) hash(key []byte) uint64 { return maphash.Bytes(c.seed, key) }

// entry returns the entry at r and what follows it in its chunk.
func (c *counter) entry(r ref) []byte {
	i := uint32(r - 1)
	return c.arena[i/chunkRefs][i%chunkRefs*entryAlign:]
}

// find returns the entry of a key, or nil if it has none. It is valid until the
// next reset.
func (c *counter) find(key []byte, hash uint64) []byte {
	tag, mask := uint32(hash>>32), uint32(len(c.slots)-1)
	for i := uint32(hash) & mask; ; i = (i + 1) & mask {
		s := c.slots[i]
		if s.at == 0 {
			return nil
		}
		if s.tag != tag {
			continue
		}
		if e := c.entry(s.at); string(entryKey(e)) == string(key) {
			return e
		}
	}
}

func entryKey(e []byte) []byte {
	return e[entryHead : entryHead+int(binary.LittleEndian.Uint32(e[8:]))]
}

func entryCount(e []byte) uint64 { return binary.LittleEndian.Uint64(e) }

// addTo adds n to the count of an entry.
func addTo(e []byte, n uint64) {
	binary.LittleEndian.PutUint64(e, binary.LittleEndian.Uint64(e)+n)
}

// add counts n times a key. It keeps nothing of key.
func (c *counter) add(key []byte, n uint64) {
	hash := c.hash(key)
	if e := c.find(key, hash); e != nil {
		addTo(e, n)
		return
	}
	c.insert(key, hash, n)
}

// insert counts n times a key that find does not know: as an entry of its own
// if there is room for it, else under Other. It keeps nothing of key.
func (c *counter) insert(key []byte, hash, n uint64) {
	if c.keys < c.maxKeys && c.bytes+len(key) <= c.maxBytes && len(key) <= maxKey {
		c.admit(key, hash, n)
		return
	}
	other := []byte(Other)
	addTo(c.find(other, c.hash(other)), n)
}

func (c *counter) admit(key []byte, hash, n uint64) {
	if 4*(c.keys+1) >= 3*len(c.slots) {
		old := c.slots
		c.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.at != 0 {
				c.place(s, binary.LittleEndian.Uint32(c.entry(s.at)[12:]))
			}
		}
	}
	c.place(slot{tag: uint32(hash >> 32), at: c.store(key, uint32(hash), n)}, uint32(hash))
	c.keys++
	c.bytes += len(key)
}

// store appends an entry to the arena.
func (c *counter) store(key []byte, home uint32, n uint64) ref {
	size := (entryHead + len(key) + entryAlign - 1) &^ (entryAlign - 1)
	if c.filling < len(c.arena) && chunkSize-len(c.arena[c.filling]) < size {
		c.filling++
	}
	if c.filling == len(c.arena) {
		c.arena = append(c.arena, make([]byte, 0, chunkSize))
	}
	chunk := c.arena[c.filling]
	at := len(chunk)
	chunk = chunk[:at+size]
	binary.LittleEndian.PutUint64(chunk[at:], n)
	binary.LittleEndian.PutUint32(chunk[at+8:], uint32(len(key)))
	binary.LittleEndian.PutUint32(chunk[at+12:], home)
	copy(chunk[at+entryHead:], key)
	c.arena[c.filling] = chunk
	return ref(c.filling*chunkRefs + at/entryAlign + 1)
}

// place puts s into the first free slot from home on.
func (c *counter) place(s slot, home uint32) {
	mask := uint32(len(c.slots) - 1)
	i := home & mask
	for c.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = s
}

// sorted appends a reference to every entry that has counted anything to dst,
// in the order of a summary: by count, the largest first, and those of one
// count by key.
func (c *counter) sorted(dst []ref) []ref {
	from := len(dst)
	for _, s := range c.slots {
		if s.at != 0 && entryCount(c.entry(s.at)) > 0 {
			dst = append(dst, s.at)
		}
	}
	slices.SortFunc(dst[from:], func(a, b ref) int {
		x, y := c.entry(a), c.entry(b)
		if d := cmp.Compare(entryCount(y), entryCount(x)); d != 0 {
			return d
		}
		return bytes.Compare(entryKey(x), entryKey(y))
	})
	return dst
}

// total returns the sum of all counts.
func (c *counter) total() uint64 {
	var n uint64
	for _, s := range c.slots {
		if s.at != 0 {
			n += entryCount(c.entry(s.at))
		}
	}
	return n
}
