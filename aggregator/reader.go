package aggregator

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"syscall"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
	"logforge/sink/durable"
)

// headBytes is enough of a summary file to hold its head.
const headBytes = 512

// keysBetweenChecks is how many keys of a summary are read between two checks of
// whether the context has ended.
const keysBetweenChecks = 1 << 12

// summaryHead is what a summary says before its two maps: what it is of, and
// what resuming needs.
type summaryHead struct {
	records   uint64
	malformed uint64
	earlier   uint64 // lines that are of earlier generations
	position
}

// errDamaged is the error for a file in the place of a summary that cannot be
// used: it is not a summary, its counts do not add up, or it was changed by hand.
var errDamaged = errors.New("damaged summary")

// summaryReader reads a summary file from its beginning: head, then the counts
// of both maps, then rest. It holds a bounded part of the file at a time. It
// takes exactly the members that summaryEncoder writes, in that order: the hour of
// a summary that was changed by hand is counted again.
type summaryReader struct {
	dec  *jsontext.Decoder
	key  []byte
	ctx  context.Context
	read int    // keys so far
	buf  []byte // into which verify reads
}

// reset makes r the file that is read next. When ctx ends, reading
// ends with its cause.
func (s *summaryReader) reset(ctx context.Context, r io.Reader) {
	if s.dec == nil {
		s.dec = jsontext.NewDecoder(r)
	}
	s.dec.Reset(r, jsontext.AllowDuplicateNames(true))
	s.ctx = ctx
}

// verify reports whether file is h's summary, as it was written. What it reads
// of the file it leaves to be read again. The error is errDamaged, or that of
// reading, or the cause for which ctx ended.
func (s *summaryReader) verify(ctx context.Context, file durable.File, h codec.Hour) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if err := s.verifyChecksum(ctx, file, st.Size); err != errNoChecksum {
		return err
	}
	// One of a version that wrote no checksum: its counts have to add up.
	s.reset(ctx, durable.Reader(file, 0))
	head, err := s.head(h)
	if err != nil {
		return err
	}
	if !head.legacy {
		return fmt.Errorf("%w: there is no checksum", errDamaged)
	}
	for _, name := range []string{namePaths, nameAgents} {
		var sum uint64
		if err := s.counts(name, func(_ []byte, n uint64) { sum += n }); err != nil {
			return err
		}
		if sum != head.records {
			return fmt.Errorf("%w: %d records, but the counts of %s add up to %d", errDamaged, head.records, name, sum)
		}
	}
	return s.rest(head, nil)
}

// errNoChecksum: a file does not end in a checksum.
var errNoChecksum = errors.New("no checksum")

