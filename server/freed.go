package server

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// piece is the size from which on memory that has been given back is watched. All
// smaller pieces together do not matter: a request has few of them.
const piece = 64 << 10

// freed counts memory that was given back to a room and that lies in a pool, or waits
// for the garbage collector. Without it, requests of ever other sizes could hold
// server.maxInFlightBytes while as much again is idle.
type freed struct {
	bytes atomic.Int64 // an upper bound: the collector does not say what it has freed
	mu    sync.Mutex   // held while collecting
}

// giveBack is give for bytes of memory, which is idle from now on.
func (r *room) giveBack(n int64) {
	if n >= piece {
		r.freed.bytes.Add(n)
	}
	r.give(n)
}

// reuse notes that n of the idle bytes are used again.
func (r *room) reuse(n int64) {
	if n >= piece && r.freed.bytes.Add(-n) < 0 {
		r.freed.bytes.Store(0) // they had been idle since before the last collection
	}
}

// collect is called before n bytes are allocated, which are taken already. If what is
// taken and what is idle are more than the limit together, it empties the pools
// first. Other requests with large allocations wait for that, some milliseconds.
func (r *room) collect(n int64) {
	f := &r.freed
	full := func() bool { return f.bytes.Load() > 0 && r.used.Load()+f.bytes.Load() > r.bound() }
	if n < piece || !full() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if full() {
		f.bytes.Store(0)
		runtime.GC()
		runtime.GC() // a sync.Pool gives up what it holds at the second collection
	}
}
