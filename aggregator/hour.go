package aggregator

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"logforge/codec"
	"logforge/sink/durable"
	"logforge/sink/hourly"
)

// fingerprintBytes is how many bytes before a position its fingerprint is of.
const fingerprintBytes = 4 << 10

// counts is what is known of one hour: what its summary says, or will.
type counts struct {
	position
	hour    codec.Hour
	total   *tally
	earlier *tally // what total holds of generations before this one
	valid   bool
}

// restart makes c the counts of an hour of which nothing is known.
func (c *counts) restart(e hourly.Extent) {
	c.total.reset()
	c.earlier.reset()
	c.position = position{generation: e.Generation}
	c.hour, c.valid = e.Hour, true
}

// recount leaves what was counted of earlier generations only.
func (c *counts) recount() {
	c.total.reset()
	c.total.merge(c.earlier)
	c.position = position{generation: c.generation}
}

// begin makes everything that was counted that of earlier generations.
func (c *counts) begin(generation uint64) {
	c.earlier.reset()
	c.earlier.merge(c.total)
	c.position = position{generation: generation}
}

// summarise brings the summary of e's hour up to e.
func (a *Aggregator) summarise(ctx context.Context, e hourly.Extent) error {
	replace, err := a.resume(ctx, e)
	if errors.Is(err, hourly.ErrGone) {
		return nil // what was counted stays
	}
	if err != nil {
		return err
	}
	from, records, malformed := a.counts.offset, a.counts.total.records, a.counts.total.malformed
	if err := a.read(ctx, e); err != nil {
		a.counts.valid = false
		if errors.Is(err, hourly.ErrGone) {
			return nil
		}
		return err
	}
	if a.counts.offset > from || replace {
		if err := a.save(e); err != nil {
			return err
		}
		a.records.AddInt64(int64(a.counts.total.records - records))
		a.malformed.AddInt64(int64(a.counts.total.malformed - malformed))
	}
	a.seen[e.Hour] = seen{
		generation: e.Generation,
		length:     e.Length,
		summary:    a.counts.offset > 0 || !a.counts.total.empty(),
		pass:       a.passes,
	}
	return nil
}

// resume makes a.counts what is known of e: what the summary says, as far as it
// fits e's stream. It reports true if the summary has to be replaced even if no
// line is read.
func (a *Aggregator) resume(ctx context.Context, e hourly.Extent) (replace bool, err error) {
	if !a.counts.valid || a.counts.hour != e.Hour {
		err := a.load(ctx, e)
		if errors.Is(err, errDamaged) {
			err = a.dismiss(e.Hour, err, a.recountable(e))
			replace = true
			a.counts.restart(e)
			a.recounts.Inc()
		}
		if err != nil {
			return false, err
		}
	}
	fits := a.counts.offset == 0 && a.counts.generation == e.Generation
	if !fits && a.comparable(a.counts.position, e) && a.counts.offset <= e.Length {
		sum, err := a.fingerprint(e, a.counts.offset)
		if err != nil {
			return false, err
		}
		fits = sum == a.counts.fingerprint
	}
	switch {
	case fits:
		a.counts.generation, a.counts.legacy = e.Generation, false
	case a.counts.generation == e.Generation && !a.counts.legacy:
		a.log.Warn("an hour's file is not what was summarised: counting it again", "hour", e.Hour, "offset", a.counts.offset, "length", e.Length)
		a.recounts.Inc()
		a.counts.recount()
		replace = true
	default:
		a.log.Info("an hour has a new file: its counts are added to what there was", "hour", e.Hour, "records", a.counts.total.records)
		a.counts.begin(e.Generation)
	}
	return replace, nil
}

// comparable reports whether the bytes before p may be bytes of e's stream: p is
// of e's generation, or of a summary that names none, or e's generation existed
// when the process started. In the last case every generation may be new, because
// the journal of the logs directory was lost; the same bytes at the same place are
// then the same lines. In a generation that began later they are lines that were
// sent again.
func (a *Aggregator) comparable(p position, e hourly.Extent) bool {
	return p.legacy || p.generation == e.Generation || a.found[e.Hour] == e.Generation
}

