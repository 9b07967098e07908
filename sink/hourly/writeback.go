package hourly

import "context"

// writebackBytes is how much of a file is written before the kernel is asked to
// begin putting it on disk. It bounds what a sync finds to do: a sync of 100 MB
// holds up every write to the file for tens of milliseconds, while the file
// system finds places for that many blocks (decision 11).
const writebackBytes = 4 << 20

// begun returns up to where the file is on disk, or the kernel has been asked to put
// it there. f.mu is held.
func (s *segment) begun() int64 { return max(s.synced, min(s.started, s.written)) }

// isBehind reports whether there is enough to be put on disk. f.mu is held.
func (s *segment) isBehind() bool { return s.written-s.begun() >= writebackBytes }

// writeBack asks the kernel to begin putting on disk what is written, in steps of
// writebackBytes, so that a sync has little left to do. It holds up no write.
func (f *Files) writeBack(ctx context.Context) {
	type work struct {
		file   *handle
		off, n int64
	}
	var todo []work
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.behind:
		}
		f.mu.Lock()
		for _, s := range f.open {
			if s.isBehind() {
				off := s.begun()
				todo = append(todo, work{s.use(), off, s.written - off})
				s.started = s.written
			}
		}
		f.mu.Unlock()
		for _, w := range todo {
			w.file.StartWriteback(w.off, w.n)
			f.done(w.file)
		}
		clear(todo)
		todo = todo[:0]
	}
}
