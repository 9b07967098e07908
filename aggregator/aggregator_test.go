package aggregator

import (
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// store is a directory of hourly files as a sink would keep it, but with a
// committed length that the test sets.
type store struct {
	t         testing.TB
	cfg       config.Storage
	committed map[codec.Hour]int64
}

func newStore(t testing.TB) *store {
	dir := t.TempDir()
	return &store{
		t:         t,
		cfg:       config.Storage{LogsDir: filepath.Join(dir, "logs"), AnalyticsDir: filepath.Join(dir, "analytics")},
		committed: map[codec.Hour]int64{},
	}
}

func (s *store) Hours() iter.Seq2[codec.Hour, int64] {
	return func(yield func(codec.Hour, int64) bool) {
		for _, h := range slices.Sorted(maps.Keys(s.committed)) {
			if !yield(h, s.committed[h]) {
				return
			}
		}
	}
}

func (s *store) path(h codec.Hour) string { return filepath.Join(s.cfg.LogsDir, sink.Path(h)) }

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
	s.committed[h] = info.Size()
}

// aggregator returns one that knows nothing but what is on disk.
func (s *store) aggregator(maxKeys int) *Aggregator {
	return New(config.Aggregation{MaxKeys: maxKeys}, s.cfg, s, slog.New(slog.DiscardHandler), metrics.NewSet())
}

func (s *store) pass(a *Aggregator) {
	s.t.Helper()
	if err := a.Pass(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}
