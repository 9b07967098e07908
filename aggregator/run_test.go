package aggregator

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
)

func TestRunPassesAtOnceThenEveryIntervalAndOnceMoreAtTheEnd(t *testing.T) {
	s := newStore(t)
	h := testHour
	synctest.Test(t, func(t *testing.T) {
		a := s.open(config.Aggregation{Interval: 30 * time.Second, MaxKeys: 10}, slog.New(slog.DiscardHandler), metrics.NewSet())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		runs := func(want uint64) {
			t.Helper()
			synctest.Wait()
			if n := a.runs.Get(); n != want {
				t.Errorf("%d runs, want %d", n, want)
			}
		}
		runs(1)
		time.Sleep(29 * time.Second)
		runs(1)
		s.append(h, line(h, 1, "/a", "x"))
		if _, err := os.Stat(s.summary(h)); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		time.Sleep(time.Second)
		runs(2)
		s.check(t, h)
		time.Sleep(time.Minute)
		runs(4)

		s.append(h, line(h, 2, "/b", "x"))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		runs(5)
		s.check(t, h)
	})
}

func TestTheLastPassIsMadeEvenIfRunBeginsCancelled(t *testing.T) {
	s := newStore(t)
	s.append(testHour, line(testHour, 1, "/a", "x"))
	a := s.aggregator(10)
	a.cfg.Interval = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Fatal(err)
	}
	s.check(t, testHour)
}

func TestACancelledPassLeavesTheRestToTheNextOne(t *testing.T) {
	s := newStore(t)
	s.append(testHour, line(testHour, 1, "/a", "x"))
	a := s.aggregator(10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Pass(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if a.errors.Get() != 0 {
		t.Error("being cancelled is not a failure")
	}
	s.pass(a)
	s.check(t, testHour)
}

// metricOf returns the value of a metric as a scrape sees it.
func metricOf(t *testing.T, set *metrics.Set, name string) float64 {
	t.Helper()
	var text bytes.Buffer
	set.WritePrometheus(&text)
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no metric %s in\n%s", name, text.String())
	return 0
}

func TestTheDelayGrowsWhileAnHourFails(t *testing.T) {
	s := newStore(t)
	synctest.Test(t, func(t *testing.T) {
		set := metrics.NewSet()
		var log bytes.Buffer
		a := s.open(config.Aggregation{Interval: 30 * time.Second, MaxKeys: 10}, slog.New(slog.NewTextHandler(&log, nil)), set)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Run(ctx) }()
		time.Sleep(10 * time.Second)
		delay := func(want float64) {
			t.Helper()
			synctest.Wait()
			if v := metricOf(t, set, "logforge_aggregation_delay_seconds"); v != want {
				t.Errorf("delay of %v s, want %v", v, want)
			}
		}
		delay(10)

		s.append(testHour, line(testHour, 1, "/a", "x"))
		free := blockSummary(t, s, testHour)
		time.Sleep(85 * time.Second) // passes at 30, 60, 90
		delay(95)
		if v := metricOf(t, set, "logforge_aggregation_errors_total"); v != 3 {
			t.Errorf("%v errors", v)
		}
		if n := strings.Count(log.String(), testHour.String()); n < 3 {
			t.Errorf("logged %d times:\n%s", n, log.String())
		}
		free()
		time.Sleep(25 * time.Second) // and at 120
		delay(0)
		s.check(t, testHour)
		if v := metricOf(t, set, "logforge_aggregation_records_total"); v != 1 {
			t.Errorf("%v records", v)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
