package hourly

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"logforge/codec"
	"logforge/sink"
)

// Write implements Sink for pipeline 1. The levels are Written and Synced.
func (f *Files) Write(ctx context.Context, b *codec.Batch, ack sink.Ack) error {
	if ack == sink.Default {
		ack = f.ack
	}
	if ack != sink.Written && ack != sink.Synced {
		return sink.ErrAck
	}
	if b.Records() == 0 {
		return nil
	}
	if err := f.confined().ofBatch(b); err != nil {
		return err
	}
	if len(b.Runs()) > wideHours {
		select {
		case f.wide <- struct{}{}:
			defer func() { <-f.wide }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	var err error
	if ack == sink.Synced && f.trouble.Load() != nil {
		// What cannot be confirmed is not written: a client that retries would
		// have it stored each time.
		err = f.syncs.Do(ctx, nil, true)
	}
	if err == nil {
		good := f.Err() == nil
		if err = f.writes.Do(ctx, b, b.Len() < joinBytes); err == nil && ack == sink.Synced {
			err = unsynced(f.syncs.Do(ctx, b, true))
		} else if err != nil && good && f.Err() != nil { // it has failed for good in the middle of this
			err = unsynced(err)
		}
	}
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		f.hanging.Store(true) // until a group comes to its end
	}
	return err
}

// wideHours is how many hours a batch may have and be written together with any
// other. Of those with more, each of which opens and closes thousands of files,
// only one is in a group, so that the batches behind wait for no more than one.
const wideHours = 256

// unsynced is err for a batch that was written: it may be stored.
func unsynced(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", sink.ErrUnsynced, err)
}

// writeGroup writes all batches, or none: one write for each hour they touch.
func (f *Files) writeGroup(batches []*codec.Batch) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if f.tx.prepared != nil {
		return errUndecided
	}
	f.groupBatches.Update(float64(len(batches)))
	err := f.writeAll(batches)
	if err == nil || len(f.confined()) == 0 {
		return err
	}
	// Batches without records of an hour that cannot be written are stored.
	each := make(sink.Each, len(batches))
	for {
		var others []*codec.Batch
		faults := f.confined()
		for i, b := range batches {
			if each[i] = faults.ofBatch(b); each[i] == nil {
				others = append(others, b)
			}
		}
		if len(others) == 0 {
			return each
		}
		if err = f.writeAll(others); err == nil {
			return each
		}
		if len(f.confined()) == len(faults) { // another reason
			for i := range each {
				each[i] = cmp.Or(each[i], err)
			}
			return each
		}
	}
}

func (f *Files) writeAll(batches []*codec.Batch) error {
	for _, b := range batches {
		f.gather(b)
	}
	return f.appendTouched()
}

// writable returns why nothing can be written at all.
func (f *Files) writable() error {
	if f.closed {
		return sink.ErrClosed
	}
	if lost := f.lost.Load(); lost != nil {
		return lost
	}
	return f.Err()
}

// gather notes the lines of b with the segments of their hours.
func (f *Files) gather(b *codec.Batch) {
	f.batches++
	for _, r := range b.Runs() {
		s := f.last
		if s == nil || s.hour != r.Hour {
			s = f.segment(r.Hour)
			f.last = s
		}
		if len(s.parts) == 0 {
			s.used = f.batches
			f.touched = append(f.touched, s)
		}
		s.parts = append(s.parts, b.Lines(r))
	}
}

func (f *Files) segment(h codec.Hour) *segment {
	s := f.segments[h]
	if s == nil {
		s = &segment{hour: h, journaled: unknown}
		f.mu.Lock()
		f.segments[h] = s
		f.mu.Unlock()
	}
	return s
}

