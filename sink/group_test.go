package sink

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestGroup_ACallerAloneCommitsAlone(t *testing.T) {
	var groups [][]int
	g := NewGroup(func(items []int) error {
		groups = append(groups, slices.Clone(items))
		return nil
	}, nil, nil)
	for i := range 3 {
		if err := g.Do(t.Context(), i, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(groups) != 3 || groups[2][0] != 2 {
		t.Fatal(groups)
	}
}

func TestGroup_ThoseWhoComeMeanwhileShareTheNextCommitAndItsError(t *testing.T) {
	first, entered := make(chan struct{}), make(chan struct{}, 100)
	errOdd := errors.New("odd group")
	var groups [][]int
	g := NewGroup(func(items []int) error {
		groups = append(groups, slices.Clone(items))
		entered <- struct{}{}
		if len(groups) == 1 {
			<-first
			return nil
		}
		return errOdd
	}, nil, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Do(t.Context(), 0, false); err != nil {
			t.Error(err)
		}
	})
	<-entered
	for i := 1; i <= 10; i++ {
		wg.Go(func() {
			if err := g.Do(t.Context(), i, false); !errors.Is(err, errOdd) {
				t.Errorf("item %d: %v", i, err)
			}
		})
		awaitWaiting(g, i)
	}
	close(first)
	wg.Wait()
	if len(groups) != 2 || len(groups[1]) != 10 || groups[1][0] != 1 {
		t.Fatalf("groups %v; want the first alone, then the other ten in order of arrival", groups)
	}
}

func TestGroup_EveryItemIsCommittedOnceBeforeDoReturnsAndNeverTwoAtATime(t *testing.T) {
	var running atomic.Int32
	var mu sync.Mutex
	done := map[int]int{}
	g := NewGroup(func(items []int) error {
		if running.Add(1) != 1 {
			t.Error("two commits at a time")
		}
		mu.Lock()
		for _, i := range items {
			done[i]++
		}
		mu.Unlock()
		running.Add(-1)
		return nil
	}, nil, nil)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 500 {
				n := w*500 + i
				if err := g.Do(t.Context(), n, n%2 == 0); err != nil {
					t.Error(err)
				}
				mu.Lock()
				if done[n] != 1 {
					t.Errorf("item %d committed %d times when Do returned", n, done[n])
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func TestGroup_ACommitThatPanicsLeavesNobodyWaitingAndTellsNobodySuccess(t *testing.T) {
	entered, first := make(chan struct{}), make(chan struct{})
	calls := 0
	g := NewGroup(func([]int) error {
		calls++
		switch calls {
		case 1: // of the caller itself, and of those who joined it
			close(entered)
			<-first
			panic("boom")
		case 2: // of those who came meanwhile
			panic("boom")
		}
		return nil
	}, nil, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = g.Do(t.Context(), 1, false)
	})
	<-entered
	for i := range 3 {
		wg.Go(func() {
			if err := g.Do(t.Context(), i, false); !errors.Is(err, errAborted) || !strings.Contains(err.Error(), "boom") {
				t.Errorf("a waiter: %v", err)
			}
		})
	}
	awaitWaiting(g, 3)
	close(first)
	wg.Wait()
	if err := g.Do(t.Context(), 2, false); err != nil {
		t.Fatal(err)
	}
}

// awaitWaiting returns once n callers wait.
func awaitWaiting[T any](g *Group[T], n int) {
	for {
		g.mu.Lock()
		waiting := len(g.waiting)
		g.mu.Unlock()
		if waiting == n {
			return
		}
		runtime.Gosched()
	}
}

func TestGroup_ACallerWithADeadlineStopsWaitingForACommitThatHangs(t *testing.T) {
	hanging, hang := make(chan struct{}), make(chan struct{})
	var committed []int
	var kept, released []int
	g := NewGroup(func(items []int) error {
		committed = append(committed, items...)
		if len(committed) == 1 {
			close(hanging)
			<-hang
		}
		return nil
	}, func(i int) { kept = append(kept, i) }, func(i int) { released = append(released, i) })

	deadline, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	ctx, end := context.WithCancelCause(deadline)
	errEnd := errors.New("the caller's time is over")
	var wg sync.WaitGroup
	do := func(i int) {
		wg.Go(func() {
			if err := g.Do(ctx, i, false); !errors.Is(err, errEnd) {
				t.Errorf("item %d: %v", i, err)
			}
		})
	}
	do(1)
	<-hanging
	do(2)
	awaitWaiting(g, 1)
	end(errEnd)
	wg.Wait() // while the commit hangs
	if !slices.Equal(kept, []int{1}) || len(released) > 0 {
		t.Fatalf("kept %v, released %v while the commit of 1 hangs", kept, released)
	}
	do(3) // its time is over before it comes
	wg.Wait()
	close(hang)
	if err := g.Do(t.Context(), 4, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(committed, []int{1, 4}) {
		t.Fatalf("committed %v: what nobody waits for is not begun", committed)
	}
	if !slices.Equal(released, []int{1}) {
		t.Fatalf("released %v", released)
	}
}

func TestGroup_DoDoesNotAllocate(t *testing.T) {
	g := NewGroup(func([]int) error { return nil }, nil, nil)
	limited, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for _, ctx := range []context.Context{t.Context(), limited} {
		if n := testing.AllocsPerRun(1000, func() {
			if err := g.Do(ctx, 1, true); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// A commit may fail for some of its items only.
func TestGroup_ACommitMayFailForSomeItemsOnly(t *testing.T) {
	odd := errors.New("odd")
	g := NewGroup(func(items []int) error {
		each := make(Each, len(items))
		for i, n := range items {
			if n%2 == 1 {
				each[i] = odd
			}
		}
		return each
	}, nil, nil)
	var wg sync.WaitGroup
	for n := range 200 {
		wg.Go(func() {
			ctx := t.Context()
			if n%3 == 0 { // one that does not commit by itself
				limited, cancel := context.WithTimeout(ctx, time.Hour)
				defer cancel()
				ctx = limited
			}
			if err := g.Do(ctx, n, true); errors.Is(err, odd) != (n%2 == 1) {
				t.Errorf("item %d: %v", n, err)
			}
		})
	}
	wg.Wait()
}
