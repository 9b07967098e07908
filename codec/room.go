package codec

import "slices"

// Room is where a Batch asks for memory before it takes it, so that a
// caller that decodes many bodies at once can bound what they take together. A body may grow
// six-fold when it is decoded, and as much again when it is regrouped by hour.
type Room interface {
	// Reuse asks whether the batch may use n bytes that it has from before.
	Reuse(n int) bool
	// Take asks for n bytes. An error ends the decoding, and is returned by it.
	Take(n int) error
	// Give returns n bytes of those taken before.
	Give(n int)
}

// take asks for n bytes. It reports false if there is no room for them: the scan
// ends then.
func (d *decoder) take(n int) bool {
	if d.b.room == nil || n <= 0 {
		return true
	}
	if d.b.noRoom = d.b.room.Take(n); d.b.noRoom == nil {
		return true
	}
	d.over = new(LimitError)
	return false
}

// grow makes sure that n more bytes fit into the output. While it is copied to
// where there is more room, both places are taken.
func (d *decoder) grow(n int) bool {
	if cap(d.out)-len(d.out) >= n {
		return true
	}
	if d.b.room == nil {
		d.out = slices.Grow(d.out, n)
		return true
	}
	size := len(d.out) + max(n, len(d.out)/4)
	if !d.take(size) {
		return false
	}
	old := cap(d.out)
	d.out = append(make([]byte, 0, size), d.out...)
	d.b.room.Give(old)
	return true
}

// growRuns makes sure that one more run fits.
func (d *decoder) growRuns() bool {
	more := max(16, len(d.b.runs)/2)
	if !d.take((len(d.b.runs) + more) * runBytes) {
		return false
	}
	old := cap(d.b.runs)
	d.b.runs = append(make([]Run, 0, len(d.b.runs)+more), d.b.runs...)
	if d.b.room != nil {
		d.b.room.Give(old * runBytes)
	}
	return true
}

// largeRecord is how many bytes a record has, as it was sent, from which on the
// memory is counted that single records are worked on in. What smaller ones need
// does not matter beside the output.
const largeRecord = 16 << 10

// account asks for the memory that the batch has come to work in, when a record of n
// bytes is next. It is asked for after it has been taken, a record late: it is at most
// a few times what one record may be. It reports false if there is no room.
func (d *decoder) account(n int) bool {
	d.large = n > largeRecord
	b := d.b
	held := b.workspace()
	if b.room == nil || held <= b.counted {
		return true
	}
	more := held - b.counted
	b.counted = held
	return d.take(more)
}

// takeTwins asks for the twins that regrouping copies lines and runs to.
func (d *decoder) takeTwins() bool {
	b := d.b
	return d.take(max(0, len(b.buf)-cap(b.scratch)) + max(0, len(b.runs)-cap(b.spare))*runBytes)
}
