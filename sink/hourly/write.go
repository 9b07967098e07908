package hourly

import (
	"context"
	"errors"
	"fmt"

	"logforge/codec"
	"logforge/sink"
)

// Write implements Sink for version 1. The levels are Written and Synced.
func (f *Files) Write(_ context.Context, b *codec.Batch, ack sink.Ack) error {
	if ack == sink.Default {
		ack = f.ack
	}
	if ack != sink.Written && ack != sink.Synced {
		return sink.ErrAck
	}
	if b.Records() == 0 {
		return nil
	}
	if err := f.writes.Do(b, b.Len() < gatherBytes); err != nil || ack == sink.Written {
		return err
	}
	return f.syncs.Do(struct{}{}, true)
}

// writeGroup writes all batches, or none: one write for each hour they touch.
func (f *Files) writeGroup(batches []*codec.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	f.groupBatches.Update(float64(len(batches)))
	for _, b := range batches {
		if err := f.gather(b); err != nil {
			return f.giveUp(err)
		}
	}
	if err := f.journalTouched(kindFloor); err != nil {
		return f.giveUp(err)
	}
	n, err := f.appendTouched(kindFloor)
	if err != nil {
		return f.giveUp(err)
	}
	for _, s := range f.touched {
		s.length, s.dirty = s.tail, true
	}
	f.touched, f.reached = f.touched[:0], 0
	f.bytesWritten.AddInt64(n)
	f.full.Store(false)
	return nil
}

// writable returns why nothing can be written at all.
func (f *Files) writable() error {
	if f.closed {
		return sink.ErrClosed
	}
	return f.Err()
}

// gather notes the lines of b with their segments, whose files it opens.
func (f *Files) gather(b *codec.Batch) error {
	f.round++
	for _, r := range b.Runs() {
		s := f.last
		if s == nil || s.hour != r.Hour {
			s = f.segments[r.Hour]
			if s == nil {
				s = &segment{hour: r.Hour}
				f.segments[r.Hour] = s
			}
			f.last = s
		}
		if len(s.parts) == 0 {
			s.used = f.round
			f.touched = append(f.touched, s)
		}
		s.parts = append(s.parts, b.Lines(r))
	}
	return nil
}

// journalTouched notes in the journal where the touched files end, for those it
// does not know yet: before anything is appended to them.
func (f *Files) journalTouched(kind string) error {
	var unknown map[codec.Hour]int64
	var streams map[codec.Hour]stream
	for _, s := range f.touched {
		if s.journaled != f.journalRound {
			if unknown == nil {
				unknown, streams = map[codec.Hour]int64{}, map[codec.Hour]stream{}
			}
			if s.generation == 0 {
				f.beginGeneration(s, 0)
			}
			unknown[s.hour] = s.length
			streams[s.hour] = stream{s.generation, s.base, 0}
		}
	}
	if unknown == nil {
		return nil
	}
	if err := f.journal.add(entry{Kind: kind, Files: unknown, Hours: streams}, true); err != nil {
		return err
	}
	for h, n := range unknown {
		s := f.segments[h]
		s.journaled, s.synced, s.floored = f.journalRound, n, n
		s.exact = kind == kindOpen
	}
	return nil
}

// appendTouched writes what was gathered and returns the bytes written.
func (f *Files) appendTouched(kind string) (n int64, err error) {
	for i, s := range f.touched {
		if err := f.ensureOpen(s); err != nil {
			return n, err
		}
		if s.journaled != f.journalRound {
			// Its file was found changed as it was opened.
			if err := f.journalTouched(kind); err != nil {
				return n, err
			}
		}
		s.before = s.tail
		f.reached = i + 1
		if err := s.append(&f.scratch); err != nil {
			return n, fmt.Errorf("writing %s: %w", Path(s.hour), err)
		}
		n += s.tail - s.before
	}
	return n, nil
}

// giveUp ends a group that failed: every file goes back to where it was before,
// so that a later line is never glued to half of one.
func (f *Files) giveUp(err error) error {
	f.writeErrors.Inc()
	if failed := f.takeBack(); failed != nil {
		return f.fail(fmt.Errorf("%w; and taking it back failed: %w", err, failed))
	}
	return f.classify(err)
}

// takeBack cuts every touched file to where it ended before the group.
func (f *Files) takeBack() error {
	var failed error
	for i, s := range f.touched {
		s.drop()
		if i >= f.reached {
			continue
		}
		err := f.ensureOpen(s)
		if err == nil {
			err = s.cut(s.before)
		}
		failed = errors.Join(failed, err)
	}
	f.touched, f.reached = f.touched[:0], 0
	return failed
}

// classify turns a failure into what a caller can decide on.
func (f *Files) classify(err error) error {
	var fatal *fatalError
	switch {
	case errors.As(err, &fatal):
		return f.fail(err)
	case isDiskFull(err):
		f.full.Store(true)
		f.log.Warn("no room for the logs: answering 503 until there is", "dir", f.cfg.LogsDir, "err", err)
		return fmt.Errorf("%w: %w", sink.ErrDiskFull, err)
	default:
		return err
	}
}
