package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"logforge/codec"
)

// What a destination has, asked of itself.

// ask asks the destination which parts it has of hours that are new here, and
// again after a while: somebody may have removed parts, or have put a backup in
// the place of the database.
func (f *follower) ask(ctx context.Context) {
	now := time.Now()
	f.mu.Lock()
	var due []*progress
	for _, p := range f.hours {
		if (!p.asked || now.Sub(p.checked) >= f.recheck) && !now.Before(p.retry) {
			due = append(due, p)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(due, byHour)
	for len(due) > 0 && ctx.Err() == nil && !f.resting(time.Now()) {
		// The hours of a day share one question. There may be thousands of parts.
		n := 1
		for n < len(due) && day(due[n].extent.Hour) == day(due[0].extent.Hour) {
			n++
		}
		f.askFor(ctx, due[:n])
		due = due[n:]
	}
}

// day returns the first hour of an hour's day.
func day(h codec.Hour) codec.Hour { return h - mod(h, 24) }

func (f *follower) askFor(ctx context.Context, hours []*progress) {
	parts, err := f.dest.Parts(ctx, f.node, hours[0].extent.Hour, hours[len(hours)-1].extent.Hour)
	if err != nil {
		f.fail(ctx, fmt.Errorf("asking which parts are stored: %w", err))
		return
	}
	slices.SortFunc(parts, func(a, b Stored) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	byHour := map[codec.Hour][]Part{}
	for _, s := range parts {
		byHour[s.Hour] = append(byHour[s.Hour], s.Part)
	}
	damaged := map[*progress]error{}
	now := time.Now()
	f.mu.Lock()
	for _, p := range hours {
		found := progress{extent: p.extent}
		var err error
		for _, part := range slices.Compact(byHour[p.extent.Hour]) { // in two formats, it may be
			if part.Generation == p.extent.Generation {
				err = errors.Join(err, found.add(part))
			}
		}
		if err == nil && found.next > p.extent.Length {
			err = fmt.Errorf("%s: %d bytes are stored, but the file has %d: %w", p.extent.Hour, found.next, p.extent.Length, errDamaged)
		}
		if err != nil {
			p.asked, p.next, p.ahead = false, 0, nil
			damaged[p] = err
			continue
		}
		lost := found.pending() - p.pending()
		if lost > 0 && p.asked && p.lacking == 0 {
			// An answer that lacks parts makes them be stored a second time. So
			// it is believed when it is given twice.
			p.lacking++
			p.checked = now.Add(f.longest - f.recheck)
			continue
		}
		if lost > 0 {
			f.log.Error("parts that were stored are no longer there, and are stored again", "hour", p.extent.Hour.String(), "bytes", lost)
			p.since = now
		}
		p.lacking = 0
		p.next, p.ahead = found.next, found.ahead
		if !p.asked {
			p.asked, p.tries, p.err = true, 0, nil
		}
		p.checked = now
	}
	f.mu.Unlock()
	f.succeed()
	for p, err := range damaged {
		f.block(p, err)
	}
}

// block leaves an hour alone for a while: its parts do not agree.
func (f *follower) block(p *progress, err error) {
	f.errors.Inc()
	err = fmt.Errorf("%s: %w", p.extent.Hour, err)
	f.mu.Lock()
	p.tries++
	p.retry = time.Now().Add(10 * f.backoff(p.tries))
	p.err = err
	f.mu.Unlock()
	f.note(err)
	f.log.Error("an hour cannot be archived until a person has looked at it; other hours go on. See server verify -archive", "hour", p.extent.Hour.String(), "err", err)
}
