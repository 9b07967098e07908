package archive

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"logforge/codec"
	"logforge/config"
)

// Reader reads what a destination has.
type Reader interface {
	Name() string
	// Parts returns the parts of a node that are stored, or those of all nodes if
	// node is empty, of the hours from first to last, in any order.
	Parts(ctx context.Context, node string, first, last codec.Hour) ([]Stored, error)
	// Digest returns what the destination says that the lines of a part are.
	// First and Last are empty where it does not say.
	Digest(ctx context.Context, s Stored) (Digest, error)
	// Lines returns the canonical lines of a part. The error is ErrNoLines where
	// a destination keeps records and not lines. The caller has to close it.
	Lines(ctx context.Context, s Stored) (io.ReadCloser, error)
	// Records returns how many records of an hour there are, of all nodes; -1
	// where only the parts tell.
	Records(ctx context.Context, h codec.Hour) (int64, error)
	// HourLines calls f with the canonical line of every record of an hour, of
	// all nodes. The line is valid during the call. Lines of a destination that
	// has only records are as near to those that were sent as it keeps them.
	HourLines(ctx context.Context, h codec.Hour, f func(line []byte) error) error
	Close()
}

// ErrNoLines is returned by a destination that keeps records and not lines.
var ErrNoLines = errors.New("keeps records and not lines")

// First and Last are the hours of the first and the last record there can be.
var (
	First = codec.HourOf(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	Last  = codec.HourOf(time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC))
)

// Readers returns a reader for every destination that is configured.
func Readers(cfg config.Archive, log *slog.Logger) ([]Reader, error) {
	set := metrics.NewSet()
	var all []Reader
	if cfg.S3.Bucket != "" {
		s, err := newS3(cfg.S3, log, set)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	if cfg.Postgres.Enabled() {
		all = append(all, newPostgres(cfg.Postgres, "", log, set))
	}
	return all, nil
}

// Object returns the name of the part at the destination.
func (s Stored) Object() string {
	if s.name == "" {
		return s.Part.name()
	}
	return s.name
}

// Digest implements Reader.
func (s *s3) Digest(ctx context.Context, part Stored) (Digest, error) {
	return s.digest(ctx, part.name)
}

// Records implements Reader.
func (s *s3) Records(context.Context, codec.Hour) (int64, error) { return -1, nil }

// Lines implements Reader.
func (s *s3) Lines(ctx context.Context, part Stored) (io.ReadCloser, error) {
	o, err := s.core.Client.GetObject(ctx, s.cfg.Bucket, part.name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.explain("get object", err)
	}
	if strings.HasSuffix(part.name, ".parquet") {
		r, err := parquetLines(o, part)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", part.name, err), o.Close())
		}
		return r, nil
	}
	d, err := zstd.NewReader(o, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return &lineStream{d, func() error { d.Close(); return o.Close() }}, nil
}

type lineStream struct {
	io.Reader
	close func() error
}

func (l *lineStream) Close() error { return l.close() }

// HourLines implements Reader.
func (s *s3) HourLines(ctx context.Context, h codec.Hour, f func([]byte) error) error {
	parts, err := s.Parts(ctx, "", h, h)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := EachLine(func() (io.ReadCloser, error) { return s.Lines(ctx, part) }, f); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// EachLine calls f with every line of a stream, with its newline. It is valid
// during the call.
func EachLine(open func() (io.ReadCloser, error), f func(line []byte) error) (err error) {
	r, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	in := bufio.NewReaderSize(r, 1<<20)
	var long []byte
	for {
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = append(long, line...)
			continue
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		if ferr := f(line); ferr != nil {
			return ferr
		}
		if err == io.EOF {
			return nil
		}
		long = long[:0]
	}
}

// parquetLines makes lines of the rows of a Parquet file. The file is copied to
// the disk, because it is read from its end. Its lines are the very ones that
// went in: a canonical line follows from its values.
func parquetLines(o io.ReadCloser, part Stored) (io.ReadCloser, error) {
	file, err := os.CreateTemp("", "logforge-*.parquet")
	if err != nil {
		return nil, err
	}
	discard := func() error { return errors.Join(file.Close(), os.Remove(file.Name()), o.Close()) }
	if _, err := io.Copy(file, o); err != nil {
		return nil, errors.Join(err, discard())
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, discard())
	}
	opened, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		return nil, errors.Join(err, discard())
	}
	r := parquet.NewGenericReader[row](opened)
	return &rowLines{rows: r, close: func() error { return errors.Join(r.Close(), discard()) }, hour: part.Hour}, nil
}

