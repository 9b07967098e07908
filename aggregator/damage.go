package aggregator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"logforge/codec"
	"logforge/sink/hourly"
)

// A summary that is not as it was written is neither served nor added to: it is
// moved to a dot file beside it, and its hour is counted again from its file,
// where there is one. As long as the dot file is there, answers say that counts
// of this hour are missing: a person may look at it, and removes it.

// report notes that h's summary was found damaged, and has Run look at it at
// once. Any goroutine may call it.
func (a *Aggregator) report(h codec.Hour, err error) {
	a.reports.Lock()
	a.suspicious[h] = err
	a.reports.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // a pass is due already
	}
}

// inspect deals with the summaries that were reported: an hour that has a file
// is looked at as after a restart, and the summary of another one is dismissed.
func (a *Aggregator) inspect(ctx context.Context) (errs []error) {
	a.reports.Lock()
	suspicious := a.suspicious
	a.suspicious = map[codec.Hour]error{}
	a.reports.Unlock()
	if len(suspicious) == 0 {
		return nil
	}
	files := map[codec.Hour]bool{}
	for _, e := range a.extents {
		files[e.Hour] = true
	}
	for h := range suspicious {
		if a.counts.hour == h {
			a.counts.valid = false
		}
		delete(a.seen, h)
		if files[h] {
			continue
		}
		if err := a.check(ctx, h); errors.Is(err, errDamaged) {
			if err := a.dismiss(h, err, false); err != nil {
				errs = append(errs, fmt.Errorf("summary of %s: %w", h, err))
			}
		}
	}
	return errs
}

// check reports whether h's summary is as it was written.
func (a *Aggregator) check(ctx context.Context, h codec.Hour) error {
	file, err := a.dir.open(h)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	return a.reader.verify(ctx, file, h)
}

// recountable reports whether counting e's file again replaces everything that
// its damaged summary had counted. The head of the summary, if it can still be
// read, tells.
func (a *Aggregator) recountable(e hourly.Extent) bool {
	file, err := a.dir.open(e.Hour)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	a.reader.reset(context.Background(), headOf(file))
	head, err := a.reader.head(e.Hour)
	return err == nil && head.earlier == 0 && (head.legacy || head.generation == e.Generation)
}

// dismiss logs and counts that h's summary is damaged, and why, and moves it aside
// unless a recount replaces all of it.
func (a *Aggregator) dismiss(h codec.Hour, cause error, recountable bool) error {
	a.damaged.Inc()
	if recountable {
		a.log.Warn("a summary is damaged: the hour is counted again", "hour", h, "cause", cause)
		return nil
	}
	kept, err := a.dir.setAside(h)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.log.Error("a summary is damaged: it is kept aside, and what the hour's file has, if there is one, is counted again",
		"hour", h, "cause", cause, "kept", kept)
	return nil
}
