package archive

import (
	"context"
	"errors"
	"os"
	"time"

	"logforge/sink/hourly"
)

// Whether a destination works, and what is said about it.

// reasons are why a destination does not take what is waiting for it, in one
// word each: the values of a label, and what the page and the alerts go by.
var reasons = []string{
	waitsForBucket, waitsForDatabase, waitsForTable, waitsForCredentials, waitsForRights, waitsForClock, waitsForCertificate,
	waitsForNetwork, waitsForLoad, waitsForRoom, waitsForSetting, waitsForHour, waitsForDisk, waitsForOther,
}

const (
	waitsForBucket      = "bucket"      // it is not there
	waitsForDatabase    = "database"    // it is not there, or cannot be written
	waitsForTable       = "table"       // it has another shape, or lacks a partition
	waitsForCredentials = "credentials" // they are wrong, or have expired
	waitsForRights      = "rights"      // the credentials are right, but do not suffice
	waitsForClock       = "clock"       // it differs from that of the service
	waitsForCertificate = "certificate" // of TLS
	waitsForNetwork     = "unreachable" // nobody answers
	waitsForLoad        = "busy"        // it answers slowly, or asks to be left alone
	waitsForRoom        = "full"        // its disk, or a quota
	waitsForSetting     = "setting"     // something else that it was asked for
	waitsForHour        = "hour"        // one hour does not agree with what is stored; others go on
	waitsForDisk        = "disk"        // the local one, for the file of intents
	waitsForOther       = "other"
)

// refusal is an error of a destination with its reason.
type refusal struct {
	reason string
	// lost: what is known of the parts that are stored may no longer be so.
	lost bool
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// reasonOf returns the word for an error.
func reasonOf(err error) string {
	var r *refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.reason
	case errors.Is(err, errDamaged):
		return waitsForHour
	case errors.Is(err, errIntents):
		return waitsForDisk
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return waitsForLoad
	}
	return waitsForOther
}

func (f *follower) reason() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return reasonOf(f.err)
}

// fail notes a failure of the destination: it rests for a while.
func (f *follower) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.errors.Inc()
	f.mu.Lock()
	f.tries++
	tries := f.tries
	var r *refusal
	if errors.As(err, &r) && r.lost {
		for _, p := range f.hours {
			p.asked = false
		}
	}
	f.mu.Unlock()
	f.note(err)
	// The log drops what it has just said, by the message: each destination and
	// each reason is a message of its own.
	reason := reasonOf(err)
	f.log.Error("archiving to "+f.dest.Name()+" failed (reason: "+reason+") and is tried again; records are safe in the local files meanwhile", "tries", tries, "reason", reason, "err", err)
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
	f.tries, f.err = 0, nil
	for _, p := range f.hours {
		if p.err != nil { // of one hour: the others go on
			f.err = p.err
		}
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
	return f.rule.look
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
		s.Error, s.Reason, s.Since = f.err.Error(), reasonOf(f.err), f.failed
	}
	s.Behind = f.err != nil || s.OldestPending > f.late()
	return s
}

// late is how long a line waits at most while nothing is wrong, with time to
// store it.
func (f *follower) late() time.Duration {
	if f.rule.growing {
		return 4*f.rule.after + time.Minute
	}
	return f.rule.patience() + 10*time.Minute
}

func (f *follower) covers(e hourly.Extent) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.hours[e.Hour]
	return p != nil && p.asked && p.slot < 0 && p.extent.Generation == e.Generation && p.next >= e.Length &&
		p.lacking == 0 && time.Since(p.checked) < 2*f.recheck
}
