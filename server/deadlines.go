package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadlines hands out contexts that end server.requestTimeout from now, give or
// take a grain. All requests of one grain share one context and its one timer: a
// context of its own for each request would cost three allocations and a timer.
type deadlines struct {
	base    context.Context
	timeout time.Duration
	start   time.Time // what slices are counted from: asking for the time since then is half of asking for the time
	current atomic.Pointer[slice]
	mu      sync.Mutex
}

// slice is the context of the requests that begin before end.
type slice struct {
	end    time.Duration // since start
	ctx    context.Context
	cancel context.CancelFunc // run by the deadline itself, or by the end of base
}

// grain is how far a shared deadline may lie past the exact one.
const grain = 100 * time.Millisecond

// next is the context of a request that begins now.
func (d *deadlines) next() context.Context { return d.at(time.Since(d.start)) }

// at is the context of a request that begins that long after start.
func (d *deadlines) at(now time.Duration) context.Context {
	if s := d.current.Load(); s != nil && now < s.end {
		return s.ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.current.Load(); s != nil && now < s.end {
		return s.ctx
	}
	s := &slice{end: now + grain}
	s.ctx, s.cancel = context.WithDeadline(d.base, d.start.Add(s.end+d.timeout))
	d.current.Store(s)
	return s.ctx
}
