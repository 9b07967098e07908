package server

import (
	"context"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// Time-outs of connections. fasthttp's own set three deadlines a request, each
// with a look at the clock and a change of a runtime timer: 1.3 µs of the 9 µs
// that a batch of one record costs. They need not be exact to the microsecond, so
// here a request only records what its connection is doing and since which tick,
// and one goroutine looks at all connections once a tick.

// phase is what a connection is doing. It decides which time-out applies.
type phase int64

const (
	opening   phase = iota // nothing has come yet, or a TLS handshake: readTimeout
	arriving               // a request is being received: readTimeout
	working                // its handler has all of it: none here
	answering              // the answer is being sent: writeTimeout
	idle                   // kept alive between requests: idleTimeout
	phases
)

// phaseLimits are the time-outs by phase; 0 means none.
type phaseLimits [phases]time.Duration

// enter notes that c is in phase p from now on.
func (c *conn) enter(p phase) {
	c.state.Store(c.all.tick.Load()<<3 | int64(p))
}

// track is fasthttp's ConnState.
func track(nc net.Conn, state fasthttp.ConnState) {
	if c := ownConn(nc); c != nil {
		switch state {
		case fasthttp.StateActive:
			c.enter(arriving)
		case fasthttp.StateIdle:
			c.sent()
			c.enter(idle)
		}
	}
}

// lapse is how long bytes stay reserved for a body that has not arrived.
const lapse = time.Second

// tickOf is how often connections are looked at: often enough that a time-out is
// late by at most an eighth, and by at most a quarter of a second.
func (l phaseLimits) tickOf() time.Duration {
	tick := lapse / 4
	for _, limit := range l {
		if limit > 0 {
			tick = min(tick, max(limit/8, time.Millisecond))
		}
	}
	return tick
}

// watch ends the reads and writes that take too long, until ctx ends.
func (l *connections) watch(ctx context.Context) {
	interval := l.limits.tickOf()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		tick := l.tick.Add(1)
		l.mu.Lock()
		for c := range l.open {
			state := c.state.Load()
			now, limit := phase(state&7), l.limits[phase(state&7)]
			// One tick more, as the phase began somewhere within its first.
			since := time.Duration(tick-state>>3-1) * interval
			if now == arriving && since >= lapse {
				c.freeReserved()
			}
			if limit > 0 && since >= limit {
				if now == answering {
					c.expireWrite()
				} else {
					c.expireRead()
				}
			}
		}
		l.mu.Unlock()
	}
}

// expireRead makes the read that c is in fail with os.ErrDeadlineExceeded. A
// connection on which that has happened is never used again. (An error here means
// that the connection is being closed, which ends the read as well.)
func (c *conn) expireRead() { _ = c.SetReadDeadline(longAgo) }

func (c *conn) expireWrite() { _ = c.SetWriteDeadline(longAgo) }

var longAgo = time.Unix(1, 0)
