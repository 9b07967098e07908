package aggregator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"logforge/codec"
	"logforge/sink/hourly"
)

// fingerprintBytes is how many bytes before a position its fingerprint is of.
const fingerprintBytes = 4 << 10

// summarise brings the summary of h up to length, the committed length of its
// file.
func (a *Aggregator) summarise(ctx context.Context, h codec.Hour, length int64) error {
	file, err := os.Open(a.logFile(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed by retention: what was counted stays
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	end := min(length, info.Size())

	resumed, err := a.resume(h, file, end)
	if err != nil {
		return err
	}
	from, records, malformed := a.current.offset, a.tally.records, a.tally.malformed
	if err := a.read(ctx, file, h, end); err != nil {
		return err
	}
	if a.current.offset > from || !resumed {
		if err := a.save(file); err != nil {
			return err
		}
		a.records.AddInt64(int64(a.tally.records - records))
		a.malformed.AddInt64(int64(a.tally.malformed - malformed))
	}
	if end < length {
		return fmt.Errorf("%s has %d bytes, %d are committed: was it truncated by another program?", file.Name(), end, length)
	}
	return nil
}

// resume makes a.tally hold what is known of h, and a.current how far that is:
// what the summary says, if it fits the first end bytes of the file, or nothing.
// It reports false if there is a summary that has to be replaced even if no line
// is read.
func (a *Aggregator) resume(h codec.Hour, file *os.File, end int64) (bool, error) {
	if !a.current.valid || a.current.hour != h {
		err := a.load(h)
		if errors.Is(err, fs.ErrNotExist) {
			a.restart(h)
			return true, nil
		}
		if err != nil {
			a.log.Warn("summary cannot be read: counting the hour again", "hour", h, "err", err)
			a.recounts.Inc()
			a.restart(h)
			return false, nil
		}
	}
	if a.current.offset <= end {
		sum, err := a.fingerprint(file, a.current.offset)
		if err != nil {
			return false, err
		}
		if sum == a.current.fingerprint {
			return true, nil
		}
	}
	a.log.Warn("file is not the one that was summarised: counting the hour again", "hour", h, "offset", a.current.offset, "length", end)
	a.recounts.Inc()
	a.restart(h)
	return false, nil
}

// restart makes a.tally and a.current those of an hour of which nothing is
// known.
func (a *Aggregator) restart(h codec.Hour) {
	a.tally.reset()
	a.current = standing{hour: h, valid: true}
}

// load makes a.tally and a.current what h's summary says.
func (a *Aggregator) load(h codec.Hour) error {
	file, err := os.Open(a.summaryFile(h))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	a.reader.reset(file)
	head, err := a.reader.head(h)
	if err != nil {
		return err
	}
	a.restart(h)
	a.tally.records, a.tally.malformed = head.records, head.malformed
	if err := a.reader.counts(namePaths, a.tally.paths.add); err != nil {
		return err
	}
	if err := a.reader.counts(nameAgents, a.tally.agents.add); err != nil {
		return err
	}
	if err := a.reader.end(); err != nil {
		return err
	}
	if n := a.tally.paths.total(); n != head.records {
		return fmt.Errorf("%w: %d records, but the counts of %s add up to %d", errNotSummary, head.records, namePaths, n)
	}
	if n := a.tally.agents.total(); n != head.records {
		return fmt.Errorf("%w: %d records, but the counts of %s add up to %d", errNotSummary, head.records, nameAgents, n)
	}
	a.current.position = head.position
	return nil
}

// accounted reports whether h's summary accounts for its file's first length
// bytes. It reads the head of the summary, and the end of what that is of.
func (a *Aggregator) accounted(h codec.Hour, length int64) bool {
	summary, err := os.Open(a.summaryFile(h))
	if err != nil {
		return false
	}
	defer summary.Close() //nolint:errcheck // only read
	var first [headBytes]byte
	n, _ := io.ReadFull(summary, first[:])
	a.reader.reset(bytes.NewReader(first[:n]))
	head, err := a.reader.head(h)
	if err != nil || head.offset != length {
		return false
	}
	file, err := os.Open(a.logFile(h))
	if err != nil {
		return false
	}
	defer file.Close() //nolint:errcheck // only read
	sum, err := a.fingerprint(file, length)
	return err == nil && sum == head.fingerprint
}

func (a *Aggregator) logFile(h codec.Hour) string {
	return filepath.Join(a.storage.LogsDir, hourly.Path(h))
}

func (a *Aggregator) summaryFile(h codec.Hour) string {
	return filepath.Join(a.storage.AnalyticsDir, summaryPath(h))
}

// save replaces the summary of the current hour by what a.tally holds.
func (a *Aggregator) save(file *os.File) error {
	var err error
	if a.current.fingerprint, err = a.fingerprint(file, a.current.offset); err != nil {
		return err
	}
	return a.out.replace(a.summaryFile(a.current.hour), func(w io.Writer) error {
		return a.encoder.summary(w, a.current.hour, a.current.position, a.tally)
	})
}

// read counts the whole lines of file from the current position to end, and
// moves the position past them.
func (a *Aggregator) read(ctx context.Context, file *os.File, h codec.Hour, end int64) error {
	form := newLineForm(h)
	defer a.lines.release()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		lines, skipped, err := a.lines.next(file, a.current.offset, end)
		if err != nil {
			return err
		}
		if skipped > 0 {
			a.tally.malformed++
		}
		if len(lines) == 0 && skipped == 0 {
			return nil
		}
		a.tally.count(lines, &form)
		a.current.offset += int64(len(lines)) + skipped
	}
}

// fingerprint is a hash of the bytes just before offset, by which a file that
// was replaced by another one is told. A file that ends before offset has the
// fingerprint of what is there of them; none at all have the empty one.
func (a *Aggregator) fingerprint(file *os.File, offset int64) (string, error) {
	if offset == 0 {
		return "", nil
	}
	buf := a.tail[:min(offset, fingerprintBytes)]
	n, err := file.ReadAt(buf, offset-int64(len(buf)))
	if err != nil && err != io.EOF {
		return "", err
	}
	sum := sha256.Sum256(buf[:n])
	return hex.EncodeToString(sum[:8]), nil
}
