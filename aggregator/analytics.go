package aggregator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
)

// maxHoursBytes bounds what AppendRange says of the single hours.
const maxHoursBytes = 32 << 20

// ErrTooLarge is returned for a range whose answer would be too large to put
// together in memory. It is an fs.ErrInvalid.
var ErrTooLarge = fmt.Errorf("an answer over %d MiB: ask for fewer hours, or for the top=N of each: %w", maxHoursBytes>>20, fs.ErrInvalid)

// AppendHour appends the summary of h to dst: a JSON object with hour, records,
// malformed, requestsPerPath and requestsPerUserAgent, in each of the two maps
// the top largest counts, or all if top is 0; the largest first, and those of
// one count by key. The error is an fs.ErrNotExist if h has no summary.
//
// It says what the last pass has left on disk. It holds no more memory than its
// answer needs.
func (a *Aggregator) AppendHour(dst []byte, h codec.Hour, top int) ([]byte, error) {
	out := appender(dst)
	if info, err := os.Stat(a.summaryFile(h)); err == nil && top == 0 {
		out = slices.Grow(out, int(info.Size())) // rather than growing there in steps
	}
	var e summaryEncoder
	e.reset(&out)
	if err := a.copyHour(&e, h, top, nil); err != nil {
		return dst, err
	}
	return out, nil
}

// AppendRange appends the summaries of the hours from to to, both included: a
// JSON object with from, to, records, malformed, requestsPerPath and
// requestsPerUserAgent over all hours, and hours, an array of what AppendHour
// says of each that has a summary. Where none has, the sums are 0. The merged
// maps name as many keys as those of one summary, and count the rest under
// Other.
//
// Only one range is put together at a time; others wait. The error is
// ErrTooLarge if the hours would need more than 32 MiB.
func (a *Aggregator) AppendRange(dst []byte, from, to codec.Hour, top int) ([]byte, error) {
	a.ranges.Lock()
	defer a.ranges.Unlock()

	merged := newTally(a.cfg.MaxKeys)
	var hours appender
	var e summaryEncoder
	e.reset(&hours)
	e.token(jsontext.BeginArray)
	for h := from; h <= to; h++ {
		err := a.copyHour(&e, h, top, merged)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dst, err
		}
		if len(hours) > maxHoursBytes {
			return dst, ErrTooLarge
		}
	}
	e.token(jsontext.EndArray)
	if e.err != nil {
		return dst, e.err
	}

	out := appender(dst)
	e.reset(&out)
	e.token(jsontext.BeginObject)
	e.member("from", jsontext.String(hourText(from)))
	e.member("to", jsontext.String(hourText(to)))
	e.sums(merged.records, merged.malformed)
	e.counts(namePaths, merged.paths, top)
	e.counts(nameAgents, merged.agents, top)
	e.token(jsontext.String("hours"))
	e.value(jsontext.Value(hours))
	e.token(jsontext.EndObject)
	if e.err != nil {
		return dst, e.err
	}
	return out, nil
}

// copyHour writes h's summary to e, with the top largest counts, and adds all
// of them to merged, if there is one.
func (a *Aggregator) copyHour(e *summaryEncoder, h codec.Hour, top int, merged *tally) error {
	file, err := os.Open(a.summaryFile(h))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	var in summaryReader
	in.reset(file)
	head, err := in.head(h)
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
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
	err = errors.Join(
		copyCounts(e, &in, namePaths, top, paths),
		copyCounts(e, &in, nameAgents, top, agents),
		in.end(),
	)
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name(), err)
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
	return err
}

// appender is a writer that appends to itself.
type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}
