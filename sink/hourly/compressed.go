package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"logforge/codec"
	"logforge/sink/durable"
)

// compressed is the compressed part of an hour, the file HH.log.json.zst: the
// beginning of its stream. The lines that follow it are in HH.log.json. It is
// never changed; a segment gets another one.
//
// The file is a chain of zstd frames, each of at most frameBytes of lines and with
// its content size and a checksum. More frames behind Size belong to a swap that
// has not come to its end, see compress.go: their lines are still in the other
// file, and nobody reads them here.
type compressed struct {
	To    int64  `json:"to"`    // where it ends in the hour's stream; see segment
	Lines int64  `json:"lines"` // bytes of lines
	Size  int64  `json:"size"`  // bytes of the file
	Tail  uint32 `json:"tail"`  // checksum of the last of them
	// Written is when its last line was written, in seconds since 1970.
	Written int64 `json:"written,omitempty"`
}

// from returns the offset of its first byte. It is negative where it holds lines
// of an earlier generation.
func (c *compressed) from() int64 { return c.To - c.Lines }

const (
	// compressedEnd ends the name of the compressed part of an hour.
	compressedEnd = ".zst"
	// compressingEnd ends the name under which it is written.
	compressingEnd = compressedEnd + ".tmp"
	// frameBytes is how many bytes of lines a frame has at most: as much as has to
	// be decompressed to read one line, and what a reader keeps in memory.
	frameBytes = 1 << 20
)

// compressedPath returns where the compressed part of an hour is.
func compressedPath(h codec.Hour) string { return Path(h) + compressedEnd }

var (
	// ErrDamaged marks a compressed part that is not as it was written. No line of
	// the frames concerned is read.
	ErrDamaged = errors.New("the compressed part of the hour is damaged")
	// errForeign marks a file of that name which this program has not written.
	errForeign = errors.New("it was not written by this program, and its lines are not counted; move it away")
)

// damaged returns an ErrDamaged that names the file and what is wrong with it.
func damaged(h codec.Hour, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %w; it stays as it is: restore it from a backup, or move it away", compressedPath(h), ErrDamaged, fmt.Errorf(format, args...))
}

// decoder decompresses frames, for any number of goroutines. No frame takes more
// memory than one of ours does.
var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(frameBytes), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
})

// frameReader reads the lines of a chain of frames. A frame is checked as a whole
// before any of its lines is returned.
type frameReader struct {
	hour codec.Hour
	file io.ReaderAt
	at   int64 // of the next frame
	end  int64 // of the frames
	skip int64 // bytes of lines to leave out
	left int64 // bytes of lines to return

	frame, lines, rest []byte
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, r.explain(err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.left -= int64(n)
	return n, nil
}

// next decompresses the next frame with lines that are not left out.
func (r *frameReader) next() error {
	for {
		size, lines, err := frameAt(r.file, r.at, r.end)
		if err != nil {
			return err
		}
		if r.skip >= lines {
			r.at, r.skip = r.at+size, r.skip-lines
			continue
		}
		if r.frame == nil {
			r.frame, r.lines = make([]byte, 0, size), make([]byte, 0, lines)
		}
		if r.frame, err = readAt(r.file, r.frame, r.at, size); err != nil {
			return err
		}
		if r.lines, err = decoder().DecodeAll(r.frame, r.lines[:0]); err != nil {
			return err
		}
		if int64(len(r.lines)) != lines {
			return io.ErrUnexpectedEOF
		}
		r.rest = r.lines[r.skip:]
		r.rest = r.rest[:min(int64(len(r.rest)), r.left)]
		r.at, r.skip = r.at+size, 0
		return nil
	}
}

// explain makes err say what is the matter with which file.
func (r *frameReader) explain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return err
	}
	return damaged(r.hour, "at byte %d: %w", r.at, err)
}

// readAt reads size bytes from off on into buf, which it makes larger if it has
// to.
func readAt(file io.ReaderAt, buf []byte, off, size int64) ([]byte, error) {
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err := io.ReadFull(io.NewSectionReader(file, off, size), buf)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return buf, err
}

