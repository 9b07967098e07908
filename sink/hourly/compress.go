package hourly

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"logforge/codec"
	"logforge/sink/durable"
)

// How an hour that is quiet is compressed. While clients write, the lines of its
// file are written as frames to a temporary file, behind a copy of the compressed
// part that there is, which is synced and read back. Then, while no group is
// written, and if the hour is still as it was, the files are swapped:
//
//  1. the journal says what the compressed part will be, on disk
//  2. the temporary file takes its name, and the directory is synced
//  3. the other file is removed, and the directory is synced
//  4. the journal says that it is gone
//
// A crash before the rename is on disk leaves the hour as it was; the file is not
// what the journal announces. After it the lines of the other file are in the
// compressed part: the offset where that ends tells how many of them. So each line
// is read once at every step, and nothing is removed before it is on disk twice.

const (
	// compressRest is how long a pause is for each second of compressing: it takes
	// a quarter of one processor.
	compressRest = 3
	// compressRetry is when an hour is tried again that could not be compressed.
	compressRetry = 10 * time.Minute
	// compressLook is the longest time between two looks for hours that are quiet.
	compressLook = time.Minute
	// compressReserve is how much room of the file system stays free for records.
	compressReserve = 64 << 20
)

// errNoRoom is why an hour is not compressed now.
var errNoRoom = errors.New("there is too little room on the file system to compress it")

// Compress compresses hours that were not written to for storage.compressAfter,
// until ctx ends. One goroutine at a time.
func (f *Files) Compress(ctx context.Context) error {
	var again time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(max(f.cfg.CompressAfter/10, f.cfg.SyncInterval), compressLook)):
		}
		now := time.Now()
		if now.Before(again) {
			continue
		}
		if err := f.compressQuiet(ctx, now); err != nil {
			again = now.Add(compressRetry)
		}
	}
}

// compressQuiet compresses the hours that are quiet at now, the oldest first. The
// error is that there is no room for any.
func (f *Files) compressQuiet(ctx context.Context, now time.Time) error {
	var hours []codec.Hour
	f.mu.Lock()
	for h, s := range f.segments {
		if s.present && !now.Before(s.quietAt) {
			hours = append(hours, h)
		}
	}
	f.mu.Unlock()
	slices.Sort(hours)
	c := &compressor{Files: f, now: now}
	for _, h := range hours {
		if ctx.Err() != nil {
			return nil
		}
		err := c.compress(ctx, h)
		if err == nil || errors.Is(err, errStays) || ctx.Err() != nil {
			continue
		}
		f.compressErrors.Inc()
		if errors.Is(err, errNoRoom) || isDiskFull(err) {
			f.log.Warn("hours that are quiet cannot be compressed, which is tried again", "dir", f.cfg.LogsDir, "file", Path(h), "err", err)
			return err
		}
		f.mu.Lock()
		if s := f.segments[h]; s != nil {
			s.quietAt = now.Add(compressRetry)
		}
		f.mu.Unlock()
		f.log.Error("an hour cannot be compressed, and is tried again", "dir", f.cfg.LogsDir, "file", Path(h), "err", err)
	}
	return nil
}

// encoders is where the encoder is between two hours: the next garbage collection
// may take it.
var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(frameBytes), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}}

// compressor compresses one hour after another. Its memory is kept between them.
type compressor struct {
	*Files
	now time.Time

	lines, frame, back []byte
	began              time.Time
}

// quiet is an hour that is to be compressed, as it was found.
type quiet struct {
	Extent
	root      root
	file      durable.File // of the lines; nil once it is the segment's to close
	base      int64
	length    int64 // of the file
	overlap   int64 // of it, what the compressed part has
	before    *compressed
	lastWrite time.Time
}

func (q *quiet) temporary() string {
	day, base := filepath.Split(Path(q.Hour))
	return day + "." + base + compressingEnd
}

