package audit

// A logs directory with everything that verify and export look at.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/aggregator"
	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/archive"
	"logforge/sink/archive/archivetest"
	"logforge/sink/hourly"
)

// world is a logs directory with summaries and an archive.
type world struct {
	t     *testing.T
	cfg   config.Config
	files *hourly.Files
	agg   *aggregator.Aggregator
	wrote []string
	s3    *archivetest.S3
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, cfg: config.Default()}
	w.cfg.Storage.LogsDir, w.cfg.Storage.AnalyticsDir = filepath.Join(dir, "logs"), filepath.Join(dir, "analytics")
	w.cfg.Archive.After, w.cfg.Archive.Postgres.Interval, w.cfg.Archive.PartBytes = 10*time.Millisecond, 10*time.Millisecond, 4<<10
	var err error
	if w.files, err = hourly.Open(w.cfg.Storage, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	if w.agg, err = aggregator.Open(w.cfg.Aggregation, w.cfg.Storage.AnalyticsDir, w.files, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(w.agg.Close(), w.files.Close()) })
	return w
}

func (w *world) toBucket(format string) {
	w.s3 = archivetest.S3Server(w.t)
	s := &w.cfg.Archive.S3
	s.Endpoint, s.Bucket, s.AccessKey, s.SecretKey, s.Format = w.s3.Endpoint(), w.s3.Bucket(w.t), archivetest.AccessKey, archivetest.SecretKey, format
}

func (w *world) write(lines ...string) {
	w.t.Helper()
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	b.Reset()
	b.AppendLines([]byte(strings.Join(lines, "\n")+"\n"), codec.Limits{Depth: 64}, func(line []byte, e codec.RecordError) { w.t.Fatalf("%s: %+v", line, e) })
	if err := w.files.Write(context.Background(), b, sink.Written); err != nil {
		w.t.Fatal(err)
	}
	w.wrote = append(w.wrote, lines...)
}

// some writes lines with everything in them that a line can have.
func (w *world) some(hour int) {
	for i := range 200 {
		w.write(fmt.Sprintf(`{"timestamp":"2026-02-09T%02d:%02d:00.5Z","path":"/p%d","userAgent":"x"}`, hour, i%60, i),
			fmt.Sprintf(`{"timestamp":"2026-02-09T%02d:59:59Z","path":"/\"\\\u0001ü","userAgent":"y","status":%d,"deep":{"a":[1,null]}}`, hour, i))
	}
}

// settle summarises and archives everything.
func (w *world) settle() {
	w.t.Helper()
	if err := w.agg.Pass(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	a, err := archive.New(w.cfg.Archive, w.cfg.Storage, w.files, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil || a == nil {
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); slices.ContainsFunc(w.files.Extents(), func(e hourly.Extent) bool { return !a.Covers(e) }); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("not archived: %+v", a.Status())
		}
	}
	cancel()
	<-done
}

// reopen opens the files anew, with quick upkeep and what change sets.
func (w *world) reopen(change func(*config.Storage)) *hourly.Files {
	w.t.Helper()
	if err := w.files.Close(); err != nil {
		w.t.Fatal(err)
	}
	st := w.cfg.Storage
	st.SyncInterval = 10 * time.Millisecond
	change(&st)
	files, err := hourly.Open(st, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		w.t.Fatal(err)
	}
	w.files = files
	return files
}

// retain removes hours of files that are opened anew, until ctx ends.
func (w *world) retain(ctx context.Context) {
	w.t.Helper()
	files := w.reopen(func(st *config.Storage) { st.MaxAge = time.Hour })
	go func() { _ = files.Retain(ctx, hourly.Retention{}) }() // never an error
}

// compress compresses every hour, with files that are opened anew.
func (w *world) compress() {
	w.t.Helper()
	files := w.reopen(func(st *config.Storage) { st.CompressAfter = time.Millisecond })
	err := w.agg.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.agg, err = aggregator.Open(w.cfg.Aggregation, w.cfg.Storage.AnalyticsDir, w.files, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- files.Compress(ctx) }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		plain, err := filepath.Glob(filepath.Join(w.cfg.Storage.LogsDir, "????-??-??", "??.log.json"))
		if err != nil {
			w.t.Fatal(err)
		}
		if len(plain) == 0 {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%q are not compressed", plain)
		}
	}
	cancel()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) verify(archived bool) (string, error) {
	var out bytes.Buffer
	err := Verify(context.Background(), &w.cfg, archive.First, archive.Last, archived, slog.New(slog.DiscardHandler), &out)
	return out.String(), err
}

func (w *world) whole(archived bool) {
	w.t.Helper()
	if out, err := w.verify(archived); err != nil {
		w.t.Fatalf("%v\n%s", err, out)
	}
}

func (w *world) damaged(archived bool, says ...string) {
	w.t.Helper()
	out, err := w.verify(archived)
	if !errors.Is(err, ErrDamaged) {
		w.t.Fatalf("%v\n%s", err, out)
	}
	for _, word := range says {
		if !strings.Contains(out, word) {
			w.t.Errorf("does not say %q:\n%s", word, out)
		}
	}
}