// frameAt returns how many bytes the frame at off has, and of how many bytes of
// lines it is. It reads the frame's headers only, and ends with an error for
// anything but a whole frame of ours that ends at end, or before.
func frameAt(file io.ReaderAt, off, end int64) (size, lines int64, err error) {
	var buf [zstd.HeaderMaxSize]byte
	head, err := readAt(file, buf[:0], off, min(int64(len(buf)), max(0, end-off)))
	if err != nil {
		return 0, 0, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return 0, 0, err
	}
	if h.Skippable || !h.HasFCS || !h.HasCheckSum || h.DictionaryID != 0 || h.FrameContentSize == 0 || h.FrameContentSize > frameBytes {
		return 0, 0, errForeign
	}
	at := off + int64(h.HeaderSize)
	for last := false; !last; {
		b, err := readAt(file, buf[:0], at, 3)
		if err != nil {
			return 0, 0, err
		}
		block := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
		last = block&1 == 1
		if block>>1&3 == 1 { // one byte, repeated
			at += 3 + 1
		} else {
			at += 3 + block>>3
		}
		if at > end {
			return 0, 0, io.ErrUnexpectedEOF
		}
	}
	if at += 4; at > end { // its checksum
		return 0, 0, io.ErrUnexpectedEOF
	}
	return at - off, int64(h.FrameContentSize), nil
}

// walkFrames returns how many bytes of lines the frames of a file have that end at
// byte end. The error says that something else is there.
func walkFrames(file io.ReaderAt, end int64) (lines int64, err error) {
	for at := int64(0); at < end; {
		size, n, err := frameAt(file, at, end)
		if err != nil {
			return 0, fmt.Errorf("at byte %d: %w", at, err)
		}
		at += size
		lines += n
	}
	return lines, nil
}

// fileAt is a durable.File as io.ReaderAt wants it.
type fileAt struct{ file durable.File }

