package archive

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"time"
	"unsafe"

	"github.com/VictoriaMetrics/metrics"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"logforge/codec"
)

// row is a record in a Parquet file. timestamp is null where the instant is not
// between the years 1677 and 2262, which is what 64 bits of nanoseconds hold;
// extra then has it, as the member timestamp. A pointer is an optional value.
type row struct {
	Timestamp *int64 `parquet:"timestamp,optional,timestamp(nanosecond:utc)"`
	Path      string `parquet:"path,dict"`
	UserAgent string `parquet:"userAgent,dict"`
	Extra     string `parquet:"extra,optional"` // the members beside the three as one JSON object; null for none
}

const (
	rowsAtOnce = 512
	// groupRows is how many rows share a row group, which is in memory until it
	// is written.
	groupRows = 128 << 10
	// dictionaryBytes is up to which size the distinct values of a column are
	// kept once for a row group.
	dictionaryBytes = 4 << 20
)

// parquetEncoder writes one Parquet file.
type parquetEncoder struct {
	file    *parquet.GenericWriter[row]
	hour    codec.Hour
	rest    []byte // of a line that is not whole yet
	rows    []row
	times   [rowsAtOnce]int64
	text    []byte // what the strings of rows point into, but for those of lines
	altered *metrics.Counter
}

func newParquetEncoder(w io.Writer, h codec.Hour, altered *metrics.Counter) *parquetEncoder {
	return &parquetEncoder{
		hour: h,
		file: parquet.NewGenericWriter[row](w,
			parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked),
			parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
			parquet.MaxRowsPerRowGroup(groupRows),
			parquet.DictionaryMaxBytes(dictionaryBytes),
			parquet.DataPageStatistics(true),
			parquet.CreatedBy("logforge", "", ""),
		),
		rows:    make([]row, 0, rowsAtOnce),
		altered: altered,
	}
}

// Write takes lines, not necessarily whole ones.
func (e *parquetEncoder) Write(p []byte) (int, error) {
	n := len(p)
	if len(e.rest) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			e.rest = append(e.rest, p...)
			return n, nil
		}
		e.rest = append(e.rest, p[:end]...)
		p = p[end:]
		if err := e.lines(e.rest); err != nil {
			return 0, err
		}
		e.rest = e.rest[:0]
	}
	whole := bytes.LastIndexByte(p, '\n') + 1
	if err := e.lines(p[:whole]); err != nil {
		return 0, err
	}
	e.rest = append(e.rest, p[whole:]...)
	return n, nil
}

func (e *parquetEncoder) lines(b []byte) error {
	var l codec.Line
	for len(b) > 0 {
		n := l.Split(b)
		if n == 0 {
			n = bytes.IndexByte(b, '\n') + 1
			return fmt.Errorf("a line that is not canonical: %.200q: %w", b[:n], errDamaged)
		}
		b = b[n:]
		e.add(&l)
		if len(e.rows) == rowsAtOnce {
			if err := e.flush(); err != nil {
				return err
			}
		}
	}
	return e.flush() // the strings point into b
}

func (e *parquetEncoder) add(l *codec.Line) {
	r := row{Path: e.unescaped(l.Path), UserAgent: e.unescaped(l.UserAgent)}
	at, ok := nanoseconds(e.hour, l.Timestamp)
	switch {
	case ok:
		i := len(e.rows)
		e.times[i] = at
		r.Timestamp = &e.times[i]
		if len(l.Extra) > 0 {
			r.Extra = e.object(nil, l.Extra)
		}
	default:
		e.altered.Inc()
		r.Extra = e.object(l.Timestamp, l.Extra)
	}
	e.rows = append(e.rows, r)
}

// unescaped returns what a value stands for. It is valid until flush.
func (e *parquetEncoder) unescaped(value []byte) string {
	if bytes.IndexByte(value, '\\') < 0 {
		return text(value)
	}
	start := len(e.text)
	e.text = codec.Unescape(e.text, value)
	return text(e.text[start:])
}

// object returns the JSON object of extra members, valid until flush.
func (e *parquetEncoder) object(timestamp, extra []byte) string {
	start := len(e.text)
	e.text = appendObject(e.text, timestamp, extra)
	return text(e.text[start:])
}

// appendObject appends the JSON object of extra members, with the timestamp, if
// there is one, as the first of them.
func appendObject(dst, timestamp, extra []byte) []byte {
	dst = append(dst, '{')
	if timestamp != nil {
		dst = append(append(append(dst, `"timestamp":"`...), timestamp...), '"')
		if len(extra) > 0 {
			dst = append(dst, ',')
		}
	}
	return append(append(dst, extra...), '}')
}

// text returns b as a string without copying it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// flush hands the rows to the file, which copies them.
func (e *parquetEncoder) flush() error {
	if len(e.rows) == 0 {
		return nil
	}
	_, err := e.file.Write(e.rows)
	clear(e.rows)
	e.rows, e.text = e.rows[:0], e.text[:0]
	return err
}

// Close writes what the file ends with.
func (e *parquetEncoder) Close() error {
	if len(e.rest) > 0 {
		return fmt.Errorf("a line without its end: %.200q: %w", e.rest, errDamaged)
	}
	return e.file.Close()
}

func (e *parquetEncoder) release() {}

// nanoseconds returns the instant of a canonical timestamp of the hour, in
// nanoseconds since 1970, or false where 64 bits do not hold it.
func nanoseconds(h codec.Hour, timestamp []byte) (int64, bool) {
	if limit := codec.Hour(math.MaxInt64 / int64(time.Hour)); h <= -limit || h >= limit {
		return 0, false // the hours at the ends are left out whole
	}
	return int64(h)*int64(time.Hour) + int64(withinHour(timestamp)), true
}

// withinHour returns how far into its hour a canonical timestamp is.
func withinHour(t []byte) time.Duration {
	const minute = len("2026-02-09T15:")
	digit := func(i int) time.Duration { return time.Duration(t[i] - '0') }
	d := (digit(minute)*10+digit(minute+1))*time.Minute + (digit(minute+3)*10+digit(minute+4))*time.Second
	unit := time.Second / 10
	for i := minute + len("23:00."); i < len(t)-1; i++ {
		d += digit(i) * unit
		unit /= 10
	}
	return d
}

// ParquetFile writes lines of several hours to one Parquet file, in the same
// columns as those of the archive.
type ParquetFile struct{ e *parquetEncoder }

// NewParquetFile begins a file.
func NewParquetFile(w io.Writer) *ParquetFile {
	return &ParquetFile{newParquetEncoder(w, 0, metrics.NewSet().NewCounter("unused"))}
}

// Add adds the canonical line of a record of the hour.
func (p *ParquetFile) Add(h codec.Hour, line []byte) error {
	p.e.hour = h
	_, err := p.e.Write(line)
	return err
}

// Close writes what the file ends with.
func (p *ParquetFile) Close() error { return p.e.Close() }
