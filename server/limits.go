package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// room is a bounded amount of something (bytes, places) that requests share.
// Taking is one compare-and-swap while there is room; past the limit takers
// wait in the order in which they came. It is golang.org/x/sync/semaphore with
// the uncontended path taken out of the lock.
type room struct {
	limit   int64
	used    atomic.Int64
	waiting atomic.Int32

	mu    sync.Mutex
	queue []*waiter // first come, first served; guarded by mu
}

type waiter struct {
	n     int64
	ready chan struct{} // closed, under mu, once n has been taken for this waiter
}

// tryTake takes n unless there is no room or somebody is already waiting.
func (r *room) tryTake(n int64) bool {
	return r.waiting.Load() == 0 && r.takeNow(n)
}

func (r *room) takeNow(n int64) bool {
	for {
		used := r.used.Load()
		if used+n > r.limit {
			return false
		}
		if r.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// wait takes n, waiting for room until t. It reports whether n was taken.
func (r *room) wait(n int64, t time.Time) bool {
	w := &waiter{n: n, ready: make(chan struct{})}
	r.mu.Lock()
	// waiting is raised before the last look at used, and give lowers used
	// before it looks at waiting: one of the two sees the other.
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
			r.admitLocked() // a large one at the head may have held up smaller ones
			return false
		}
	}
	return true // taken at the last moment
}

// give returns n and lets in who has room now.
func (r *room) give(n int64) {
	r.used.Add(-n)
	if r.waiting.Load() > 0 {
		r.mu.Lock()
		r.admitLocked()
		r.mu.Unlock()
	}
}

func (r *room) admitLocked() {
	for len(r.queue) > 0 && r.takeNow(r.queue[0].n) {
		close(r.queue[0].ready)
		r.queue[0] = nil
		r.queue = r.queue[1:]
		r.waiting.Add(-1)
	}
}

// hold is what one request holds of the shared rooms. release gives it all
// back; it is deferred, so that a panic leaks no room.
type hold struct {
	s     *Server
	bytes int64
	slots int64
	ahead int       // of bytes: reserved for what will be decoded
	until time.Time // when this request's one wait for room ends; zero until it first waits
}

// reserve takes n bytes, waiting if it must. The error is errBusy.
func (h *hold) reserve(n int) error {
	if !h.s.bytes.tryTake(int64(n)) && !h.s.bytes.wait(int64(n), h.deadline()) {
		return errBusy
	}
	h.bytes += int64(n)
	return nil
}

// promise is room set aside for a body that has been announced and not yet come.
// Without it many large bodies at once would each get half of what they need,
// and then all wait for each other.
type promise struct {
	room  *room
	n     int64
	given atomic.Bool
	timer *time.Timer
}

// believed is how long an announced body is believed: a client that sends slowly,
// or nothing, keeps others waiting no longer than that.
const believed = time.Second

// promise waits until an announced body of n bytes can be believed. The error is
// errBusy. The promise is to be kept once the body is there, or will not come.
func (h *hold) promise(n int) (*promise, error) {
	p := &promise{room: &h.s.promised, n: int64(n)}
	if !p.room.tryTake(p.n) && !p.room.wait(p.n, h.deadline()) {
		return nil, errBusy
	}
	p.timer = time.AfterFunc(believed, p.give)
	return p, nil
}

func (p *promise) give() {
	if !p.given.Swap(true) {
		p.room.give(p.n)
	}
}

func (p *promise) keep() {
	p.timer.Stop()
	p.give()
}

// expect reserves n bytes for what will be decoded, instead of what it has
// reserved for that before. A request that holds its body and then waits for as
// much again may wait for others that do the same: so what can be told early is
// reserved early. The error is errBusy.
func (h *hold) expect(n int) error {
	switch more := n - h.ahead; {
	case more > 0:
		if err := h.reserve(more); err != nil {
			return err
		}
	case more < 0:
		h.unreserve(-more)
	}
	h.ahead = n
	return nil
}

// force takes n bytes that exist already, past the limit if need be: others wait
// the longer for it.
func (h *hold) force(n int) {
	h.bytes += int64(n)
	h.s.bytes.used.Add(int64(n))
}

// slot takes one of the places of server.maxConcurrency. The error is errBusy.
func (h *hold) slot() error {
	if !h.s.slots.tryTake(1) && !h.s.slots.wait(1, h.deadline()) {
		return errBusy
	}
	h.slots++
	return nil
}

// deadline ends the one wait of this request, however many rooms it waits for.
func (h *hold) deadline() time.Time {
	if h.until.IsZero() {
		h.until = time.Now().Add(h.s.cfg.WaitForRoom)
	}
	return h.until
}

// unreserve gives back n of the bytes before the request ends.
func (h *hold) unreserve(n int) {
	h.bytes -= int64(n)
	h.s.bytes.give(int64(n))
}

func (h *hold) release() {
	if h.slots > 0 {
		h.s.slots.give(h.slots)
	}
	if h.bytes != 0 {
		h.s.bytes.give(h.bytes)
	}
	h.slots, h.bytes = 0, 0
}

// deadlines hands out contexts that end server.requestTimeout from now, give or
// take a grain. All requests of one grain share one context and its one timer: a
// context of its own for each request would cost three allocations and a timer.
type deadlines struct {
	base    context.Context
	timeout time.Duration
	current atomic.Pointer[slice]
	mu      sync.Mutex
}

// slice is the context of the requests that begin before end.
type slice struct {
	end    time.Time
	ctx    context.Context
	cancel context.CancelFunc // run by the deadline itself, or by the end of base
}

// grain is how far a shared deadline may lie past the exact one.
const grain = 100 * time.Millisecond

func (d *deadlines) at(now time.Time) context.Context {
	if s := d.current.Load(); s != nil && now.Before(s.end) {
		return s.ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.current.Load(); s != nil && now.Before(s.end) {
		return s.ctx
	}
	s := &slice{end: now.Add(grain)}
	s.ctx, s.cancel = context.WithDeadline(d.base, s.end.Add(d.timeout))
	d.current.Store(s)
	return s.ctx
}