func (f fileAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	n = max(n, 0)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// openCompressed opens the compressed part of an hour and looks whether it is c.
// The error is fs.ErrNotExist where there is none, ErrDamaged where there is
// something else.
func openCompressed(root durable.Dir, h codec.Hour, c *compressed) (durable.File, error) {
	file, err := root.Open(compressedPath(h), false)
	if err != nil {
		return nil, err
	}
	same, err := c.matches(file)
	if err == nil && !same {
		err = damaged(h, "it does not end as it did")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// isAt reports whether the hour's file of that name is c, or c with more behind it.
func (c *compressed) isAt(root durable.Dir, h codec.Hour) (bool, error) {
	file, err := root.Open(compressedPath(h), false)
	if err != nil {
		return false, err
	}
	same, err := c.matches(file)
	return same, errors.Join(err, file.Close())
}

// matches reports whether file is c, or c with more behind it.
func (c *compressed) matches(file durable.File) (bool, error) {
	st, err := file.Stat()
	if err != nil || st.Size < c.Size {
		return false, err
	}
	return c.isIn(fileAt{file})
}

// isIn does so for a file that is read beside the process that writes it.
func (c *compressed) isIn(file io.ReaderAt) (bool, error) {
	var buf [tailBytes]byte
	n := min(c.Size, tailBytes)
	tail, err := readAt(file, buf[:0], c.Size-n, n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	return err == nil && crc32.Checksum(tail, castagnoli) == c.Tail, err
}

// linesOf returns a reader of the lines of c from offset from of the stream up to
// offset to. file is c's, or nil where there is nothing to read of it.
func (c *compressed) linesOf(h codec.Hour, file io.ReaderAt, from, to int64) *frameReader {
	return &frameReader{hour: h, file: file, end: c.Size, skip: from - c.from(), left: to - from}
}

// lastWritten returns when the last line of c was written.
func (c *compressed) lastWritten() time.Time { return time.Unix(c.Written, 0) }

// overlap returns how many bytes at the beginning of the segment's file are in its
// compressed part as well: all of them, or none, unless removing the file failed
// after its lines had been compressed.
func (s *segment) overlap() int64 {
	if s.compressed == nil {
		return 0
	}
	return s.compressed.To - s.base
}

// setCompressed makes c the segment's compressed part. f.mu is held.
func (s *segment) setCompressed(c *compressed) {
	s.compressed, s.next = c, nil
}

// stored reports whether the hour has any file. f.mu or f.writing is held.
func (s *segment) stored() bool { return s.present || s.compressed != nil }

// bytes returns the bytes of the hour's files.
func (s *segment) bytes() int64 {
	if s.compressed == nil {
		return s.written
	}
	return s.written + s.compressed.Size
}

// stream returns what the journal says of the segment.
func (s *segment) stream() stream {
	return stream{Generation: s.generation, Base: s.base, Compressed: s.compressed, Next: s.next}
}

// lookCompressed looks whether the compressed part of the hour is still there.
// Where somebody has removed it, what is still to come is a new generation: offsets
// in what is gone mean nothing any more.
func (f *Files) lookCompressed(s *segment) error {
	if s.compressed == nil {
		return nil
	}
	file, err := openCompressed(f.root, s.hour, s.compressed)
	switch {
	case err == nil:
		return file.Close()
	case errors.Is(err, fs.ErrNotExist):
		f.log.Warn("the compressed part of an hour was removed or moved", "file", compressedPath(s.hour), "bytes", s.compressed.Size)
		if err := f.syncRemoval(Path(s.hour)); err != nil {
			return err
		}
		f.mu.Lock()
		s.setCompressed(nil)
		f.mu.Unlock()
		if s.present {
			f.begin(s, s.visible)
		}
		return nil
	case errors.Is(err, ErrDamaged):
		return nil // said by those who want to read it
	}
	return err
}

// continueCompressed makes ready that a file begins behind the compressed part of
// its hour: with forgotten, one that takes the place of another.
func (f *Files) continueCompressed(s *segment, forgotten bool) error {
	if err := f.lookCompressed(s); err != nil || s.compressed == nil || !forgotten {
		return err
	}
	f.begin(s, 0)
	f.mu.Lock()
	s.present = false
	f.mu.Unlock()
	return nil
}

// recoverCompressed finds out what the compressed part of an hour is, of which the
// journal says k. found says whether there is a file of that name. It reports
// whether a swap had come as far as its rename.
func (f *Files) recoverCompressed(s *segment, k known, found bool) (swapped bool, err error) {
	name := compressedPath(s.hour)
	if k.Next != nil && found {
		same, err := k.Next.isAt(f.root, s.hour)
		if err != nil {
			return false, err
		}
		if same {
			s.setCompressed(k.Next)
			return true, nil
		}
	}
	switch {
	case k.Compressed != nil:
		s.setCompressed(k.Compressed)
		file, err := openCompressed(f.root, s.hour, k.Compressed)
		switch {
		case err == nil:
			return false, file.Close()
		case errors.Is(err, fs.ErrNotExist):
			f.log.Warn("the compressed part of an hour was removed while no process held the directory", "file", name, "bytes", k.Compressed.Size)
			s.setCompressed(nil)
		case errors.Is(err, ErrDamaged):
			f.log.Error("the compressed part of an hour cannot be used: its lines cannot be read", "dir", f.cfg.LogsDir, "err", err)
		default:
			return false, err
		}
	case found && k.Generation == 0 && !k.named:
		// The journal knows nothing of the hour: it was lost, or the hour was put
		// here from a backup. Every whole line counts.
		c, err := f.measure(s.hour)
		if err != nil {
			f.log.Warn("a file in the place of the compressed part of an hour: passing it over", "file", name, "err", err)
			return false, nil
		}
		f.newest = f.nextGeneration()
		s.generation, s.base = f.newest, c.To
		s.setCompressed(c)
	case found:
		f.log.Warn("a file in the place of the compressed part of an hour: passing it over", "file", name, "err", errForeign)
	}
	return false, nil
}

// measure returns what the file in the place of an hour's compressed part is, if
// it is one.
func (f *Files) measure(h codec.Hour) (*compressed, error) {
	file, err := f.root.Open(compressedPath(h), false)
	if err != nil {
		return nil, err
	}
	c, err := func() (*compressed, error) {
		st, err := file.Stat()
		if err != nil {
			return nil, err
		}
		lines, err := walkFrames(fileAt{file}, st.Size)
		if err == nil && lines == 0 {
			err = errForeign
		}
		if err != nil {
			return nil, err
		}
		tail, err := tailSum(file, st.Size)
		return &compressed{To: lines, Lines: lines, Size: st.Size, Tail: tail, Written: st.Modified.Unix()}, err
	}()
	return c, errors.Join(err, file.Close())
}

// endsLine returns the length of the whole lines that text begins with; all of it
// if it has not one.
func endsLine(text []byte) int {
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	return len(text)
}
