package aggregator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"time"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
	"logforge/sink/durable"
)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 32 << 20

// ErrTooLarge is returned for an answer that would be too large to put together
// in memory. It is an fs.ErrInvalid.
var ErrTooLarge = fmt.Errorf("an answer over %d MiB: ask for fewer hours, or for the top=N of each: %w", maxAnswer>>20, fs.ErrInvalid)

// AppendHour appends the summary of h to dst: a JSON object with hour, records,
// malformed, requestsPerPath and requestsPerUserAgent, in each of the two maps
// the top largest counts, or all if top is 0; the largest first, and those of
// one count by key. The error is an fs.ErrNotExist if h has no summary, an
// fs.ErrClosed if it has a damaged one that is about to be made again,
// ErrTooLarge, or the cause for which ctx ended.
//
// It says what the last pass has left on disk. It holds no more memory than its
// answer needs, and only one hour is put together at a time.
func (a *Aggregator) AppendHour(ctx context.Context, dst []byte, h codec.Hour, top int) ([]byte, error) {
	if err := enter(ctx, a.answeringHour); err != nil {
		return dst, err
	}
	defer func() { <-a.answeringHour }()
	out := &appender{buf: dst, max: len(dst) + maxAnswer}
	var e summaryEncoder
	e.reset(out)
	err := a.copyHour(ctx, &e, h, top, nil)
	switch {
	case errors.Is(err, errDamaged):
		return dst, fmt.Errorf("the summary of %s was damaged and is being made again: %w", hourText(h), fs.ErrClosed)
	case err != nil:
		return dst, err
	}
	return out.buf, nil
}

