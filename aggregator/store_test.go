package aggregator

// The files that the tests of this package summarise.

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/durable"
	"logforge/sink/hourly"
)

// store is a directory of hourly files as a sink would keep it, but with a
// committed length that the test sets.
type store struct {
	t         testing.TB
	cfg       config.Storage
	mu        sync.Mutex // for tests that append beside Run
	committed map[codec.Hour]int64
	// generation is that of each hour's file; remove ends it.
	generation map[codec.Hour]uint64
	newest     uint64
	running    *Aggregator
}

func newStore(t testing.TB) *store {
	dir := t.TempDir()
	s := &store{
		t:          t,
		cfg:        config.Storage{LogsDir: filepath.Join(dir, "logs"), AnalyticsDir: filepath.Join(dir, "analytics")},
		committed:  map[codec.Hour]int64{},
		generation: map[codec.Hour]uint64{},
	}
	t.Cleanup(s.close)
	return s
}

// close ends the aggregator that runs.
func (s *store) close() {
	if s.running != nil {
		if err := s.running.Close(); err != nil {
			s.t.Error(err)
		}
	}
	s.running = nil
}

func (s *store) Extents() []hourly.Extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var extents []hourly.Extent
	for _, h := range slices.Sorted(maps.Keys(s.committed)) {
		extents = append(extents, hourly.Extent{Hour: h, Generation: s.generation[h], Length: s.committed[h]})
	}
	return extents
}

func (s *store) Reader(e hourly.Extent, from int64) (io.ReadCloser, error) {
	s.mu.Lock()
	generation := s.generation[e.Hour]
	s.mu.Unlock()
	file, err := os.Open(s.path(e.Hour))
	if errors.Is(err, fs.ErrNotExist) || err == nil && generation != e.Generation {
		return nil, hourly.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return &part{io.NewSectionReader(file, from, e.Length-from), file, e.Length - from}, nil
}

// part is a part of a file that is no longer there if the file is shorter.
type part struct {
	in   io.Reader
	file *os.File
	left int64
}

func (p *part) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	if p.left -= int64(n); err == io.EOF && p.left > 0 {
		err = hourly.ErrGone
	}
	return n, err
}

func (p *part) Close() error { return p.file.Close() }

// remove removes h's file, as retention does: the next line begins a new one.
func (s *store) remove(h codec.Hour) {
	s.t.Helper()
	if err := os.Remove(s.path(h)); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.committed, h)
	delete(s.generation, h)
}

func (s *store) path(h codec.Hour) string { return filepath.Join(s.cfg.LogsDir, hourly.Path(h)) }

func (s *store) summary(h codec.Hour) string {
	return filepath.Join(s.cfg.AnalyticsDir, summaryPath(h))
}

// append appends to h's file and commits it.
func (s *store) append(h codec.Hour, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(h)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.OpenFile(s.path(h), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.committed[h] = info.Size()
	if s.generation[h] == 0 {
		s.newest++
		s.generation[h] = s.newest
	}
	s.mu.Unlock()
}

// aggregator returns one that knows nothing but what is on disk, and ends the
// one before. It syncs nothing: a test's files need not survive the machine.
func (s *store) aggregator(maxKeys int) *Aggregator {
	s.t.Helper()
	return s.open(config.Aggregation{MaxKeys: maxKeys, Interval: time.Hour}, slog.New(slog.DiscardHandler), metrics.NewSet())
}

func (s *store) open(cfg config.Aggregation, log *slog.Logger, set *metrics.Set) *Aggregator {
	s.t.Helper()
	s.close()
	a, err := Open(cfg, s.cfg.AnalyticsDir, s, log, set)
	if err != nil {
		s.t.Fatal(err)
	}
	onSteps(a, func(string) error { return nil })
	s.running = a
	return a
}

func (s *store) pass(a *Aggregator) {
	s.t.Helper()
	if err := a.Pass(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// check compares the summary of h with a recount of the committed part of its
// file.
func (s *store) check(t failer, h codec.Hour) {
	t.Helper()
	text, err := os.ReadFile(s.path(h))
	if err != nil {
		t.Fatal(err)
	}
	want := recountOf(h, string(text[:s.committed[h]]))
	if diff := cmp.Diff(want, readRecount(t, s.summary(h))); diff != "" {
		t.Fatalf("summary of %s (-want +got):\n%s", h, diff)
	}
}

// stepDir is a directory that calls step before each operation that changes it,
// which can crash or fail there, and that syncs nothing: a test's files need not
// survive the machine.
type stepDir struct {
	durable.Dir
	step func(name string) error
}

// onSteps makes a's directory one that calls step.
func onSteps(a *Aggregator, step func(name string) error) {
	inner := a.dir.dir
	if s, ok := inner.(*stepDir); ok {
		inner = s.Dir
	}
	a.dir.wrap = func(d durable.Dir) durable.Dir { return &stepDir{d, step} }
	a.dir.dir = a.dir.wrap(inner)
}

func (d *stepDir) Open(name string, create bool) (durable.File, error) {
	if create {
		if err := d.step("create"); err != nil {
			return nil, err
		}
	}
	f, err := d.Dir.Open(name, create)
	if err != nil {
		return nil, err
	}
	return &stepFile{f, d.step}, nil
}

func (d *stepDir) Rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	if err := d.Dir.Rename(from, to); err != nil {
		return err
	}
	return d.step("renamed")
}

func (d *stepDir) Mkdir(name string) error {
	if err := d.step("mkdir"); err != nil {
		return err
	}
	return d.Dir.Mkdir(name)
}

func (d *stepDir) SyncDir(name string) error { return d.step("syncdir") }

type stepFile struct {
	durable.File
	step func(name string) error
}

func (f *stepFile) Writev(parts [][]byte) (int, error) {
	if err := f.step("write"); err != nil {
		return 0, err
	}
	return f.File.Writev(parts)
}

func (f *stepFile) Sync() error { return f.step("sync") }

// leftOver returns the temporary files beside a summary.
func leftOver(summary string) []string {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(summary), ".*.tmp"))
	return left
}