// rowLines is a stream of lines made of rows.
type rowLines struct {
	rows  *parquet.GenericReader[row]
	hour  codec.Hour
	buf   [256]row
	out   []byte
	read  int
	ended bool
	close func() error
}

func (l *rowLines) Read(p []byte) (int, error) {
	for l.read == len(l.out) {
		if l.ended {
			return 0, io.EOF
		}
		l.out, l.read = l.out[:0], 0
		n, err := l.rows.Read(l.buf[:])
		for i := range l.buf[:n] {
			l.out = appendRow(l.out, &l.buf[i])
		}
		clear(l.buf[:n])
		l.ended = err == io.EOF
		if err != nil && err != io.EOF {
			return 0, err
		}
	}
	n := copy(p, l.out[l.read:])
	l.read += n
	return n, nil
}

func (l *rowLines) Close() error { return l.close() }

// appendRow appends the canonical line of a row.
func appendRow(dst []byte, r *row) []byte {
	extra := strings.TrimSuffix(strings.TrimPrefix(r.Extra, "{"), "}")
	var at string
	if r.Timestamp != nil {
		at = canonicalTime(time.Unix(0, *r.Timestamp))
	} else if rest, ok := strings.CutPrefix(extra, `"timestamp":"`); ok {
		at, extra, _ = strings.Cut(rest, `"`)
		extra = strings.TrimPrefix(extra, ",")
	}
	return appendLine(dst, at, r.Path, r.UserAgent, extra)
}

func canonicalTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999999Z") }

// appendLine appends a canonical line. extra are members as they are in it.
func appendLine(dst []byte, at, path, userAgent, extra string) []byte {
	dst = append(append(append(dst, `{"timestamp":"`...), at...), `","path":"`...)
	dst = append(codec.AppendText(dst, []byte(path)), `","userAgent":"`...)
	dst = append(codec.AppendText(dst, []byte(userAgent)), '"')
	if extra != "" {
		dst = append(append(dst, ','), extra...)
	}
	return append(dst, "}\n"...)
}

// Digest implements Reader: Parts has told it.
func (p *postgres) Digest(_ context.Context, s Stored) (Digest, error) { return s.Digest, nil }

// Lines implements Reader.
func (p *postgres) Lines(context.Context, Stored) (io.ReadCloser, error) { return nil, ErrNoLines }

// Records implements Reader.
func (p *postgres) Records(ctx context.Context, h codec.Hour) (n int64, err error) {
	err = p.with(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM `+p.table.Sanitize()+` WHERE ts >= $1 AND ts < $2`, instant(h), instant(h+1)).Scan(&n)
	})
	return n, err
}

// HourLines implements Reader.
func (p *postgres) HourLines(ctx context.Context, h codec.Hour, f func([]byte) error) error {
	return p.with(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT ts, path, user_agent, extra::text FROM `+p.table.Sanitize()+` WHERE ts >= $1 AND ts < $2`, instant(h), instant(h+1))
		if err != nil {
			return err
		}
		var at time.Time
		var path, agent string
		var extra *string
		var line []byte
		_, err = pgx.ForEachRow(rows, []any{&at, &path, &agent, &extra}, func() error {
			members := ""
			if extra != nil {
				members = compactMembers(*extra)
			}
			line = appendLine(line[:0], canonicalTime(at), path, agent, members)
			return f(line)
		})
		return err
	})
}

// compactMembers returns the members of a JSON object as PostgreSQL prints it,
// without the spaces that it puts between them.
func compactMembers(object string) string {
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(object)); err != nil || !strings.HasPrefix(object, "{") {
		return `"extra":` + object
	}
	text := out.String()
	return text[1 : len(text)-1]
}
