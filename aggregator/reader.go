package aggregator

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/goccy/go-json/jsontext"

	"logforge/codec"
)

// headBytes is enough of a summary file to hold its head.
const headBytes = 512

// summaryHead is what a summary says before its two maps: what it is of, and
// what resuming needs.
type summaryHead struct {
	records   uint64
	malformed uint64
	position
}

// errNotSummary is the cause for which a file that is JSON is not a summary.
var errNotSummary = errors.New("not a summary")

// summaryReader reads a summary file from its beginning: head, then counts of
// both maps, then end. It holds a bounded part of the file at a time. It asks
// for the very members that writeSummary writes, in that order: a summary that
// was changed by hand is counted again rather than believed.
type summaryReader struct {
	dec *jsontext.Decoder
	key []byte
}

// reset makes r the file that is read next.
func (s *summaryReader) reset(r io.Reader) {
	if s.dec == nil {
		s.dec = jsontext.NewDecoder(r)
	}
	s.dec.Reset(r, jsontext.AllowDuplicateNames(true))
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
		return head, fmt.Errorf("%w of %s: it says %q", errNotSummary, want, hour)
	}
	if head.records, err = s.number(nameRecords); err != nil {
		return head, err
	}
	if head.malformed, err = s.number(nameMalformed); err != nil {
		return head, err
	}
	offset, err := s.number(nameOffset)
	if err != nil {
		return head, err
	}
	head.offset = int64(offset)
	head.fingerprint, err = s.text(nameFingerprint)
	return head, err
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
		quoted, err := s.dec.ReadValue()
		if err != nil {
			return err
		}
		key := quoted[1 : len(quoted)-1]
		if !canonical(key) {
			return fmt.Errorf("%w: a key of %s is spelled as %s", errNotSummary, name, quoted)
		}
		// The next call of the decoder invalidates quoted.
		s.key = append(s.key[:0], key...)
		n, err := s.uint()
		if err != nil {
			return err
		}
		if n > last {
			return fmt.Errorf("%w: in %s, %d follows %d", errNotSummary, name, n, last)
		}
		use(s.key, n)
		last = n
	}
	return s.expect('}', "")
}

// end reads the end of the file.
func (s *summaryReader) end() error {
	if err := s.expect('}', ""); err != nil {
		return err
	}
	if _, err := s.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows its end", errNotSummary)
	}
	return nil
}

// expect reads one token, of the given kind and, if it is a string, value.
func (s *summaryReader) expect(kind jsontext.Kind, value string) error {
	t, err := s.dec.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != kind || kind == '"' && t.String() != value {
		return fmt.Errorf("%w: %s where %c%s was expected", errNotSummary, t, kind, value)
	}
	return nil
}

// text reads a member whose value is a string.
func (s *summaryReader) text(name string) (string, error) {
	if err := s.expect('"', name); err != nil {
		return "", err
	}
	t, err := s.dec.ReadToken()
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", fmt.Errorf("%w: %s is %s", errNotSummary, name, t)
	}
	return t.String(), nil
}

// number reads a member whose value is a whole number from 0 to 2^63-1.
func (s *summaryReader) number(name string) (uint64, error) {
	if err := s.expect('"', name); err != nil {
		return 0, err
	}
	n, err := s.uint()
	if err == nil && n > math.MaxInt64 {
		err = fmt.Errorf("%w: %d is out of range", errNotSummary, n)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return n, nil
}

// uint reads a whole number from 0 on.
func (s *summaryReader) uint() (uint64, error) {
	t, err := s.dec.ReadToken()
	if err != nil {
		return 0, err
	}
	if t.Kind() != '0' {
		return 0, fmt.Errorf("%w: %s where a number was expected", errNotSummary, t)
	}
	n, err := t.Uint()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotSummary, err)
	}
	return n, nil
}
