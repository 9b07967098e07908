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
	"time"

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
	const tries = 10 // the hour may be compressed at this moment
	for try := 1; ; try++ {
		r, err := s.openOnce(h)
		if !errors.Is(err, errChanged) || try == tries {
			return r, err
		}
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
}

// openOnce tries it once. The error is errChanged if it is to be tried again.
func (s *Snapshot) openOnce(h codec.Hour) (_ io.ReadCloser, err error) {
	r := &snapshotReader{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	plain, err := s.open(r, Path(h))
	if err != nil {
		return nil, err
	}
	packed, err := s.open(r, compressedPath(h))
	if err != nil {
		return nil, err
	}
	k := s.files[h]
	var c *compressed
	switch {
	case packed != nil:
		if c, err = s.compressed(h, &k, plain, packed); err != nil {
			return nil, err
		}
	case plain == nil:
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(s.dir, Path(h)), Err: fs.ErrNotExist}
	case k.Compressed != nil:
		return nil, fmt.Errorf("%w (%w)", damaged(h, "it is missing, and has the beginning of the hour"), errChanged)
	}
	var parts []io.Reader
	skip := max(0, -k.Base)
	if c != nil {
		if from := max(0, c.from()); from < c.To {
			parts = append(parts, c.linesOf(h, packed, from, c.To))
		}
		skip = max(skip, c.To-k.Base)
	}
	if plain != nil {
		end, err := s.end(plain, k)
		if err != nil {
			return nil, err
		}
		parts = append(parts, io.NewSectionReader(plain, skip, max(0, end-skip)))
	}
	r.Reader = io.MultiReader(parts...)
	return r, nil
}

// open opens one file of an hour, which r closes; nil if there is none.
func (s *Snapshot) open(r *snapshotReader, name string) (*os.File, error) {
	file, err := durable.OpenRegular(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		r.files = append(r.files, file)
	}
	return file, err
}

// compressed returns what the compressed part of an hour is, which is open as
// packed: nil for a file that is none. What the journal said of the hour may be
// older than its files: k is then what it says now. The error is errChanged if the
// files were replaced meanwhile.
func (s *Snapshot) compressed(h codec.Hour, k *known, plain, packed *os.File) (*compressed, error) {
	matches := func(c *compressed) bool {
		if c == nil {
			return false
		}
		same, err := c.isIn(packed)
		return same && err == nil
	}
	if plain != nil || k.Next != nil || !matches(k.Compressed) {
		now, err := lookAtJournal(filepath.Join(s.dir, journalName))
		if err != nil {
			return nil, fmt.Errorf("reading the journal: %w", err)
		}
		if now, ok := now.files[h]; ok {
			*k = now
		}
		for name, file := range map[string]*os.File{Path(h): plain, compressedPath(h): packed} {
			if !s.leadsTo(name, file) {
				return nil, errChanged
			}
		}
	}
	switch {
	case matches(k.Next):
		return k.Next, nil
	case matches(k.Compressed):
		return k.Compressed, nil
	case k.Compressed != nil:
		return nil, damaged(h, "it does not end as it did")
	case k.Generation != 0 || k.named:
		return nil, nil // somebody else's: Files passes it over as well
	}
	info, err := packed.Stat()
	if err != nil {
		return nil, err
	}
	lines, err := walkFrames(packed, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", compressedPath(h), err)
	}
	k.Base = lines
	return &compressed{To: lines, Lines: lines, Size: info.Size()}, nil
}

// leadsTo reports whether the name is that of the open file; with nil, of none.
func (s *Snapshot) leadsTo(name string, file *os.File) bool {
	named, err := os.Lstat(filepath.Join(s.dir, name))
	if file == nil || err != nil {
		return file == nil && errors.Is(err, fs.ErrNotExist)
	}
	open, err := file.Stat()
	return err == nil && os.SameFile(named, open)
}

// end returns up to where a file that is not compressed counts.
func (s *Snapshot) end(file *os.File, k known) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	end := info.Size()
	if k.exact {
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
	files []*os.File
}

func (r *snapshotReader) Close() error {
	var errs []error
	for _, file := range r.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
