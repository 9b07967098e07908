package aggregator

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/durable"
)

// What is in the place of a summary, or beside one, is of any kind.
func TestDirectory_AnythingElseInItIsPassedOver(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root reads every file: permissions are not tried")
	}
	s := newStore(t)
	h := testHour
	day := filepath.Dir(s.summary(h))
	for i := range 5 {
		s.append(h+codec.Hour(i), line(h+codec.Hour(i), 1, "/a", "x"))
	}
	fifo := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(name, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fifo(s.summary(h))
	must(os.MkdirAll(filepath.Join(s.summary(h+1), "inside"), 0o755))
	must(os.WriteFile(s.summary(h+2), nil, 0))
	must(os.Symlink("/dev/zero", s.summary(h+3)))
	must(os.Symlink(s.summary(h+4), s.summary(h+4)))
	for _, name := range []string{"summary_24.json", "summary_1.json", "SUMMARY_01.json", ".summary_15.json.tmp.x", "other"} {
		fifo(filepath.Join(day, name))
	}
	fifo(filepath.Join(s.cfg.AnalyticsDir, "2026-02-30"))
	fifo(filepath.Join(s.cfg.AnalyticsDir, "2026-02-01"))
	must(os.WriteFile(filepath.Join(s.cfg.AnalyticsDir, "2026-02-02"), nil, 0o644))
	must(os.MkdirAll(filepath.Join(s.cfg.AnalyticsDir, "lost+found"), 0))

	a := s.aggregator(10)
	s.pass(a)
	for i := range 5 {
		s.check(t, h+codec.Hour(i))
	}
	body, err := a.AppendRange(t.Context(), nil, h-12*24, h+12*24, 10, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got := parse[answer](t, body); got.Records != 5 {
		t.Errorf("%s", body)
	}
	first := h - 15
	if span, err := a.Span(t.Context()); span != (codec.Span{First: first, Recent: first, Last: first, Known: true}) || err != nil {
		t.Errorf("%+v, %v", span, err)
	}
	s.pass(s.aggregator(10))
}

func TestDirectory_IsMadeAnewAndCountedAgainWhenItWasRemoved(t *testing.T) {
	s := newStore(t)
	h := testHour
	for i := range 3 {
		s.append(h+codec.Hour(30*i), line(h+codec.Hour(30*i), 1, "/a", "x"))
	}
	a := s.aggregator(10)
	s.pass(a)
	f := func(path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if _, err := a.AppendRange(t.Context(), nil, h, h+100, 0, 0); err != nil {
			t.Error(err)
		}
		s.pass(a)
		for i := range 3 {
			s.check(t, h+codec.Hour(30*i))
		}
	}
	f(s.cfg.AnalyticsDir)
	f(filepath.Dir(s.summary(h)))
	f(s.summary(h))
	f(filepath.Join(s.cfg.AnalyticsDir, ".lock"))
	if err := os.Rename(s.cfg.AnalyticsDir, s.cfg.AnalyticsDir+".old"); err != nil {
		t.Fatal(err)
	}
	f(s.cfg.AnalyticsDir)
	if span, err := a.Span(t.Context()); span.First != h-15 || !span.Known || err != nil {
		t.Errorf("%+v, %v", span, err)
	}
}

func TestDirectory_IsThatOfOneProcess(t *testing.T) {
	s := newStore(t)
	a := s.aggregator(10)
	open := func() error {
		b, err := Open(config.Aggregation{MaxKeys: 10}, s.cfg.AnalyticsDir, s, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err == nil {
			err = b.Close()
		}
		return err
	}
	if err := open(); !errors.Is(err, durable.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("the second one: %v", err)
	}
	if err := os.Remove(filepath.Join(s.cfg.AnalyticsDir, ".lock")); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("after its lock file was removed: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Errorf("after the first one has ended: %v", err)
	}
	s.running = nil
}

// A disk that is full for a moment must keep no records from being stored.
func TestDirectory_ThatCannotBeMadeIsTriedAgain(t *testing.T) {
	s := newStore(t)
	s.append(testHour, line(testHour, 1, "/a", "x"))
	if err := os.WriteFile(s.cfg.AnalyticsDir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := Open(config.Aggregation{MaxKeys: 10}, s.cfg.AnalyticsDir, s, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Pass(t.Context()); err == nil {
		t.Error("a pass without a directory")
	}
	if _, err := a.AppendHour(t.Context(), nil, testHour, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.Remove(s.cfg.AnalyticsDir); err != nil {
		t.Fatal(err)
	}
	s.pass(a)
	s.check(t, testHour)
}
