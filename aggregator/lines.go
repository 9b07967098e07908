package aggregator

import (
	"bytes"
	"errors"
	"io"
)

const (
	// readSize is how much of an hour is read at a time. It fits the second-level
	// cache of a core, so that the lines are still there when they are counted.
	readSize = 128 << 10
	// maxLine is the longest line that is looked at. A longer one, which no sink
	// writes, is malformed.
	maxLine = 128 << 20
)

// lineReader reads a stream in pieces of whole lines. Its buffer has readSize
// bytes, and grows only for a line that needs more.
type lineReader struct {
	in       io.Reader
	max      int // the longest line that next returns
	buf      []byte
	from, to int // buf[from:to] was read and not returned yet
	end      error
}

// reset makes in what is read next.
func (l *lineReader) reset(in io.Reader) {
	if cap(l.buf) > readSize { // a long line must not keep its memory
		l.buf = nil
	}
	l.in, l.from, l.to, l.end = in, 0, 0, nil
}

// next returns whole lines, each with its newline, valid until the next call.
// If the next line is longer than l.max, it returns that line's length instead.
// At the end of the stream it returns io.EOF: what is left there has no newline.
func (l *lineReader) next() (lines []byte, skipped int64, err error) {
	for {
		rest := l.buf[l.from:l.to]
		if last := bytes.LastIndexByte(rest, '\n'); last >= 0 {
			l.from += last + 1
			return rest[:last+1], 0, nil
		}
		if l.end != nil {
			return nil, 0, l.end
		}
		if len(rest) >= l.max {
			skipped, err := l.skipLine()
			return nil, skipped, err
		}
		l.fill()
	}
}

// fill reads more of the stream behind what is left in the buffer.
func (l *lineReader) fill() {
	rest := l.to - l.from
	if rest == len(l.buf) {
		grown := make([]byte, min(max(2*rest, readSize), max(l.max, readSize)))
		copy(grown, l.buf[l.from:l.to])
		l.buf = grown
	} else {
		copy(l.buf, l.buf[l.from:l.to])
	}
	l.from, l.to = 0, rest
	n, err := io.ReadFull(l.in, l.buf[rest:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	l.to, l.end = rest+n, err
}

// skipLine reads to the end of a line that is longer than l.max and returns its
// length, newline included. The error is io.EOF if the line does not end.
func (l *lineReader) skipLine() (int64, error) {
	var length int64
	for {
		rest := l.buf[l.from:l.to]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			l.from += i + 1
			return length + int64(i) + 1, nil
		}
		if l.end != nil {
			return 0, l.end
		}
		length += int64(len(rest))
		l.from = l.to
		l.fill()
	}
}
