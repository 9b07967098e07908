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
