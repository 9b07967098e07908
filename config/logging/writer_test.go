package logging

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a reader of a log that reads nothing until it is opened.
type gate struct {
	buffer
	open chan struct{}
	err  atomic.Pointer[error]
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	if err := g.err.Load(); err != nil {
		return 0, *err
	}
	return g.buffer.Write(p)
}

func TestWriter_DropsAndCountsWhatAStuckReaderDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		var dropped atomic.Int64
		w := NewWriter(g, func(n int) { dropped.Add(int64(n)) })
		w.Notice(func(n int) { fmt.Fprintf(w, "%d lines were dropped\n", n) })
		line := strings.Repeat("x", 1023) + "\n"
		const n = 4096
		for range n {
			if got, err := w.Write([]byte(line)); got != len(line) || err != nil {
				t.Fatalf("%d, %v", got, err)
			}
			synctest.Wait()
		}
		want := int64(n - maxQueued/len(line) - 1) // one is with the reader
		if dropped.Load() != want {
			t.Errorf("%d lines dropped, want %d", dropped.Load(), want)
		}
		close(g.open)
		synctest.Wait()
		if says := fmt.Sprintf("%d lines were dropped\n", want); !strings.HasSuffix(g.String(), says) || strings.Count(g.String(), "\n") != n-int(want)+1 {
			t.Errorf("%d lines written, the last is %.60q", strings.Count(g.String(), "\n"), g.String()[len(g.String())-60:])
		}
		w.Close(time.Second)
	})
}

func TestWriter_CloseWritesWhatIsQueuedAndDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		dropped := 0
		w := NewWriter(g, func(n int) { dropped += n })
		fmt.Fprintln(w, "last words")
		begin := time.Now()
		w.Close(time.Second)
		if waited := time.Since(begin); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		fmt.Fprintln(w, "too late")
		if dropped != 1 {
			t.Errorf("%d lines dropped", dropped)
		}
		close(g.open)
		w.Close(time.Second) // again, and it has ended
		if g.String() != "last words\n" {
			t.Errorf("wrote %q", g.String())
		}
	})
}

func TestWriter_CountsWhatAReaderThatHasGoneRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		close(g.open)
		err := errors.New("broken pipe")
		g.err.Store(&err)
		var dropped atomic.Int64
		w := NewWriter(g, func(n int) { dropped.Add(int64(n)) })
		for range 3 {
			fmt.Fprint(w, "a\nb\n")
			synctest.Wait()
		}
		if dropped.Load() != 6 {
			t.Errorf("%d lines dropped", dropped.Load())
		}
		w.Close(time.Second)
	})
}
