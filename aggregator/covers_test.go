package aggregator

import (
	"errors"
	"log/slog"
	"os"
	"syscall"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink/durable"
	"logforge/sink/hourly"
)

// extent returns the only extent of s.
func (s *store) extent() hourly.Extent {
	s.t.Helper()
	extents := s.Extents()
	if len(extents) != 1 {
		s.t.Fatalf("%v", extents)
	}
	return extents[0]
}

func TestAggregator_HoldsAnHourOnceItsSummaryHasAllOfItOnDisk(t *testing.T) {
	s := newStore(t)
	h := testHour
	a := s.aggregator(10)
	holds := func(what string, want bool) {
		t.Helper()
		if got := a.Covers(s.extent()); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	if !a.Covers(hourly.Extent{Hour: h, Generation: 1}) {
		t.Error("an hour without a line")
	}
	s.append(h, line(h, 1, "/a", "x"))
	holds("before a pass", false)
	s.pass(a)
	holds("after a pass", true)
	s.append(h, line(h, 2, "/a", "x"))
	holds("it has grown", false)
	s.pass(a)
	holds("after another pass", true)
	a = s.aggregator(10)
	holds("after a restart, before a pass", true)

	e := s.extent()
	e.Generation++
	if a.Covers(e) {
		t.Error("another generation")
	}
	text, err := os.ReadFile(s.summary(h))
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), text...)
	damaged[len(damaged)/2] ^= 1
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(s.summary(h), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(damaged)
	holds("a damaged summary", false)
	if err := os.Remove(s.summary(h)); err != nil {
		t.Fatal(err)
	}
	holds("no summary", false)
	write(text)
	holds("the summary is back", true)
}

// A summary whose name may not be on disk would be lost with the power, and its
// counts with it, once the hour's file is removed.
func TestAggregator_HoldsNothingAfterASyncHasFailed(t *testing.T) {
	for _, during := range []string{"a pass", "the question"} {
		s := newStore(t)
		s.append(testHour, line(testHour, 1, "/a", "x"))
		a := s.open(config.Aggregation{MaxKeys: 10}, slog.New(slog.DiscardHandler), metrics.NewSet())
		broken := during == "a pass"
		onSteps(a, func(step string) error {
			if broken && step == "syncdir" {
				return &durable.SyncError{Name: "day", Err: syscall.EIO}
			}
			return nil
		})
		if err := a.Pass(t.Context()); (err != nil) != broken || err != nil && !errors.Is(err, syscall.EIO) && !errors.As(err, new(*durable.SyncError)) {
			t.Fatal(err)
		}
		if !broken && !a.Covers(s.extent()) {
			t.Error("not held before the sync failed")
		}
		broken = true
		if a.Covers(s.extent()) {
			t.Errorf("held although a sync has failed during %s", during)
		}
		broken = false
		if a.Covers(s.extent()) {
			t.Errorf("held as the next sync after that of %s succeeds: the kernel may have dropped the pages", during)
		}
	}
}
