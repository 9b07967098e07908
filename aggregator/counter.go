package aggregator

import (
	"cmp"
	"slices"
)

// counter counts keys. It is a Go map; counting a key that it has seen
// allocates nothing. (A hash table of our own, with the keys in one piece of
// memory, was no faster: see docs/decisions/0009.)
//
// It is bounded: once it has maxKeys keys, or the next key would take it past
// maxBytes bytes of keys, a key that it does not know yet is counted under
// Other. Keys are admitted in the order in which they come, so the same keys in
// the same order always give the same counts, in whatever parts they come.
//
// A counter is not safe for concurrent use.
type counter struct {
	counts map[string]*uint64
	free   []uint64 // counts that no key has yet
	other  uint64

	bytes    int // of all keys
	maxKeys  int
	maxBytes int

	order []entry // of sorted; kept for its memory
}

// entry is a key, in the spelling of a canonical line, and its count.
type entry struct {
	key string
	n   uint64
}

const (
	// keyBytes is what the keys of a counter may have on average when it has
	// maxKeys of them. Paths and user agents of real logs have around 30 and 90
	// bytes.
	keyBytes = 192
	// countsAtOnce is how many counts are allocated together.
	countsAtOnce = 512
)

// newCounter returns an empty counter of at most maxKeys distinct keys, which
// together have at most maxKeys × keyBytes bytes.
func newCounter(maxKeys int) *counter {
	return &counter{counts: map[string]*uint64{}, maxKeys: maxKeys, maxBytes: maxKeys * keyBytes}
}

// reset empties the counter. A large map is given to the garbage collector:
// the next hour is usually smaller, and clearing the map takes as long as filling
// it.
func (c *counter) reset() {
	if len(c.counts) > 4*countsAtOnce {
		c.counts = map[string]*uint64{}
	}
	clear(c.counts)
	clear(c.order[:cap(c.order)]) // it refers to keys
	if cap(c.order) > 4*countsAtOnce {
		c.order = nil
	}
	c.other, c.bytes = 0, 0
}

// find returns the count of a key, or nil if it has none.
func (c *counter) find(key []byte) *uint64 { return c.counts[string(key)] }

// add counts a key n times. It keeps nothing of key.
func (c *counter) add(key []byte, n uint64) {
	if count := c.find(key); count != nil {
		*count += n
		return
	}
	c.insert(key, n)
}

// insert counts n times a key that find does not know: as a key of its own if
// there is room for it, else under Other. It keeps nothing of key.
func (c *counter) insert(key []byte, n uint64) {
	if string(key) == Other || len(c.counts) >= c.maxKeys || c.bytes+len(key) > c.maxBytes {
		c.other += n
		return
	}
	if len(c.free) == 0 {
		c.free = make([]uint64, countsAtOnce)
	}
	count := &c.free[0]
	c.free = c.free[1:]
	*count = n
	c.counts[string(key)] = count
	c.bytes += len(key)
}

// merge adds every count of from.
func (c *counter) merge(from *counter) {
	for _, e := range from.sorted() {
		c.add([]byte(e.key), e.n)
	}
}

// sorted returns every key that has been counted, in the order of a summary: by
// count, the largest first, and those of one count by key. It is valid until
// the next call of sorted or reset.
func (c *counter) sorted() []entry {
	c.order = c.order[:0]
	for key, n := range c.counts {
		c.order = append(c.order, entry{key, *n})
	}
	if c.other > 0 {
		c.order = append(c.order, entry{Other, c.other})
	}
	slices.SortFunc(c.order, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.key, b.key))
	})
	return c.order
}