// appendTouched writes what was gathered, all of it or nothing, in slices of as
// many files as may be open. In a transaction the lines count once it is decided,
// else at once.
func (f *Files) appendTouched() error {
	for _, s := range f.touched {
		s.before = s.written
	}
	var bytes int64
	behind := false
	for rest := f.touched; len(rest) > 0; {
		part := rest[:min(len(rest), max(1, f.limit/2))]
		rest = rest[len(part):]
		if s, err := f.ready(part); err != nil {
			return f.giveUp(s, err)
		}
		for _, s := range part {
			if err := f.appendTo(s); err != nil {
				return f.giveUp(s, fmt.Errorf("writing %s: %w", Path(s.hour), err))
			}
		}
		f.mu.Lock()
		for _, s := range part {
			s.written += s.added
			bytes += s.added
			s.added = 0
			behind = behind || s.isBehind()
		}
		if len(rest) == 0 && !f.transactional {
			for _, s := range f.touched {
				s.visible = s.written
			}
		}
		f.mu.Unlock()
	}
	if behind {
		select {
		case f.behind <- struct{}{}:
		default:
		}
	}
	if t := f.trouble.Load(); t != nil {
		for _, s := range f.touched {
			if t.where == s {
				f.recovered(t)
			}
		}
	}
	if f.transactional {
		f.tx.add(f.touched, bytes)
	}
	f.touched = f.touched[:0]
	f.bytesWritten.AddInt64(bytes)
	if f.hanging.Load() {
		f.hanging.Store(false)
	}
	return nil
}

// recovered takes note that what failed works again.
func (f *Files) recovered(t *trouble) {
	if f.trouble.CompareAndSwap(t, nil) {
		f.log.Info("the logs can be written again", "dir", f.cfg.LogsDir)
	}
}

// ready makes the files of part ready to be appended to: open, cut to what was
// written, and known to the journal. It returns the segment that is not.
func (f *Files) ready(part []*segment) (*segment, error) {
	f.slices++
	fresh := false
	for _, s := range part {
		s.slice = f.slices
		if s.file != nil && !s.moved && s.size == s.written {
			fresh = fresh || s.journaled == unknown
			continue
		}
		if err := f.ensureOpen(s); err != nil {
			return s, err
		}
		if s.moved {
			if err := f.moveOver(s); err != nil {
				return s, err
			}
		}
		if s.size > s.written {
			if err := f.cut(s, s.written); err != nil {
				return s, fmt.Errorf("cutting %s: %w", Path(s.hour), err)
			}
		}
		fresh = fresh || s.journaled == unknown
	}
	if !fresh {
		return nil, nil
	}
	return nil, f.note(part)
}

// note tells the journal up to where the files of part are good, for those it
// does not know: before anything is appended to them.
func (f *Files) note(part []*segment) error {
	e := entry{Kind: kindFloor, Files: map[codec.Hour]int64{}, Hours: map[codec.Hour]stream{}}
	if f.transactional {
		e.Kind = kindOpen
	}
	for _, s := range part {
		if s.journaled == unknown {
			e.Files[s.hour] = s.visible
			if !f.transactional {
				e.Files[s.hour] = min(s.visible, f.onDisk(s))
			}
			e.Hours[s.hour] = s.stream()
		}
	}
	if len(e.Files) == 0 {
		return nil
	}
	if !f.journal.usable() { // it could not be made before
		if err := f.compact(); err != nil {
			return err
		}
	}
	if err := f.journal.add(e, true); err != nil {
		return err
	}
	for _, s := range part {
		if s.journaled == unknown {
			s.journaled = e.Files[s.hour]
		}
	}
	return nil
}

// giveUp ends a group that failed: every file goes back to where it was before,
// so that a later line is never glued to half of one. One that cannot be cut now
// is cut before the next line is written to it.
func (f *Files) giveUp(where *segment, err error) error {
	f.writeErrors.Inc()
	var bytes int64
	for _, s := range f.touched {
		for _, p := range s.parts {
			bytes += int64(len(p))
		}
		bytes += s.size - s.before
		s.forgetParts()
		s.added = 0
		if s.size == s.before {
			continue
		}
		f.mu.Lock()
		s.written = s.before
		s.synced = min(s.synced, s.written)
		s.cuts++
		f.mu.Unlock()
		f.slices++
		s.slice = f.slices
		failed := f.ensureOpen(s)
		if failed == nil && s.size > s.written {
			failed = f.cut(s, s.written)
		}
		if failed != nil {
			f.log.Warn("what a failed write left cannot be cut off yet", "file", Path(s.hour), "err", failed)
		}
	}
	f.touched = f.touched[:0]
	return f.classify(err, where, bytes)
}

// cut takes the file, which is open, back to length. It never makes a file
// longer: one that somebody else has shortened stays as it is.
func (f *Files) cut(s *segment, length int64) error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	if st.Size < length {
		return f.adopt(s, st.Size, 0)
	}
	if st.Size > length {
		if err := s.file.Truncate(length); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.size = length
	s.written = min(s.written, length)
	s.synced = min(s.synced, length)
	s.cuts++
	return nil
}
