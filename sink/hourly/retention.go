package hourly

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"logforge/codec"
)

// Retention says which hours may be removed. Which ones are due is said by
// storage.maxAge and storage.maxBytes.
type Retention struct {
	// MayRemove reports whether nobody needs the file of an extent any more. It
	// is asked without any lock held. Where it is nil, nobody needs any.
	MayRemove func(Extent) bool
	// KeepWritten is how long an hour stays at least after its last line was
	// written.
	KeepWritten time.Duration

	// ageless is set while the clock cannot be trusted: nothing counts as too old.
	ageless bool
}

const (
	// retainSyncs is how many intervals of upkeep (storage.syncInterval) there are
	// between two passes, and retainRest how many while none of the hours that are
	// due may be removed.
	retainSyncs = 5
	retainRest  = 60
	// busy is how long an hour counts as written to a moment ago: storage.maxBytes
	// removes it only if no older one is left.
	busy = 10 * time.Minute
	// overdueAfter is for how long hours have to be overdue before the log says
	// so, and overdueAgain how long it is until it says so again.
	overdueAfter = 10 * time.Minute
	overdueAgain = time.Hour
)

// errStays is why an hour that is due is not removed now.
var errStays = errors.New("the hour is in use")

// Retain removes whole hours, the oldest first, until ctx ends: those that ended
// longer than storage.maxAge ago, and as many as it takes to bring the files
// together down to storage.maxBytes. What r does not allow yet stays; the metric
// logforge_storage_overdue_bytes and the log say so. One goroutine at a time.
func (f *Files) Retain(ctx context.Context, r Retention) error {
	var reminder reminder
	f.writing.Lock()
	clock := clock{wall: f.lastUsed}
	f.writing.Unlock()
	start := time.Now()
	for wait := retainSyncs * f.cfg.SyncInterval; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		now := time.Now()
		if ahead := clock.look(now, now.Sub(start)); ahead > 0 && f.cfg.MaxAge > 0 {
			f.log.Warn("the clock is ahead of what has passed since it was read last: nothing is removed because of storage.maxAge until that has lasted for an hour",
				"dir", f.cfg.LogsDir, "ahead", ahead.Round(time.Second).String())
		}
		r.ageless = clock.doubtful()
		p := f.retain(ctx, r, now)
		reminder.note(p)
		wait = retainSyncs * f.cfg.SyncInterval
		if p.removed == 0 && p.overdue > 0 {
			wait = retainRest * f.cfg.SyncInterval
		}
	}
}

// clock finds out when the system's clock jumps ahead, after which every hour may
// seem older than storage.maxAge. It does when it is put wrong, but also when it
// is put right, when a machine wakes up, and over the time between two processes:
// so a jump is believed once it has lasted.
type clock struct {
	wall  time.Time     // what it said when it was read last; zero: it never was
	ran   time.Duration // what had passed by then, whatever it says
	until time.Duration // it is doubtful as long as less has passed
}

const (
	// clockJump is how far ahead is a jump, and clockLasts how long it has to last.
	clockJump  = time.Hour
	clockLasts = time.Hour
)

// look takes what the clock says after the process has run for that long, and
// returns how far it has jumped ahead; 0 if it has not.
func (c *clock) look(wall time.Time, ran time.Duration) (ahead time.Duration) {
	wall = wall.Round(0) // without what Go measures beside the clock
	if !c.wall.IsZero() {
		ahead = wall.Sub(c.wall) - (ran - c.ran)
	}
	c.wall, c.ran = wall, ran
	switch {
	case ahead > clockJump:
		c.until = ran + clockLasts
		return ahead
	case -ahead > clockJump:
		c.until = 0 // put right again
	}
	return 0
}

func (c *clock) doubtful() bool { return c.ran < c.until }

// retentionPass is one pass of Retain over all hours.
type retentionPass struct {
	*Files
	Retention
	now   time.Time
	hours []storedHour // in ascending order
	bytes int64        // of those that are not removed

	count   int   // hours removed
	removed int64 // their bytes
	overdue int64 // bytes that were due and stay
	err     error // the first failure; an hour that has to stay is none
}

// storedHour is an hour that has a file.
type storedHour struct {
	Extent
	bytes int64 // of its files
	gone  bool  // removed in this pass
}

