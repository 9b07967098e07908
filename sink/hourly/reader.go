package hourly

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"logforge/sink"
	"logforge/sink/durable"
)

// Reader reads the bytes [from, e.Length) of e's generation: whole lines, if from
// is where a line begins. The error is ErrGone, also of a later Read, when that
// generation is no longer there. The caller has to close it.
func (f *Files) Reader(e Extent, from int64) (io.ReadCloser, error) {
	if from < 0 || from > e.Length {
		return nil, fmt.Errorf("%s: offset %d of %d", e.Hour, from, e.Length)
	}
	const tries = 5 // the hour may be compressed at this moment
	for try := 1; ; try++ {
		r, err := f.openOnce(e, from)
		if !errors.Is(err, errChanged) {
			return r, err
		}
		if try == tries {
			return nil, ErrGone
		}
	}
}

// errChanged means that the hour's files are not those that were opened.
var errChanged = errors.New("the hour's file is another one")

// openOnce tries it once. The error is errChanged if it is to be tried again.
func (f *Files) openOnce(e Extent, from int64) (_ io.ReadCloser, err error) {
	f.mu.Lock()
	root := f.root
	f.mu.Unlock()
	r := &extentReader{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	// The file first, then what is known: by then it may have been compressed and
	// removed, and then the compressed part has its lines.
	file, err := root.Open(Path(e.Hour), false)
	switch {
	case err == nil:
		r.closers = append(r.closers, file)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, &failure{kindOf(err), err}
	}
	base, c, err := f.confirm(e, file)
	if err != nil {
		return nil, err
	}
	if c != nil && from < c.To {
		packed, err := f.openPart(root, e, c, from)
		if err != nil {
			return nil, err
		}
		r.closers = append(r.closers, packed)
		r.compressed = c.linesOf(e.Hour, fileAt{packed}, from, min(e.Length, c.To))
		from = c.To
	}
	r.file, r.at, r.end = file, from-base, e.Length-base
	return r, nil
}

// openPart opens the compressed part of an hour.
func (f *Files) openPart(root durable.Dir, e Extent, c *compressed, from int64) (durable.File, error) {
	if from < c.from() {
		return nil, ErrGone
	}
	packed, err := openCompressed(root, e.Hour, c)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, &failure{kindOf(err), err}
	}
	return packed, nil
}

// confirm returns the base of e's generation, and its compressed part, if file is
// its file. file is nil where there was none.
func (f *Files) confirm(e Extent, file durable.File) (base int64, c *compressed, err error) {
	f.mu.Lock()
	s := f.segments[e.Hour]
	if s == nil || !s.stored() || s.generation != e.Generation || s.extent().Length < e.Length {
		f.mu.Unlock()
		return 0, nil, ErrGone
	}
	base, c = s.base, s.compressed
	length, want := s.written, s.tail // of the closed file
	var open *handle
	if s.file != nil {
		open, length = s.use(), max(e.Length-base, 0)
	}
	f.mu.Unlock()
	if open != nil {
		want, err = tailSum(open, length)
		f.done(open)
	}
	switch {
	case err != nil || c != nil && e.Length <= c.To: // nothing of file is read
		return base, c, err
	case file == nil && c == nil:
		return 0, nil, ErrGone
	case file == nil:
		return 0, nil, errChanged
	case c != nil:
		if st, err := file.Stat(); err != nil || st.Moved {
			return 0, nil, errors.Join(err, errChanged)
		}
	}
	if length == 0 {
		return base, c, nil
	}
	sum, err := tailSum(file, length)
	if err == nil && sum != want {
		err = errChanged // replaced, and not noticed yet, or compressed
	}
	return base, c, err
}

// extentReader reads a part of one hour: of the compressed part, and then of the
// other file.
type extentReader struct {
	compressed *frameReader // nil: nothing of it, or read
	file       durable.File
	at, end    int64
	closers    []io.Closer
}

func (r *extentReader) Read(p []byte) (int, error) {
	if r.compressed != nil {
		n, err := r.compressed.Read(p)
		if !errors.Is(err, io.EOF) {
			if err != nil {
				err = &failure{sink.ErrStorage, err}
			}
			return n, err
		}
		r.compressed = nil
	}
	if r.at >= r.end {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.end-r.at)], r.at)
	if err == nil && n == 0 && len(p) > 0 {
		err = ErrGone // shortened by somebody else
	} else if err != nil {
		err = &failure{kindOf(err), err}
	}
	r.at += int64(max(n, 0))
	return max(n, 0), err
}

func (r *extentReader) Close() error {
	var errs []error
	for _, c := range r.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
