package sink

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Each is the error of a commit of which some items failed and others did not, or
// in different ways. Each[n] is the error of item n, nil if it was committed.
type Each []error

func (e Each) Error() string { return errors.Join(e...).Error() }

var errAborted = errors.New("the commit did not come to its end")

// Group is a group commit: while one commit is under way, callers that arrive join
// the next one, and under load the groups grow by themselves.
//
//	A  Do ──commit{A}────────┐
//	B      Do ···wait········├─commit{B,C}──┐
//	C         Do ···wait·····┘··············┴─ done
//
// A caller without a deadline that arrives while no commit is under way commits by
// itself. All others wait for a goroutine that commits for them and ends when no
// caller waits any more, so that they can stop waiting: a commit may hang for as
// long as a disk does.
//
// The zero value is not usable: use NewGroup.
type Group[T any] struct {
	commit        func(items []T) error
	keep, release func(item T)
	goroutine     func() // run, as a value: starting it allocates nothing

	mu      sync.Mutex
	working bool         // a commit is under way, or about to begin
	waiting []*waiter[T] // in order of arrival

	// Used by the goroutine that commits.
	items []T
	taken []*waiter[T]

	waiters sync.Pool
}

type waiter[T any] struct {
	item  T
	share bool
	wake  chan struct{} // capacity 1, used again and again

	// Guarded by Group.mu.
	taken bool // by a commit
	left  bool // the caller has stopped waiting
	done  bool
	err   error
}

// NewGroup returns a group that commits with commit. At most one commit runs at
// a time; items is valid during the call only. Its error is returned by each Do
// whose item was among them; where it is an Each, the one of that item.
//
// When a caller stops waiting while its item is being committed, keep is called
// with the item before Do returns, and release once the commit has ended. Both
// may be nil, for items without memory of their own.
func NewGroup[T any](commit func(items []T) error, keep, release func(item T)) *Group[T] {
	g := &Group[T]{commit: commit, keep: keep, release: release}
	g.goroutine = g.run
	g.waiters.New = func() any { return &waiter[T]{wake: make(chan struct{}, 1)} }
	return g
}

// Do returns when a commit that began after Do was called, and that includes
// item, has ended; or, with the cause, when ctx ends before. An item that no
// commit has taken by then is taken by none; of one that was taken nothing is
// known. A ctx without a deadline is ignored.
//
// With share, the committing goroutine first lets callers that are ready to run
// arrive: with few processors, work too short to be interrupted would otherwise
// never be shared. For large items that is no gain, because their bytes are in the
// processor's cache now.
func (g *Group[T]) Do(ctx context.Context, item T, share bool) error {
	_, limited := ctx.Deadline()
	if limited && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	g.mu.Lock()
	alone := !g.working
	g.working = true
	if alone && !limited {
		g.mu.Unlock()
		return g.lead(item, share)
	}
	w := g.waiters.Get().(*waiter[T])
	w.item, w.share = item, share
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	if alone {
		go g.goroutine()
	}
	if !limited {
		<-w.wake
	} else {
		select {
		case <-w.wake:
		case <-ctx.Done():
			if !g.leave(w) {
				return context.Cause(ctx)
			}
			<-w.wake
		}
	}
	err := w.err
	g.put(w)
	return err
}

// leave makes the caller of w stop waiting. It reports true if w's commit has
// ended already.
func (g *Group[T]) leave(w *waiter[T]) (done bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case w.done:
		return true
	case w.taken:
		w.left = true
		if g.keep != nil {
			g.keep(w.item)
		}
	default:
		i := slices.Index(g.waiting, w)
		g.waiting = slices.Delete(g.waiting, i, i+1)
		g.put(w)
	}
	return false
}

func (g *Group[T]) put(w *waiter[T]) {
	*w = waiter[T]{wake: w.wake}
	g.waiters.Put(w)
}

// lead commits item, whose caller arrived while no commit was under way, together
// with the items that have come meanwhile.
func (g *Group[T]) lead(item T, share bool) error {
	if share {
		runtime.Gosched()
	}
	g.items = append(g.items[:0], item)
	followers := g.take()
	// If commit panics, no caller is left waiting, and none gets a nil error.
	all := errAborted
	defer func() {
		g.wake(followers, all)
		g.mu.Lock()
		more := len(g.waiting) > 0
		g.working = more
		g.mu.Unlock()
		if more {
			go g.goroutine()
		}
	}()
	all = g.commit(g.items)
	if each, ok := all.(Each); ok { //nolint:errorlint // returned as it is
		return each[0]
	}
	return all
}

// run commits for the callers that wait, until none does.
func (g *Group[T]) run() {
	for {
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.working = false
			g.mu.Unlock()
			return
		}
		share := g.waiting[0].share
		g.mu.Unlock()
		if share {
			runtime.Gosched()
		}
		g.items = g.items[:0]
		if followers := g.take(); len(followers) > 0 {
			g.wake(followers, g.recovered())
		}
	}
}

// recovered commits g.items. A panic is an error of those who wait: it has no
// caller of its own here.
func (g *Group[T]) recovered() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errAborted, p, debug.Stack())
		}
	}()
	return g.commit(g.items)
}

// take adds the items of all waiting callers to g.items, and returns the callers.
func (g *Group[T]) take() []*waiter[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken, g.waiting = g.waiting, g.taken[:0]
	for _, w := range g.taken {
		w.taken = true
		g.items = append(g.items, w.item)
	}
	return g.taken
}

// wake tells followers that their commit has ended.
func (g *Group[T]) wake(followers []*waiter[T], err error) {
	each, differ := err.(Each)              //nolint:errorlint // returned as it is
	others := len(g.items) - len(followers) // the item of the caller that commits comes first
	clear(g.items)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, w := range followers {
		if differ {
			err = each[others+i]
		}
		w.err, w.done = err, true
		if !w.left {
			w.wake <- struct{}{}
			continue
		}
		if g.release != nil {
			g.release(w.item)
		}
		g.put(w)
	}
}
