package aggregator

import (
	"bytes"
	"io"
)

const (
	// readSize is how much of a file is read at a time. It fits the second-level
	// cache of a core, so that the lines are still there when they are counted.
	readSize = 128 << 10
	// maxLine is the longest line that is looked at. A longer one, which no sink
	// writes, is malformed.
	maxLine = 128 << 20
)

// lineReader reads a file in pieces of whole lines. Its buffer has readSize
// bytes, and grows only for a line that needs more.
type lineReader struct {
	buf []byte
	max int // the longest line it returns
}

// next returns whole lines that begin at offset, none of which ends after end.
// They are valid until the next call. If the first line is longer than l.max,
// it returns that line's length instead. It returns neither if no line ends
// before end.
func (l *lineReader) next(file io.ReaderAt, offset, end int64) (lines []byte, skipped int64, err error) {
	for size := readSize; ; size = min(2*size, l.max) {
		buf, err := l.read(file, offset, end, size)
		if err != nil {
			return nil, 0, err
		}
		if last := bytes.LastIndexByte(buf, '\n'); last >= 0 {
			return buf[:last+1], 0, nil
		}
		if len(buf) < size {
			return nil, 0, nil // all there is until end
		}
		if size == l.max {
			skipped, err := l.lineLength(file, offset, end)
			return nil, skipped, err
		}
	}
}

// read returns up to size bytes at offset: fewer only before end, or before the
// end of the file.
func (l *lineReader) read(file io.ReaderAt, offset, end int64, size int) ([]byte, error) {
	if len(l.buf) < size {
		l.buf = make([]byte, size)
	}
	n, err := file.ReadAt(l.buf[:max(0, min(int64(size), end-offset))], offset)
	if err == io.EOF {
		err = nil
	}
	return l.buf[:n], err
}

// lineLength returns the length of the line at offset, with its newline, or 0
// if it does not end before end.
func (l *lineReader) lineLength(file io.ReaderAt, offset, end int64) (int64, error) {
	for at := offset; at < end; {
		buf, err := l.read(file, at, end, readSize)
		if err != nil || len(buf) == 0 {
			return 0, err
		}
		if i := bytes.IndexByte(buf, '\n'); i >= 0 {
			return at + int64(i) + 1 - offset, nil
		}
		at += int64(len(buf))
	}
	return 0, nil
}

// release gives back the memory that a long line has needed.
func (l *lineReader) release() {
	if len(l.buf) > readSize {
		l.buf = nil
	}
}
