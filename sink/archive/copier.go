package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"logforge/codec"
)

// copier turns lines into the binary form of COPY, as it is read. The form is
// PostgreSQL's: a header, for each row the number of its columns and each value
// with its length, a trailer.
type copier struct {
	mu      sync.Mutex // held by Read and by stop
	stopped bool

	r    io.Reader
	hour codec.Hour
	err  error // of r, or of a line: nothing of the connection

	in      []byte // lines that are not encoded yet; the last may be torn
	out     []byte // encoded and not read yet
	read    int    // of out
	begun   bool
	ended   bool
	eof     bool
	scratch []byte

	altered, leftOut int // rows that were stored otherwise than they came, and that were not stored
}

const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
	copyChunk   = 64 << 10
	// y2k is PostgreSQL's epoch, in hours since 1970.
	y2k = codec.Hour(30*365*24 + 7*24)
)

// stop returns when nothing reads from c any more. When a connection is lost,
// pgx returns while a goroutine of its own still does.
func (c *copier) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

// Read implements io.Reader.
func (c *copier) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return 0, io.ErrClosedPipe
	}
	for c.read == len(c.out) {
		if c.ended {
			return 0, io.EOF
		}
		c.out, c.read = c.out[:0], 0
		if !c.begun {
			c.begun = true
			c.out = append(c.out, copyHeader...)
		}
		lines, err := c.next()
		switch {
		case err == io.EOF:
			c.out = append(c.out, copyTrailer...)
			c.ended = true
		case err != nil:
			return 0, err
		default:
			c.rows(lines)
		}
		if c.err != nil {
			return 0, c.err
		}
	}
	n := copy(p, c.out[c.read:])
	c.read += n
	return n, nil
}

// next returns whole lines, valid until the next call, or io.EOF.
func (c *copier) next() ([]byte, error) {
	whole := bytes.LastIndexByte(c.in, '\n') + 1
	c.in = c.in[:copy(c.in, c.in[whole:])]
	for !c.eof {
		if cap(c.in)-len(c.in) < copyChunk {
			c.in = append(make([]byte, 0, 2*cap(c.in)+2*copyChunk), c.in...)
		}
		n, err := c.r.Read(c.in[len(c.in) : len(c.in)+copyChunk])
		c.in = c.in[:len(c.in)+n]
		if err != nil && err != io.EOF {
			c.err = err
			return nil, err
		}
		c.eof = err == io.EOF
		if end := bytes.LastIndexByte(c.in, '\n') + 1; end > 0 {
			return c.in[:end], nil
		}
	}
	if len(c.in) > 0 {
		c.err = fmt.Errorf("a line without its end: %.200q: %w", c.in, errDamaged)
		return nil, c.err
	}
	return nil, io.EOF
}

// rows encodes lines.
func (c *copier) rows(b []byte) {
	var l codec.Line
	for len(b) > 0 {
		n := l.Split(b)
		if n == 0 {
			c.err = fmt.Errorf("a line that is not canonical: %.200q: %w", b[:bytes.IndexByte(b, '\n')+1], errDamaged)
			return
		}
		b = b[n:]
		c.row(&l)
	}
}

// row encodes a record.
func (c *copier) row(l *codec.Line) {
	altered := false
	c.out = append(c.out, 0, 4) // columns
	c.out = binary.BigEndian.AppendUint32(c.out, 8)
	c.out = binary.BigEndian.AppendUint64(c.out, uint64(microseconds(c.hour, l.Timestamp)))
	c.text(l.Path, &altered)
	c.text(l.UserAgent, &altered)
	switch {
	case len(l.Extra) == 0:
		c.out = append(c.out, 0xff, 0xff, 0xff, 0xff) // NULL
	default:
		c.json(l.Extra, &altered)
	}
	if altered {
		c.altered++
	}
}

// microseconds returns a timestamp in PostgreSQL's form. What it has below a
// microsecond is dropped.
func microseconds(h codec.Hour, timestamp []byte) int64 {
	return int64(h-y2k)*3600e6 + int64(withinHour(timestamp)/time.Microsecond)
}

// text encodes a value as text. PostgreSQL has no NUL in text: it becomes
// U+FFFD, as everything does that cannot be represented.
func (c *copier) text(value []byte, altered *bool) {
	c.value(func() {
		if bytes.IndexByte(value, '\\') < 0 {
			c.out = append(c.out, value...)
			return
		}
		start := len(c.out)
		c.out = codec.Unescape(c.out, value)
		if bytes.IndexByte(c.out[start:], 0) >= 0 {
			*altered = true
			c.scratch = bytes.ReplaceAll(c.out[start:], []byte{0}, []byte("\ufffd"))
			c.out = append(c.out[:start], c.scratch...)
		}
	})
}