// retain makes a pass. now is what ages are measured from.
func (f *Files) retain(ctx context.Context, r Retention, now time.Time) *retentionPass {
	p := &retentionPass{Files: f, Retention: r, now: now}
	oldest, bytes := f.stored()
	if p.bytes = bytes; p.tooOld(oldest) || p.tooMuch(oldest) {
		p.hours = f.storedHours()
	}
	p.remove(ctx, p.tooOld, 0, false)
	p.remove(ctx, p.tooMuch, busy, false)
	p.remove(ctx, p.tooMuch, 0, true)

	var old int64
	for i := range p.hours {
		if h := &p.hours[i]; !h.gone && p.tooOld(h.Hour) {
			old += h.bytes
		}
	}
	if p.cfg.MaxBytes > 0 {
		p.overdue = max(0, p.bytes-int64(p.cfg.MaxBytes))
	}
	p.overdue = max(p.overdue, old)
	f.overdueBytes.Store(p.overdue)
	if p.count > 0 {
		f.log.Info("hours were removed, as storage.maxAge and storage.maxBytes say", "dir", f.cfg.LogsDir, "hours", p.count, "bytes", p.removed)
	}
	return p
}

func (p *retentionPass) tooOld(h codec.Hour) bool {
	return p.cfg.MaxAge > 0 && !p.ageless && p.now.Sub(h.Time().Add(time.Hour)) > p.cfg.MaxAge
}

func (p *retentionPass) tooMuch(codec.Hour) bool {
	return p.cfg.MaxBytes > 0 && p.bytes > int64(p.cfg.MaxBytes)
}

// remove removes the hours that are due, from the oldest to the first that is
// not, leaving those alone that were written to within quiet. With inOrder it
// ends at the first that stays.
func (p *retentionPass) remove(ctx context.Context, due func(codec.Hour) bool, quiet time.Duration, inOrder bool) {
	quiet = max(quiet, p.KeepWritten)
	for i := range p.hours {
		h := &p.hours[i]
		switch {
		case h.gone:
			continue
		case ctx.Err() != nil, !due(h.Hour):
			return
		}
		removed, err := int64(0), errStays
		if p.MayRemove == nil || p.MayRemove(h.Extent) {
			removed, err = p.removeHour(h.Extent, p.now, quiet)
		}
		switch {
		case err == nil:
			h.gone = true
			p.bytes -= h.bytes
			if p.removed += removed; removed > 0 {
				p.count++
			}
		case !errors.Is(err, errStays):
			p.err = cmp.Or(p.err, fmt.Errorf("removing %s: %w", Path(h.Hour), err))
		}
		if err != nil && inOrder {
			return
		}
	}
}

// stored returns the oldest hour that has a file, and how many bytes all files
// have together.
func (f *Files) stored() (oldest codec.Hour, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest = math.MaxInt32
	for h, s := range f.segments {
		if s.stored() {
			oldest = min(oldest, h)
			bytes += s.bytes()
		}
	}
	return oldest, bytes
}

// storedHours returns every hour that has a file, in ascending order.
func (f *Files) storedHours() (hours []storedHour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments {
		if s.stored() {
			hours = append(hours, storedHour{Extent: s.extent(), bytes: s.bytes()})
		}
	}
	slices.SortFunc(hours, func(a, b storedHour) int { return cmp.Compare(a.Hour, b.Hour) })
	return hours
}

// reminder says in the log what is overdue: not at once, as most of it goes soon,
// and then not all the time.
type reminder struct {
	due  time.Time // when to say it; zero while nothing is overdue
	said bool
	last string // the failure that was said
}

func (r *reminder) note(p *retentionPass) {
	if p.err != nil && p.err.Error() != r.last {
		r.last = p.err.Error()
		p.log.Error("an hour that is due cannot be removed, and is tried again", "dir", p.cfg.LogsDir, "err", p.err)
	}
	switch {
	case p.overdue == 0:
		if r.said {
			p.log.Info("no hour that is due for removal has to stay any more", "dir", p.cfg.LogsDir)
		}
		*r = reminder{}
	case r.due.IsZero():
		r.due = p.now.Add(overdueAfter)
	case !p.now.Before(r.due):
		r.due, r.said = p.now.Add(overdueAgain), true
		p.log.Warn("hours that are due for removal have to stay: a destination of the archive or their summary does not have them yet, they were written to within archive.keepLocal, are marked by a file .HH.log.json.keep, or cannot be removed",
			"dir", p.cfg.LogsDir, "bytes", p.overdue)
	}
}
