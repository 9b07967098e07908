package sink

import (
	"errors"
	"runtime"
	"sync"
)

var errAborted = errors.New("the commit did not come to its end")

// Group is a group commit: while one commit is under way, whoever arrives joins
// the next one. There is no timer and no extra goroutine. A caller that finds
// nobody at work leads, by itself; the others wait, and when the work
// is done the one who waited longest leads the next commit, for everybody who
// has come meanwhile. Under load the groups grow by themselves.
//
//	A  Do ──commit{A}────────┐
//	B      Do ···wait········lead──commit{B,C}──┐
//	C         Do ···wait························┴─ done
//
// The zero value is not usable: NewGroup.
type Group[T any] struct {
	commit func(items []T) error

	mu      sync.Mutex
	leading bool         // somebody is committing or has been told to
	waiting []*waiter[T] // in order of arrival

	// Scratch of whoever leads.
	items []T
	taken []*waiter[T]

	waiters sync.Pool
}

type waiter[T any] struct {
	item T
	err  error
	lead bool
	wake chan struct{} // capacity 1, used again and again
}

// NewGroup returns a group that commits with commit. At most one commit runs at
// a time; items is valid during the call only, and its error is everybody's.
func NewGroup[T any](commit func(items []T) error) *Group[T] {
	g := &Group[T]{commit: commit}
	g.waiters.New = func() any { return &waiter[T]{wake: make(chan struct{}, 1)} }
	return g
}

// Do returns when a commit that began after Do was called, and that includes
// item, has ended. With share, a caller that finds nobody at work lets those who
// are ready to run arrive first: with few processors, work too short to be
// interrupted would otherwise never be shared. For large items that is no gain:
// what they hold is in the processor's cache now.
func (g *Group[T]) Do(item T, share bool) error {
	g.mu.Lock()
	if !g.leading {
		g.leading = true
		g.mu.Unlock()
		if share {
			runtime.Gosched()
		}
		return g.run(item, g.take())
	}
	w := g.waiters.Get().(*waiter[T])
	w.item, w.err, w.lead = item, nil, false
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()

	<-w.wake
	err := w.err
	if w.lead {
		err = g.run(item, g.take()[1:]) // the first of them is w
	}
	var none T
	w.item = none
	g.waiters.Put(w)
	return err
}

// take returns all who wait: they are the leader's now.
func (g *Group[T]) take() []*waiter[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken, g.waiting = g.waiting, g.taken[:0]
	return g.taken
}

// run commits item together with those of followers, wakes them, and passes the
// lead on.
func (g *Group[T]) run(item T, followers []*waiter[T]) (err error) {
	g.items = append(g.items[:0], item)
	for _, w := range followers {
		g.items = append(g.items, w.item)
	}
	// Should commit panic, nobody is left waiting, and nobody is told success.
	err = errAborted
	defer func() { g.passOn(followers, err) }()
	err = g.commit(g.items)
	return err
}

func (g *Group[T]) passOn(followers []*waiter[T], err error) {
	clear(g.items)
	for _, w := range followers {
		w.err = err
		w.wake <- struct{}{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.leading = false
		return
	}
	next := g.waiting[0]
	next.lead = true
	next.wake <- struct{}{}
}