// enter waits until no other answer of its kind is put together, or ctx ends.
func enter(ctx context.Context, place chan struct{}) error {
	select {
	case place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// AppendRange appends the summaries of the hours from to to, both included: a
// JSON object with from, to, records, malformed, requestsPerPath and
// requestsPerUserAgent over all hours; missing, the hours some counts of which
// are lost or not there yet because a summary was damaged; and hours, an array
// of what AppendHour says of each that has a summary, with its hourTop largest
// counts. Where none has, the sums
// are 0. The merged maps name as many keys as those of one summary, and count the
// rest under Other.
//
// Only one range is put together at a time; others wait, until their ctx ends.
// The error is ErrTooLarge, or the cause for which ctx ended.
func (a *Aggregator) AppendRange(ctx context.Context, dst []byte, from, to codec.Hour, top, hourTop int) ([]byte, error) {
	if err := enter(ctx, a.answeringRange); err != nil {
		return dst, err
	}
	defer func() { <-a.answeringRange }()
	merged := newTally(a.cfg.MaxKeys)
	hours := &appender{max: maxAnswer}
	var e summaryEncoder
	e.reset(hours)
	e.token(jsontext.BeginArray)
	missing, err := a.copyHours(ctx, &e, from, to, hourTop, merged)
	if err != nil {
		return dst, err
	}
	e.token(jsontext.EndArray)
	if e.err != nil {
		return dst, e.err
	}

	out := &appender{buf: dst, max: len(dst) + 2*maxAnswer}
	e.reset(out)
	e.token(jsontext.BeginObject)
	e.member("from", jsontext.String(hourText(from)))
	e.member("to", jsontext.String(hourText(to)))
	e.sums(merged.records, merged.malformed)
	e.counts(namePaths, merged.paths, top)
	e.counts(nameAgents, merged.agents, top)
	e.token(jsontext.String("missing"))
	e.token(jsontext.BeginArray)
	for _, h := range missing {
		e.token(jsontext.String(hourText(h)))
	}
	e.token(jsontext.EndArray)
	e.token(jsontext.String("hours"))
	e.value(jsontext.Value(hours.buf))
	e.token(jsontext.EndObject)
	if e.err != nil {
		return dst, e.err
	}
	return out.buf, nil
}

// copyHours writes the summaries there are from hour from to hour to, and adds
// them to merged. It returns the hours that are missing, though there was
// something to summarise.
func (a *Aggregator) copyHours(ctx context.Context, e *summaryEncoder, from, to codec.Hour, top int, merged *tally) (missing []codec.Hour, err error) {
	found := &day{}
	for h := from; h <= to; h++ {
		if h == from || clockOf(h) == 0 {
			if found, err = a.dir.list(dayPath(h)); err != nil {
				return nil, err
			}
		}
		if found.aside.has(clockOf(h)) {
			missing = append(missing, h)
		}
		if !found.summaries.has(clockOf(h)) {
			continue
		}
		err := a.copyHour(ctx, e, h, top, merged)
		switch {
		case errors.Is(err, errDamaged):
			if !found.aside.has(clockOf(h)) {
				missing = append(missing, h)
			}
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
		runtime.Gosched() // requests first, where there is one processor
	}
	return missing, nil
}

// Span returns the days that have summaries. A day counts as one of the future
// from tomorrow's end on: clocks differ.
func (a *Aggregator) Span(context.Context) (codec.Span, error) {
	return a.dir.span(codec.HourOf(time.Now().Add(24 * time.Hour)))
}

// copyHour writes h's summary to e, with the top largest counts, and adds all of
// them to merged, if there is one. A summary that is damaged is reported; nothing
// of it is written or added.
func (a *Aggregator) copyHour(ctx context.Context, e *summaryEncoder, h codec.Hour, top int, merged *tally) error {
	file, err := a.dir.open(h)
	if err == nil {
		defer file.Close() //nolint:errcheck // only read
		var in summaryReader
		if err = in.verify(ctx, file, h); err == nil {
			if err = copySummary(ctx, e, durable.Reader(file, 0), h, top, merged); errors.Is(err, errDamaged) {
				// Its checksum is right, and it was half written to e.
				return fmt.Errorf("summary of %s: %s", h, err.Error())
			}
			return err
		}
	}
	if errors.Is(err, errDamaged) {
		a.report(h, err)
	}
	return err
}

// copySummary is copyHour for a file that was verified.
func copySummary(ctx context.Context, e *summaryEncoder, file io.Reader, h codec.Hour, top int, merged *tally) error {
	var in summaryReader
	in.reset(ctx, file)
	head, err := in.head(h)
	if err != nil {
		return err
	}
	e.token(jsontext.BeginObject)
	e.member(nameHour, jsontext.String(hourText(h)))
	e.sums(head.records, head.malformed)
	var paths, agents *counter
	if merged != nil {
		merged.records += head.records
		merged.malformed += head.malformed
		paths, agents = merged.paths, merged.agents
	}
	if err := copyCounts(e, &in, namePaths, top, paths); err != nil {
		return err
	}
	if err := copyCounts(e, &in, nameAgents, top, agents); err != nil {
		return err
	}
	e.token(jsontext.EndObject)
	return e.err
}

// copyCounts writes the top first counts of a map of in to e, and adds all of
// them to merged, if it is not nil.
func copyCounts(e *summaryEncoder, in *summaryReader, name string, top int, merged *counter) error {
	e.token(jsontext.String(name))
	e.token(jsontext.BeginObject)
	written := 0
	err := in.counts(name, func(key []byte, n uint64) {
		if top == 0 || written < top {
			e.count(key, n)
			written++
		}
		if merged != nil {
			merged.add(key, n)
		}
	})
	e.token(jsontext.EndObject)
	return errors.Join(err, e.err)
}

// appender is a writer that appends to buf, up to max bytes.
type appender struct {
	buf []byte
	max int
}

func (a *appender) Write(p []byte) (int, error) {
	if len(a.buf)+len(p) > a.max {
		return 0, ErrTooLarge
	}
	a.buf = append(a.buf, p...)
	return len(p), nil
}
