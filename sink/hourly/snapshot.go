package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"logforge/codec"
	"logforge/sink/durable"
)

// Snapshot is a logs directory as it was found at one moment, read without its
// lock, beside the process that writes it.
type Snapshot struct {
	dir      string
	node     string
	files    map[codec.Hour]known
	prepared map[codec.Hour]bool // of them, those with a transaction that is not decided
	hours    []codec.Hour
}

// Look reads which hours a logs directory has, and what its journal says of
// them. It changes nothing.
func Look(dir string) (*Snapshot, error) {
	s := &Snapshot{dir: dir, prepared: map[codec.Hour]bool{}}
	if file, err := durable.OpenRegular(filepath.Join(dir, instanceName)); err == nil {
		id, err := io.ReadAll(io.LimitReader(file, 1<<10))
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
		s.node = string(bytes.TrimSpace(id))
	}
	h, err := lookAtJournal(filepath.Join(dir, journalName))
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	s.files = h.files
	if h.prepared != nil {
		for hour := range h.prepared.Files {
			s.prepared[hour] = true
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "????-??-??", "??.log.json*"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	for _, name := range names {
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return nil, err
		}
		if h, ok := ParsePath(strings.TrimSuffix(filepath.ToSlash(rel), compressedEnd)); ok && !slices.Contains(s.hours, h) {
			s.hours = append(s.hours, h)
		}
	}
	slices.Sort(s.hours)
	return s, nil
}

// lookAtJournal reads a journal beside the process that writes it.
func lookAtJournal(name string) (*history, error) {
	file, err := durable.OpenRegular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return &history{}, nil
	}
	if err != nil {
		return nil, err
	}
	h, _, _, err := readJournal(file)
	return h, errors.Join(err, file.Close())
}

// compressedEnd ends the name of the older lines of an hour.
const compressedEnd = ".zst"

// Node returns the instance id; empty if no process has made one.
func (s *Snapshot) Node() string { return s.node }

// Hours returns the hours that have files, in ascending order.
func (s *Snapshot) Hours() []codec.Hour { return s.hours }

// Generation returns the generation of an hour's stream; 0 if the journal does
// not name it.
func (s *Snapshot) Generation(h codec.Hour) uint64 { return s.files[h].Generation }

// Open reads the stream of an hour from its beginning: whole lines, as far as
// they count. More may have been written by the time it ends. The caller has to
// close it.
func (s *Snapshot) Open(h codec.Hour) (io.ReadCloser, error) {
	name := filepath.Join(s.dir, Path(h))
	var parts []io.Reader
	var closers []func() error
	closeAll := func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	k := s.files[h]
	skip := max(0, -k.Base)
	packed, err := durable.OpenRegular(name + compressedEnd)
	switch {
	case err == nil:
		closers = append(closers, packed.Close)
		d, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, errors.Join(err, closeAll())
		}
		closers = append(closers, func() error { d.Close(); return nil })
		parts, skip = append(parts, d), 0
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	plain, err := durable.OpenRegular(name)
	switch {
	case err == nil:
		closers = append(closers, plain.Close)
		end, err := s.end(plain, h)
		if err != nil {
			return nil, errors.Join(err, closeAll())
		}
		parts = append(parts, io.NewSectionReader(plain, skip, max(0, end-skip)))
	case !errors.Is(err, fs.ErrNotExist) || len(parts) == 0:
		return nil, errors.Join(err, closeAll())
	}
	return &snapshotReader{io.MultiReader(parts...), closeAll}, nil
}

// end returns up to where a file that is not compressed counts.
func (s *Snapshot) end(file *os.File, h codec.Hour) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	if k := s.files[h]; k.exact {
		// Behind it is what is not decided, or has been decided since.
		end = min(end, k.length)
	}
	// A line may be half written at this moment.
	const piece = 64 << 10
	buf := make([]byte, piece)
	for end > 0 {
		from := max(0, end-piece)
		n, err := file.ReadAt(buf[:end-from], from)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return from + int64(i) + 1, nil
		}
		end = from
	}
	return 0, nil
}

type snapshotReader struct {
	io.Reader
	close func() error
}

func (r *snapshotReader) Close() error { return r.close() }

// String names the directory.
func (s *Snapshot) String() string { return fmt.Sprintf("logs directory %s", s.dir) }
