package sink

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

func TestACallerAloneCommitsAlone(t *testing.T) {
	var groups [][]int
	g := NewGroup(func(items []int) error {
		groups = append(groups, slices.Clone(items))
		return nil
	})
	for i := range 3 {
		if err := g.Do(i, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(groups) != 3 || groups[2][0] != 2 {
		t.Fatal(groups)
	}
}

func TestThoseWhoComeMeanwhileShareTheNextCommitAndItsError(t *testing.T) {
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
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.Do(0, false); err != nil {
			t.Error(err)
		}
	})
	<-entered
	for i := 1; i <= 10; i++ {
		wg.Go(func() {
			if err := g.Do(i, false); !errors.Is(err, errOdd) {
				t.Errorf("item %d: %v", i, err)
			}
		})
		for { // until it waits
			g.mu.Lock()
			n := len(g.waiting)
			g.mu.Unlock()
			if n == i {
				break
			}
		}
	}
	close(first)
	wg.Wait()
	if len(groups) != 2 || len(groups[1]) != 10 || groups[1][0] != 1 {
		t.Fatalf("groups %v; want the first alone, then the other ten in order of arrival", groups)
	}
}

func TestEveryItemIsCommittedOnceBeforeDoReturnsAndNeverTwoAtATime(t *testing.T) {
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
	})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 500 {
				n := w*500 + i
				if err := g.Do(n, n%2 == 0); err != nil {
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

func TestACommitThatPanicsLeavesNobodyWaitingAndTellsNobodySuccess(t *testing.T) {
	calls := 0
	g := NewGroup(func([]int) error {
		if calls++; calls == 1 {
			panic("boom")
		}
		return nil
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = g.Do(1, false)
	}()
	if err := g.Do(2, false); err != nil {
		t.Fatal(err)
	}
}
