package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// room is a bounded amount of something (bytes, places) that requests share. It
// is in one of three states: free, reserved for a request that has been admitted,
// or taken by one. Reserving may wait, in the order in which requests come, and
// looks at both; taking never waits and looks only at what is taken, so that a
// request that needs memory now is not refused because of memory that another one
// has only reserved.
//
// It is golang.org/x/sync/semaphore with the uncontended path taken out of the
// lock, and with the second state.
type room struct {
	limit    int64
	used     atomic.Int64 // taken; never above limit
	reserved atomic.Int64 // and not taken yet
	waiting  atomic.Int32
	lent     atomic.Int64 // what connections take themselves, beyond their allowance
	freed    freed        // memory beside what is taken; see giveBack

	mu    sync.Mutex
	queue []*waiter // first come, first served; guarded by mu
}

type waiter struct {
	n     int64
	ready chan struct{} // closed, under mu, once n has been reserved for this waiter
}

// bound is how much requests may take together.
func (r *room) bound() int64 { return r.limit - r.lent.Load() }

// take takes n if that much is not taken. It reports whether it has.
func (r *room) take(n int64) bool {
	for {
		used := r.used.Load()
		if used+n > r.bound() {
			return false
		}
		if r.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// scarce says whether more than half is taken or reserved.
func (r *room) scarce() bool { return r.used.Load()+r.reserved.Load() > r.limit/2 }

// give returns n that were taken.
func (r *room) give(n int64) {
	r.used.Add(-n)
	r.admit()
}

// reserve reserves n, waiting until t if there is no room or somebody is waiting
// already. It reports whether n was reserved.
func (r *room) reserve(n int64, t time.Time) bool {
	w := &waiter{n: n, ready: make(chan struct{})}
	r.mu.Lock()
	// waiting is raised before the last look at what is free, and whatever frees
	// something does so before it looks at waiting: one of the two sees the other.
	r.waiting.Add(1)
	r.queue = append(r.queue, w)
	r.admitLocked()
	r.mu.Unlock()

	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-w.ready:
		return true
	case <-timer.C:
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for i, q := range r.queue {
		if q == w {
			r.queue = append(r.queue[:i], r.queue[i+1:]...)
			r.waiting.Add(-1)
			r.admitLocked() // a large one at the head may have kept smaller ones waiting
			return false
		}
	}
	return true // reserved at the last moment
}

// tryReserve reserves n unless there is no room or somebody is waiting.
func (r *room) tryReserve(n int64) bool {
	return r.waiting.Load() == 0 && r.reserveNow(n)
}

func (r *room) reserveNow(n int64) bool {
	for {
		reserved := r.reserved.Load()
		if r.used.Load()+reserved+n > r.bound() {
			return false
		}
		if r.reserved.CompareAndSwap(reserved, reserved+n) {
			return true
		}
	}
}

// acquire takes n, waiting until t if it must. It reports whether n was taken.
func (r *room) acquire(n int64, t time.Time) bool {
	if !r.tryReserve(n) && !r.reserve(n, t) {
		return false
	}
	defer r.free(n)
	return r.take(n)
}

// free returns n that were reserved.
func (r *room) free(n int64) {
	r.reserved.Add(-n)
	r.admit()
}

// admit admits the waiters that now fit.
func (r *room) admit() {
	if r.waiting.Load() > 0 {
		r.mu.Lock()
		r.admitLocked()
		r.mu.Unlock()
	}
}

func (r *room) admitLocked() {
	for len(r.queue) > 0 && r.reserveNow(r.queue[0].n) {
		close(r.queue[0].ready)
		r.queue[0] = nil
		r.queue = r.queue[1:]
		r.waiting.Add(-1)
	}
}

// usage is what one request uses of the shared rooms. release gives it all
// back; it is deferred, so that a panic leaks no room.
//
// A request waits for bytes once, before it has taken any (await). What it needs
// after that it takes at once or not at all (take), so that no request waits for
// memory of another one that waits as well.
type usage struct {
	s     *Server
	conn  *conn     // keeps what is reserved; nil: nothing is reserved
	bytes int64     // taken and not given back
	slots int64     // reserved and not given back
	heavy int64     // reserved and not given back
	sent  int       // bytes of the body before it is inflated; 0: it is as it was sent
	until time.Time // when this request's one wait for room ends; zero until it first waits
}

// await waits until n bytes are free and reserves them for this request. It is
// called before the request has taken anything. They stay reserved for lapse only: a
// client that sends slowly, or nothing, keeps others waiting no longer than that.
// As long as less than half of all bytes would be taken there is no wait at all,
// whatever is reserved. The error is errBusy.
func (u *usage) await(n int) error {
	r, waited := &u.s.bytes, false
	switch {
	case u.conn == nil: // nothing would free them
		return nil
	case r.used.Load()+int64(n) < r.limit/2:
		r.reserved.Add(int64(n))
	case !r.tryReserve(int64(n)):
		if waited = true; !r.reserve(int64(n), u.deadline()) {
			return errBusy
		}
	}
	u.conn.reserved.Store(int64(n))
	if waited {
		u.conn.enter(arriving) // its time to arrive, and lapse, begin now
	}
	return nil
}

// take takes n bytes that are allocated next, of what is reserved for this request or
// beyond it. The error is errBusy, or errNeverFits where the request alone would be
// over the limit.
func (u *usage) take(n int) error {
	if err := u.charge(n); err != nil {
		return err
	}
	u.s.bytes.collect(int64(n))
	return nil
}

// reuse takes n bytes of memory that an earlier request has given back.
func (u *usage) reuse(n int) error {
	if err := u.charge(n); err != nil {
		return err
	}
	u.s.bytes.reuse(int64(n))
	return nil
}

// charge is take without an allocation.
func (u *usage) charge(n int) error {
	if !u.s.bytes.take(int64(n)) {
		if u.bytes+int64(n) > u.s.bytes.limit {
			return errNeverFits
		}
		return errBusy
	}
	u.bytes += int64(n)
	if u.conn != nil {
		u.conn.useReserved(int64(n))
	}
	return nil
}

// give returns n of the bytes before the request ends.
func (u *usage) give(n int) {
	u.bytes -= int64(n)
	u.s.bytes.giveBack(int64(n))
}

// freeUnused frees what is reserved and no longer needed: the request is inflated
// and takes no more bytes.
func (u *usage) freeUnused() {
	if u.heavy > 0 {
		u.s.heavy.free(u.heavy)
		u.heavy = 0
	}
	if u.conn != nil {
		u.conn.freeReserved()
	}
}

// slot takes one of the places of server.maxConcurrency, waiting if it must. A
// request that waits here has its body; one that has a place waits for no other
// request, so every place comes free. The error is errBusy.
func (u *usage) slot() error {
	if !u.s.slots.tryReserve(1) && !u.s.slots.reserve(1, u.deadline()) {
		return errBusy
	}
	u.slots++
	return nil
}

// inflating is called before a body is inflated to n bytes. A body that becomes far
// larger than access logs do needs one of few places for that, so that a client
// that sends little cannot take all processors from others. As with slot, a request
// that has a place waits for no other request. The error is errBusy.
func (u *usage) inflating(n int) error {
	const usual, ratio = 1 << 20, 64
	if u.heavy > 0 || u.sent == 0 || n <= usual || n/ratio <= u.sent {
		return nil
	}
	if !u.s.heavy.tryReserve(1) && !u.s.heavy.reserve(1, u.deadline()) {
		return errBusy
	}
	u.heavy++
	return nil
}

// deadline ends the one wait of this request, however many rooms it waits for.
func (u *usage) deadline() time.Time {
	if u.until.IsZero() {
		u.until = time.Now().Add(u.s.cfg.WaitForRoom)
	}
	return u.until
}

// release gives back everything.
func (u *usage) release() {
	u.freeUnused()
	if u.slots > 0 {
		u.s.slots.free(u.slots)
	}
	if u.bytes != 0 {
		u.s.bytes.giveBack(u.bytes)
	}
	u.slots, u.bytes = 0, 0
}

// countAnswer makes n bytes that are taken count until the answer has been sent.
func (c *conn) countAnswer(n int64) { c.sending.Add(n) }

// sent gives back what the answer took: it was sent, or given up.
func (c *conn) sent() {
	if c.sending.Load() > 0 {
		c.all.bytes.giveBack(c.sending.Swap(0))
	}
}

// useReserved turns at most n bytes that are reserved into taken ones.
func (c *conn) useReserved(n int64) {
	for {
		have := c.reserved.Load()
		part := min(n, have)
		if part == 0 {
			return
		}
		if c.reserved.CompareAndSwap(have, have-part) {
			c.all.bytes.reserved.Add(-part) // nothing has come free
			return
		}
	}
}

// freeReserved frees what is still reserved.
func (c *conn) freeReserved() {
	if c.reserved.Load() == 0 {
		return
	}
	if n := c.reserved.Swap(0); n > 0 {
		c.all.bytes.free(n)
	}
}