// verifyChecksum compares the checksum at the end of file, which has size
// bytes, with the bytes before it.
func (s *summaryReader) verifyChecksum(ctx context.Context, file durable.File, size int64) error {
	body := size - int64(checksumLen)
	if body < 0 {
		return errNoChecksum
	}
	var end [checksumLen]byte
	if _, err := file.ReadAt(end[:], body); err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(end[checksumAt:checksumAt+8]), 16, 32)
	if err != nil || fmt.Sprintf(checksumForm, n) != string(end[:]) {
		return errNoChecksum
	}
	want := uint32(n)
	if s.buf == nil {
		s.buf = make([]byte, 32<<10)
	}
	var sum uint32
	for in := io.LimitReader(durable.Reader(file, 0), body); ; {
		n, err := in.Read(s.buf)
		sum = crc32.Update(sum, castagnoli, s.buf[:n])
		switch {
		case err == io.EOF && sum != want:
			return fmt.Errorf("%w: its checksum is %08x and has to be %08x", errDamaged, want, sum)
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// headOf returns a reader of as much of a summary file as its head can have.
func headOf(file durable.File) io.Reader {
	return io.LimitReader(durable.Reader(file, 0), headBytes)
}

// head reads everything before the maps. It has to be the head of h's summary.
func (s *summaryReader) head(h codec.Hour) (summaryHead, error) {
	var head summaryHead
	if err := s.expect('{', ""); err != nil {
		return head, err
	}
	hour, err := s.text(nameHour)
	if err != nil {
		return head, err
	}
	if want := hourText(h); hour != want {
		return head, fmt.Errorf("%w of %s: it says %q", errDamaged, want, hour)
	}
	if head.records, head.malformed, err = s.sums(); err != nil {
		return head, err
	}
	name, err := s.str()
	if err != nil {
		return head, err
	}
	if head.legacy = name == nameOffset; !head.legacy {
		if name != nameGeneration {
			return head, fmt.Errorf("%w: %s where %s was expected", errDamaged, name, nameGeneration)
		}
		if head.generation, err = s.uint(); err != nil {
			return head, err
		}
		if head.earlier, err = s.number(nameEarlierLines); err != nil {
			return head, err
		}
	}
	var offset uint64
	if head.legacy {
		offset, err = s.uint()
	} else {
		offset, err = s.number(nameOffset)
	}
	if err != nil {
		return head, err
	}
	if head.offset = int64(offset); head.offset < 0 {
		return head, fmt.Errorf("%w: offset %d is out of range", errDamaged, offset)
	}
	head.fingerprint, err = s.text(nameFingerprint)
	return head, err
}

// sums reads how many records and malformed lines were counted.
func (s *summaryReader) sums() (records, malformed uint64, err error) {
	if records, err = s.number(nameRecords); err != nil {
		return 0, 0, err
	}
	malformed, err = s.number(nameMalformed)
	return records, malformed, err
}

// counts reads the map with the given name and hands each key, in canonical
// spelling, and its count to use, the largest count first. The key is valid
// during the call.
func (s *summaryReader) counts(name string, use func(key []byte, n uint64)) error {
	if err := s.expect('"', name); err != nil {
		return err
	}
	if err := s.expect('{', ""); err != nil {
		return err
	}
	last := uint64(math.MaxUint64)
	for s.dec.PeekKind() == '"' {
		if s.read++; s.read%keysBetweenChecks == 0 && s.ctx.Err() != nil {
			return context.Cause(s.ctx)
		}
		quoted, err := s.dec.ReadValue()
		if err != nil {
			return s.syntax(err)
		}
		key := quoted[1 : len(quoted)-1]
		if !codec.IsText(key) {
			return fmt.Errorf("%w: a key of %s is spelled as %s", errDamaged, name, quoted)
		}
		// The next call of the decoder invalidates quoted.
		s.key = append(s.key[:0], key...)
		n, err := s.uint()
		if err != nil {
			return err
		}
		if n > last {
			return fmt.Errorf("%w: in %s, %d follows %d", errDamaged, name, n, last)
		}
		use(s.key, n)
		last = n
	}
	return s.expect('}', "")
}

// rest reads what follows the two maps to the end of the file: what they hold of
// earlier generations, which it counts into earlier, and the checksum, which
// verify has looked at.
func (s *summaryReader) rest(head summaryHead, earlier *tally) error {
	if !head.legacy {
		name, err := s.str()
		if err == nil && name == nameEarlier {
			if err = s.earlier(earlier); err == nil {
				name, err = s.str()
			}
		}
		if err != nil {
			return err
		}
		if name != nameChecksum {
			return fmt.Errorf("%w: %s where %s was expected", errDamaged, name, nameChecksum)
		}
		if _, err := s.dec.ReadToken(); err != nil {
			return s.syntax(err)
		}
	}
	if err := s.expect('}', ""); err != nil {
		return err
	}
	if _, err := s.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", errDamaged)
	}
	return nil
}

// earlier reads what the maps have of earlier generations into t.
func (s *summaryReader) earlier(t *tally) (err error) {
	if err := s.expect('{', ""); err != nil {
		return err
	}
	if t.records, t.malformed, err = s.sums(); err != nil {
		return err
	}
	if err := s.counts(namePaths, t.paths.add); err != nil {
		return err
	}
	if err := s.counts(nameAgents, t.agents.add); err != nil {
		return err
	}
	return s.expect('}', "")
}

// syntax returns errDamaged for an error of the decoder, unless the file could not
// be read.
func (s *summaryReader) syntax(err error) error {
	var read syscall.Errno
	if errors.As(err, &read) {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// expect reads one token, of the given kind and, if it is a string, value.
func (s *summaryReader) expect(kind jsontext.Kind, value string) error {
	t, err := s.dec.ReadToken()
	if err != nil {
		return s.syntax(err)
	}
	if t.Kind() != kind || kind == '"' && t.String() != value {
		return fmt.Errorf("%w: %s where %c%s was expected", errDamaged, t, kind, value)
	}
	return nil
}

// str reads a string: the name of a member, or a value.
func (s *summaryReader) str() (string, error) {
	t, err := s.dec.ReadToken()
	if err != nil {
		return "", s.syntax(err)
	}
	if t.Kind() != '"' {
		return "", fmt.Errorf("%w: %s where a string was expected", errDamaged, t)
	}
	return t.String(), nil
}

// text reads a member whose value is a string.
func (s *summaryReader) text(name string) (string, error) {
	if err := s.expect('"', name); err != nil {
		return "", err
	}
	return s.str()
}

// number reads a member whose value is a whole number from 0 to math.MaxInt64.
func (s *summaryReader) number(name string) (uint64, error) {
	if err := s.expect('"', name); err != nil {
		return 0, err
	}
	n, err := s.uint()
	if err == nil && n > math.MaxInt64 {
		err = fmt.Errorf("%w: %s %d is out of range", errDamaged, name, n)
	}
	return n, err
}

// uint reads a whole number from 0 to math.MaxUint64.
func (s *summaryReader) uint() (uint64, error) {
	t, err := s.dec.ReadToken()
	if err != nil {
		return 0, s.syntax(err)
	}
	if t.Kind() != '0' {
		return 0, fmt.Errorf("%w: %s where a number was expected", errDamaged, t)
	}
	n, err := t.Uint()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return n, nil
}
