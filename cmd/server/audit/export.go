package audit

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/archive"
	"logforge/sink/hourly"
)

// Formats are what Export can write.
var Formats = []string{"ndjson", "csv", "parquet"}

// Export writes every record of the hours from first to last to a file, and
// returns how many: those of the files, and those that only the archive has. The
// file gets its name when it is whole. The name - is out.
func Export(ctx context.Context, cfg *config.Config, first, last codec.Hour, format, name string, out io.Writer, log *slog.Logger) (records int64, err error) {
	w := out
	var file *os.File
	if name != "-" {
		if file, err = os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*"); err != nil {
			return 0, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, file.Close(), os.Remove(file.Name()))
			}
		}()
		w = file
	}
	e, err := newExporter(format, w)
	if err != nil {
		return 0, err
	}
	if err := e.hours(ctx, cfg, first, last, log); err != nil {
		return e.records, err
	}
	if err := e.end(); err != nil {
		return e.records, err
	}
	if file == nil {
		return e.records, nil
	}
	if err := file.Chmod(0o644); err != nil {
		return e.records, err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return e.records, err
	}
	return e.records, os.Rename(file.Name(), name)
}

// exporter writes lines in one of the formats.
type exporter struct {
	records int64
	line    func(h codec.Hour, line []byte) error
	end     func() error
}

func newExporter(format string, w io.Writer) (*exporter, error) {
	e := &exporter{}
	switch format {
	case "ndjson":
		buf := make([]byte, 0, 1<<20)
		flush := func() error {
			_, err := w.Write(buf)
			buf = buf[:0]
			return err
		}
		e.line = func(_ codec.Hour, line []byte) error {
			if len(buf)+len(line) > cap(buf) {
				if err := flush(); err != nil {
					return err
				}
			}
			buf = append(buf, line...)
			return nil
		}
		e.end = flush
	case "csv":
		c := csv.NewWriter(w)
		if err := c.Write([]string{"timestamp", "path", "userAgent", "extra"}); err != nil {
			return nil, err
		}
		e.line = func(_ codec.Hour, line []byte) error {
			var l codec.Line
			if l.Split(line) == 0 {
				return fmt.Errorf("a line that is not canonical: %.100q", line)
			}
			extra := ""
			if len(l.Extra) > 0 {
				extra = "{" + string(l.Extra) + "}"
			}
			return c.Write([]string{string(l.Timestamp), string(codec.Unescape(nil, l.Path)), string(codec.Unescape(nil, l.UserAgent)), extra})
		}
		e.end = func() error { c.Flush(); return c.Error() }
	case "parquet":
		p := archive.NewParquetFile(w)
		e.line, e.end = p.Add, p.Close
	default:
		return nil, fmt.Errorf("-format: %q is not one of ndjson, csv, parquet", format)
	}
	return e, nil
}

// hours writes the records of every hour.
func (e *exporter) hours(ctx context.Context, cfg *config.Config, first, last codec.Hour, log *slog.Logger) error {
	dests, err := archive.Readers(cfg.Archive, log)
	if err != nil {
		return err
	}
	defer func() {
		for _, d := range dests {
			d.Close()
		}
	}()
	// The first destination is asked: each has everything.
	var archived archive.Reader
	parts := map[codec.Hour][]archive.Stored{}
	if len(dests) > 0 {
		archived = dests[0]
		found, err := archived.Parts(ctx, "", first, last)
		if err != nil {
			return fmt.Errorf("%s: %w", archived.Name(), err)
		}
		for _, p := range found {
			parts[p.Hour] = append(parts[p.Hour], p)
		}
	}
	look, err := hourly.Look(cfg.Storage.LogsDir)
	if errors.Is(err, fs.ErrNotExist) && archived != nil {
		look, err = &hourly.Snapshot{}, nil // nothing but the archive
	}
	if err != nil {
		return err
	}
	var hours []codec.Hour
	for h := range parts {
		hours = append(hours, h)
	}
	for _, h := range look.Hours() {
		if h >= first && h <= last && parts[h] == nil {
			hours = append(hours, h)
		}
	}
	slices.Sort(hours)
	for _, h := range hours {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.hour(ctx, h, look, archived, parts[h]); err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	return nil
}

// hour writes the records of one hour: the file, if there is one, and the parts
// of other nodes or of earlier files. Of a destination that does not keep parts
// apart, an hour is taken where there is no file.
func (e *exporter) hour(ctx context.Context, h codec.Hour, look *hourly.Snapshot, archived archive.Reader, parts []archive.Stored) error {
	local := slices.Contains(look.Hours(), h)
	one := func(line []byte) error {
		e.records++
		if !bytes.HasSuffix(line, []byte{'\n'}) {
			return fmt.Errorf("a line without its end: %.100q", line)
		}
		return e.line(h, line)
	}
	if local {
		err := archive.EachLine(func() (io.ReadCloser, error) { return look.Open(h) }, one)
		if errors.Is(err, fs.ErrNotExist) {
			local = false // removed meanwhile: the archive has it
		} else if err != nil {
			return err
		}
	}
	var written []archive.Part
	for _, p := range parts {
		if local && p.Node == look.Node() && p.Generation == look.Generation(h) || slices.Contains(written, p.Part) {
			continue
		}
		written = append(written, p.Part)
		err := archive.EachLine(func() (io.ReadCloser, error) { return archived.Lines(ctx, p) }, one)
		if errors.Is(err, archive.ErrNoLines) {
			if local {
				return nil
			}
			return archived.HourLines(ctx, h, one)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Object(), err)
		}
	}
	return nil
}