// json encodes extra members as jsonb, which has no NUL either.
func (c *copier) json(extra []byte, altered *bool) {
	c.value(func() {
		c.out = append(c.out, 1) // version of jsonb's binary form
		start := len(c.out)
		c.out = appendObject(c.out, nil, extra)
		if bytes.Contains(c.out[start:], []byte(`\u0000`)) {
			if text, changed := withoutNUL(c.out[start:]); changed {
				*altered = true
				c.out = append(c.out[:start], text...)
			}
		}
	})
}

// withoutNUL replaces the escape of NUL by that of U+FFFD. A backslash that is
// itself escaped begins nothing.
func withoutNUL(json []byte) ([]byte, bool) {
	changed := false
	text := make([]byte, 0, len(json))
	for len(json) > 0 {
		switch {
		case bytes.HasPrefix(json, []byte(`\u0000`)):
			text, json, changed = append(text, `\ufffd`...), json[6:], true
		case json[0] == '\\' && len(json) > 1:
			text, json = append(text, json[:2]...), json[2:]
		default:
			text, json = append(text, json[0]), json[1:]
		}
	}
	return text, changed
}

// value writes a length and what f appends.
func (c *copier) value(f func()) {
	start := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0)
	f()
	binary.BigEndian.PutUint32(c.out[start:], uint32(len(c.out)-start-4))
}

// stepRows is how many rows are stored together when one of a part is refused.
const stepRows = 1000

// copyCarefully stores the rows of c in small steps. A step that is refused is
// halved until the row is found; that one's extra members are stored as one JSON
// string, and where even that is refused, or something else of it is, the row is
// left out and counted.
func (p *postgres) copyCarefully(ctx context.Context, tx pgx.Tx, c *copier) error {
	for {
		lines, err := c.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for len(lines) > 0 {
			step, rest := splitLines(lines, stepRows)
			if err := p.copyStep(ctx, tx, c, step); err != nil {
				return err
			}
			lines = rest
		}
	}
}

func splitLines(lines []byte, n int) (first, rest []byte) {
	end := 0
	for ; n > 0 && end < len(lines); n-- {
		end += bytes.IndexByte(lines[end:], '\n') + 1
	}
	return lines[:end], lines[end:]
}

func (p *postgres) copyStep(ctx context.Context, tx pgx.Tx, c *copier, lines []byte) error {
	err := p.try(ctx, tx, c, lines, (*copier).rows)
	if err == nil || !isDataError(err) {
		return err
	}
	if n := bytes.Count(lines, newline); n > 1 {
		first, rest := splitLines(lines, n/2)
		if err := p.copyStep(ctx, tx, c, first); err != nil {
			return err
		}
		return p.copyStep(ctx, tx, c, rest)
	}
	p.log.Warn("a record that PostgreSQL does not take as it is", "record", fmt.Sprintf("%.500q", lines), "err", err)
	err = p.try(ctx, tx, c, lines, (*copier).quotedRow)
	if isDataError(err) {
		c.leftOut++
		return nil
	}
	return err
}

// try stores lines after a savepoint, to which a failure returns.
func (p *postgres) try(ctx context.Context, tx pgx.Tx, c *copier, lines []byte, encode func(*copier, []byte)) error {
	step := &copier{r: bytes.NewReader(nil), hour: c.hour}
	step.begun, step.out = true, append(step.out, copyHeader...)
	encode(step, lines)
	if step.err != nil {
		c.err = step.err
		return c.err
	}
	save, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = save.Conn().PgConn().CopyFrom(ctx, step, p.copyStatement())
	step.stop()
	if err != nil {
		if failed := save.Rollback(ctx); failed != nil {
			return failed
		}
		return err
	}
	if err := save.Commit(ctx); err != nil {
		return err
	}
	c.altered += step.altered
	return nil
}

// quotedRow encodes a record with its extra members as one JSON string.
func (c *copier) quotedRow(line []byte) {
	var l codec.Line
	if l.Split(line) == 0 {
		c.err = fmt.Errorf("a line that is not canonical: %.200q: %w", line, errDamaged)
		return
	}
	object := appendObject(nil, nil, l.Extra)
	extra := l.Extra
	l.Extra = nil
	c.row(&l)
	if extra != nil {
		c.out = c.out[:len(c.out)-4] // NULL
		c.value(func() {
			c.out = append(append(append(c.out, 1, '"'), codec.AppendText(nil, bytes.ReplaceAll(object, []byte(`\u0000`), []byte(`\ufffd`)))...), '"')
		})
	}
	c.altered = 1 // once, although row may have counted it too
}