// load makes a.counts what the summary of e's hour says, or nothing where there
// is none. The error is errDamaged for a damaged summary.
func (a *Aggregator) load(ctx context.Context, e hourly.Extent) error {
	a.counts.valid = false
	file, err := a.dir.open(e.Hour)
	if errors.Is(err, fs.ErrNotExist) {
		a.counts.restart(e)
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	if err := a.reader.verify(ctx, file, e.Hour); err != nil {
		return err
	}
	a.reader.reset(ctx, durable.Reader(file, 0))
	head, err := a.reader.head(e.Hour)
	if err != nil {
		return err
	}
	c := &a.counts
	c.restart(e)
	c.valid = false
	c.total.records, c.total.malformed = head.records, head.malformed
	if err := a.reader.counts(namePaths, c.total.paths.add); err != nil {
		return err
	}
	if err := a.reader.counts(nameAgents, c.total.agents.add); err != nil {
		return err
	}
	if err := a.reader.rest(head, c.earlier); err != nil {
		return err
	}
	c.position, c.valid = head.position, true
	return nil
}

// accounted reports whether the summary of e's hour accounts for e.
func (a *Aggregator) accounted(ctx context.Context, e hourly.Extent) bool {
	return a.accountedBy(ctx, &a.reader, e)
}

// Covers reports whether the summary of e's hour accounts for all of e and is on
// disk: e's file is not needed any more to count it. It may be called beside a
// pass.
func (a *Aggregator) Covers(e hourly.Extent) bool {
	if e.Length == 0 {
		return true
	}
	if a.dir.failed.Load() || !a.accountedBy(context.Background(), new(summaryReader), e) {
		return false
	}
	// The process that made the summary, this one or the one before, need not
	// have got to syncing its name.
	return a.dir.syncNames(dayPath(e.Hour), ".") == nil
}

// accountedBy is accounted with a reader of the caller's.
func (a *Aggregator) accountedBy(ctx context.Context, r *summaryReader, e hourly.Extent) bool {
	file, err := a.dir.open(e.Hour)
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	if err := r.verify(ctx, file, e.Hour); err != nil {
		return false
	}
	r.reset(ctx, headOf(file))
	head, err := r.head(e.Hour)
	if err != nil || head.offset != e.Length || !a.comparable(head.position, e) {
		return false
	}
	sum, err := a.fingerprint(e, head.offset)
	return err == nil && sum == head.fingerprint
}

// read counts the whole lines of e from the current position on, and moves the
// position past them.
func (a *Aggregator) read(ctx context.Context, e hourly.Extent) error {
	in, err := a.files.Reader(e, a.counts.offset)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	a.lines.reset(in)
	defer a.lines.reset(nil)
	for {
		lines, skipped, err := a.lines.next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case skipped > 0:
			a.counts.total.malformed++
		}
		a.counts.total.count(lines, e.Hour)
		a.counts.offset += int64(len(lines)) + skipped
		runtime.Gosched() // lets requests run, where there is one processor
	}
}

// save replaces the summary of the hour in a.counts.
func (a *Aggregator) save(e hourly.Extent) error {
	var err error
	if a.counts.fingerprint, err = a.fingerprint(e, a.counts.offset); err != nil {
		return err
	}
	return a.dir.replace(e.Hour, func(w io.Writer) error {
		return a.encoder.summary(w, e.Hour, a.counts.position, a.counts.total, a.counts.earlier)
	})
}

// fingerprint returns that of the bytes of e just before offset, by which a
// replaced file is recognised. At offset 0 it is empty.
func (a *Aggregator) fingerprint(e hourly.Extent, offset int64) (string, error) {
	if offset == 0 {
		return "", nil
	}
	var tail [fingerprintBytes]byte
	size := min(offset, fingerprintBytes)
	in, err := a.files.Reader(e, offset-size)
	if err != nil {
		return "", err
	}
	defer in.Close() //nolint:errcheck // only read
	if _, err := io.ReadFull(in, tail[:size]); err != nil {
		return "", fmt.Errorf("the last %d bytes before %d: %w", size, offset, err)
	}
	sum := sha256.Sum256(tail[:size])
	return hex.EncodeToString(sum[:8]), nil
}