// compress compresses the hour, if it is quiet. The error is errStays if it is
// not, or is not any more.
func (c *compressor) compress(ctx context.Context, h codec.Hour) (err error) {
	q, err := c.find(h)
	if err != nil || q == nil {
		return err
	}
	defer func() {
		if q.file != nil {
			// The last close gives the blocks back, which takes its time.
			err = errors.Join(err, q.file.Close())
		}
	}()
	if err := c.enoughRoom(q, q.length); err != nil {
		return err
	}
	next, err := c.write(ctx, q)
	if errors.Is(err, fs.ErrNotExist) {
		err = errStays // the day was removed
	}
	if err == nil {
		crashPoint("compress: written")
		err = c.swap(q, next)
	}
	if err != nil {
		_ = q.root.Remove(q.temporary()) // the next attempt, or start, does it as well
	}
	return err
}

// find returns the hour as it is, if it is quiet; nil if there is nothing to
// compress of it.
func (c *compressor) find(h codec.Hour) (*quiet, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.writable(); err != nil {
		return nil, errStays // said by Ready
	}
	s := c.segments[h]
	if s == nil || !s.present {
		return nil, errStays
	}
	if s.next != nil {
		if err := c.settleSwap(s); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	e := s.extent()
	c.mu.Unlock()
	if !c.isWholly(s, e) {
		return nil, errStays
	}
	file, err := c.root.Open(Path(h), false)
	if errors.Is(err, fs.ErrNotExist) && c.isContained(s) {
		return nil, c.dropContained(s) // removed already, and not on disk
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errStays // removed by hand, which is found out with the next line
	}
	if err != nil {
		return nil, err
	}
	q := &quiet{Extent: e, root: c.root, file: file, base: s.base, length: s.written, overlap: s.overlap(), before: s.compressed}
	err = c.isQuiet(q, s)
	switch {
	case err == nil && c.isContained(s): // an empty one, or what a failure has left
		err = c.dropContained(s)
		return nil, errors.Join(err, file.Close())
	case err == nil && s.written == 0:
		c.mu.Lock()
		s.quietAt = c.now.Add(compressRetry)
		c.mu.Unlock()
		err = errStays
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return q, nil
}

// isQuiet returns errStays unless the file of s is the one that is known, and was
// not written to for long enough. f.writing is held.
func (c *compressor) isQuiet(q *quiet, s *segment) error {
	st, err := q.file.Stat()
	if err != nil {
		return err
	}
	q.lastWrite = s.lastWritten(st.Modified, c.now)
	if at := q.lastWrite.Add(c.cfg.CompressAfter); at.After(c.now) {
		c.mu.Lock()
		s.quietAt = at
		c.mu.Unlock()
		return errStays
	}
	if err := c.ensureOpen(s); err != nil {
		return err
	}
	if err := c.look(s); err != nil {
		return err
	}
	if !c.isWholly(s, q.Extent) || st.Moved || st.Size != s.written {
		return errStays
	}
	return nil
}

// enoughRoom returns errNoRoom if the file system has too little room for more
// lines than that, besides the part that is there.
func (c *compressor) enoughRoom(q *quiet, lines int64) error {
	need := uint64(lines)/4 + compressReserve
	if q.before != nil {
		need += uint64(q.before.Size)
	}
	if c.freeBytes() < need {
		return errNoRoom
	}
	return nil
}

// write writes the compressed part that q is going to have to the temporary file.
// When it returns nil, that is on disk, and was read back.
func (c *compressor) write(ctx context.Context, q *quiet) (_ *compressed, err error) {
	temp := q.temporary()
	if err := q.root.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var start int64
	if q.before != nil {
		start = q.before.Size
	}
	out, err := q.root.Open(temp, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	c.began = time.Now()
	if err := c.copyBefore(ctx, q, out); err != nil {
		return nil, err
	}
	sum, err := c.writeFrames(ctx, q, out)
	if err == nil {
		err = out.Sync()
	}
	if err != nil {
		if isFatal(err) {
			err = fmt.Errorf("writing %s: %v", temp, err) //nolint:errorlint // nobody's data: not final
		}
		return nil, err
	}
	st, err := out.Stat()
	if err != nil {
		return nil, err
	}
	back, lines, err := c.readBack(ctx, out, start, st.Size)
	if err == nil && (back != sum || lines != q.length-q.overlap) {
		err = fmt.Errorf("%s does not hold what was written to it", temp)
	}
	if err != nil {
		return nil, err
	}
	next := &compressed{To: q.base + q.length, Lines: lines, Size: st.Size, Written: q.lastWrite.Unix()}
	if q.before != nil {
		next.Lines += q.before.Lines
	}
	next.Tail, err = tailSum(out, st.Size)
	return next, err
}

// copyBefore copies the compressed part that there is, as it is, once it is found
// to be whole.
func (c *compressor) copyBefore(ctx context.Context, q *quiet, out durable.File) error {
	if q.before == nil {
		return expectCompressed(q)
	}
	file, err := openCompressed(q.root, q.Hour, q.before)
	if err != nil {
		return err
	}
	err = func() error {
		w := durable.Writer(out)
		r := &frameReader{hour: q.Hour, file: fileAt{file}, end: q.before.Size, left: q.before.Lines, frame: c.frame, lines: c.back}
		for r.left > 0 {
			if err := r.next(); err != nil {
				return r.explain(err)
			}
			if _, err := w.Write(r.frame); err != nil {
				return err
			}
			r.left -= int64(len(r.lines))
			if err := c.pause(ctx); err != nil {
				return err
			}
		}
		if r.at != r.end || r.left < 0 {
			return r.explain(errForeign)
		}
		return nil
	}()
	return errors.Join(err, file.Close())
}

// writeFrames writes the lines of q that no frame holds yet, and returns a
// checksum of them.
func (c *compressor) writeFrames(ctx context.Context, q *quiet, out durable.File) (sum uint32, err error) {
	encoder := encoders.Get().(*zstd.Encoder)
	defer encoders.Put(encoder)
	w := durable.Writer(out)
	for at := q.overlap; at < q.length; {
		if c.lines, err = readAt(fileAt{q.file}, c.lines, at, min(frameBytes, q.length-at)); err != nil {
			return 0, err
		}
		part := c.lines[:endsLine(c.lines)]
		sum = crc32.Update(sum, castagnoli, part)
		c.frame = encoder.EncodeAll(part, c.frame[:0])
		if _, err := w.Write(c.frame); err != nil {
			return 0, err
		}
		at += int64(len(part))
		if err := c.pause(ctx); err != nil {
			return 0, err
		}
		if err := c.enoughRoom(q, 0); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// readBack decompresses the frames of file between start and end, and returns a
// checksum of their lines and how many bytes those have.
func (c *compressor) readBack(ctx context.Context, file durable.File, start, end int64) (sum uint32, lines int64, err error) {
	for at := start; at < end; {
		size, n, err := frameAt(fileAt{file}, at, end)
		if err != nil {
			return 0, 0, err
		}
		if c.frame, err = readAt(fileAt{file}, c.frame, at, size); err != nil {
			return 0, 0, err
		}
		if c.back, err = decoder().DecodeAll(c.frame, c.back[:0]); err != nil {
			return 0, 0, err
		}
		sum = crc32.Update(sum, castagnoli, c.back)
		at, lines = at+size, lines+n
		if err := c.pause(ctx); err != nil {
			return 0, 0, err
		}
	}
	return sum, lines, nil
}

// pause lets those work who wait for the processors and the disk. The error is
// the cause for which ctx has ended.
func (c *compressor) pause(ctx context.Context) error {
	worked := time.Since(c.began)
	if worked >= 5*time.Millisecond {
		timer := time.NewTimer(min(compressRest*worked, time.Second))
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		c.began = time.Now()
	}
	return context.Cause(ctx)
}
