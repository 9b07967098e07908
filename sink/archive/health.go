package archive

import (
	"context"
	"time"

	"logforge/sink/hourly"
)

// Whether a destination works, and what is said about it.

// fail notes a failure of the destination: it rests for a while.
func (f *follower) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.errors.Inc()
	f.mu.Lock()
	f.tries++
	tries := f.tries
	f.mu.Unlock()
	f.note(err)
	f.log.Error("archiving failed and is tried again; records are safe in the local files meanwhile", "tries", tries, "err", err)
}

func (f *follower) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.failed = time.Now()
	}
	f.err = err
	f.rest = time.Now().Add(f.backoff(max(1, f.tries)))
}

// succeed notes that the destination works.
func (f *follower) succeed() {
	f.mu.Lock()
	tries, since := f.tries, f.failed
	f.tries = 0
	blocked := false
	for _, p := range f.hours {
		blocked = blocked || p.tries > 0
	}
	if !blocked {
		f.err = nil
	}
	f.mu.Unlock()
	if tries > 0 {
		f.log.Info("archiving goes on", "after", time.Since(since).Round(time.Millisecond).String())
	}
}

// resting reports whether the destination has failed and is left alone.
func (f *follower) resting(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tries > 0 && now.Before(f.rest)
}

// wait returns how long to wait before looking again.
func (f *follower) wait() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tries > 0 {
		return max(time.Until(f.rest), time.Millisecond)
	}
	return f.cut.look
}

func (f *follower) status() Status {
	now := time.Now()
	f.see(now)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Status{Destination: f.dest.Name(), Parts: f.stored}
	for _, p := range f.hours {
		if n := p.pending(); n > 0 {
			s.PendingBytes += n
			s.OldestPending = max(s.OldestPending, now.Sub(p.since))
		}
	}
	if f.err != nil {
		s.Error, s.Since = f.err.Error(), f.failed
	}
	s.Behind = f.err != nil || s.OldestPending > f.late()
	return s
}

// late is how long a line waits at most while nothing is wrong, with time to
// store it.
func (f *follower) late() time.Duration {
	if f.cut.growing {
		return 4*f.cut.after + time.Minute
	}
	return f.cut.patience() + 10*time.Minute
}

func (f *follower) holds(e hourly.Extent) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.hours[e.Hour]
	return p != nil && p.asked && p.slot < 0 && p.extent.Generation == e.Generation && p.next >= e.Length
}
