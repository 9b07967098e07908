package logging

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// maxQueued is how many bytes of lines wait for a slow reader; more are dropped.
const maxQueued = 1 << 20

// Writer is an io.Writer in front of another one that may be slow, stuck or
// gone. Write never waits for it and never fails: it queues up to 1 MiB, and a
// goroutine writes. What finds no room, or is refused, is dropped and counted.
type Writer struct {
	to      io.Writer
	dropped func(lines int)

	mu     sync.Mutex
	queue  []byte        // lines to write; guarded by mu
	lost   int           // lines dropped since the last notice; guarded by mu
	notice func(int)     // logs how many lines were dropped; guarded by mu
	closed bool          // guarded by mu
	wake   chan struct{} // of the goroutine; holds one
	done   chan struct{} // closed when the goroutine has ended
}

// NewWriter returns a Writer in front of to. dropped is called with the number
// of lines whenever some are lost; it must not log. Close ends the Writer.
func NewWriter(to io.Writer, dropped func(lines int)) *Writer {
	w := &Writer{to: to, dropped: dropped, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Notice sets the function that logs, through this Writer, how many lines were
// dropped once lines can be written again.
func (w *Writer) Notice(log func(lines int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notice = log
}

// Write queues p, which is one line or several, or drops all of it. It returns
// len(p) and nil in any case.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	full := w.closed || len(w.queue)+len(p) > maxQueued
	if full {
		w.lost += lines(p)
	} else {
		w.queue = append(w.queue, p...)
		select { // with the lock held, as Close closes the channel
		case w.wake <- struct{}{}:
		default:
		}
	}
	w.mu.Unlock()
	if full {
		w.dropped(lines(p))
	}
	return len(p), nil
}

// Close writes what is queued and ends the Writer, waiting at most timeout for
// that. A reader that no longer reads keeps the goroutine until the process ends.
func (w *Writer) Close(timeout time.Duration) {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.wake)
	}
	w.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

func (w *Writer) run() {
	defer close(w.done)
	var batch []byte
	for open := true; open; {
		_, open = <-w.wake
		w.mu.Lock()
		batch, w.queue = w.queue, batch[:0]
		w.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		n, err := w.to.Write(batch)
		if err != nil {
			refused := lines(batch[n:])
			w.mu.Lock()
			w.lost += refused
			w.mu.Unlock()
			w.dropped(refused)
			continue
		}
		w.mu.Lock()
		lost, notice := 0, w.notice
		if notice != nil && !w.closed && len(w.queue) == 0 { // there is room for the notice
			lost, w.lost = w.lost, 0
		}
		w.mu.Unlock()
		if lost > 0 {
			notice(lost) // queues a line, and so wakes this goroutine again
		}
	}
}

func lines(p []byte) int { return bytes.Count(p, []byte{'\n'}) }
