package hourly

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

func TestClock_AJumpAheadIsBelievedOnceItHasLasted(t *testing.T) {
	begin := afterDay0(0)
	type reading struct {
		wall     time.Duration // since begin
		ran      time.Duration
		ahead    time.Duration
		doubtful bool
	}
	for what, readings := range map[string][]reading{
		"runs evenly":           {{0, 0, 0, false}, {5 * time.Second, 5 * time.Second, 0, false}, {time.Minute, time.Minute, 0, false}},
		"is put a little right": {{0, 0, 0, false}, {clockJump, 0, 0, false}, {2 * clockJump, 0, 0, false}},
		"jumps and stays": {{0, 0, 0, false}, {1000 * time.Hour, time.Second, 1000*time.Hour - time.Second, true},
			{1000*time.Hour + time.Minute, time.Second + time.Minute, 0, true},
			{1001*time.Hour - time.Second, time.Hour, 0, true}, {1001 * time.Hour, time.Hour + time.Second, 0, false}},
		"jumps twice": {{0, 0, 0, false}, {10 * time.Hour, time.Minute, 10*time.Hour - time.Minute, true},
			{20 * time.Hour, 30 * time.Minute, 10*time.Hour - 29*time.Minute, true}, {21 * time.Hour, 89 * time.Minute, 0, true}, {22 * time.Hour, 91 * time.Minute, 0, false}},
		"is put right":  {{0, 0, 0, false}, {10 * time.Hour, 0, 10 * time.Hour, true}, {time.Minute, time.Minute, 0, false}},
		"jumps back":    {{0, 0, 0, false}, {-1000 * time.Hour, 0, 0, false}},
		"after a rest":  {{24 * time.Hour, 0, 24 * time.Hour, true}, {25 * time.Hour, time.Hour, 0, false}},
		"without power": {{-24 * time.Hour, 0, 0, false}, {24 * time.Hour, time.Minute, 48*time.Hour - time.Minute, true}},
	} {
		c := clock{wall: begin}
		for i, r := range readings {
			if ahead := c.look(begin.Add(r.wall), r.ran); ahead != r.ahead || c.doubtful() != r.doubtful {
				t.Errorf("a clock that %s, reading %d: ahead %v, doubtful %v", what, i, ahead, c.doubtful())
			}
		}
	}
	if c := (clock{}); c.look(begin, 0) != 0 || c.doubtful() {
		t.Error("a clock that was never read is doubted")
	}
}

// A process that finds a directory that was used last long ago may have a wrong
// clock: what it calls old stays for an hour, and goes then.
func TestRetention_WaitsAnHourAfterTheClockHasJumped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const old = -300_000 // hours before 2026: older than the clock of this test
		var log bytes.Buffer
		d := newMemDisk()
		cfg := testConfig()
		cfg.MaxAge, cfg.SyncInterval = 24*time.Hour, time.Second
		open := func() *Files {
			t.Helper()
			f, err := openOn(cfg, sink.Written, slog.New(slog.NewTextHandler(&log, nil)), metrics.NewSet(), d)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		ctx, stop := context.WithCancel(t.Context())
		retain := func(f *Files) {
			go func() { _ = f.Retain(ctx, Retention{}) }() // never an error
		}

		f := open()
		write(t, f, line(old, 1))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1000 * time.Hour)
		f = open()
		retain(f)
		time.Sleep(time.Hour - time.Minute)
		wantHours(t, f, old)
		time.Sleep(2 * time.Minute)
		wantHours(t, f)

		// Without such a jump they go at once.
		write(t, f, line(old, 2))
		time.Sleep(time.Minute)
		wantHours(t, f)
		stop()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "the clock is ahead"); got != 1 {
			t.Errorf("the log says it %d times:\n%s", got, log.String())
		}
	})
}

// A clock that was wrong for a while leaves files that were changed in the future.
func TestRetention_AFileChangedInTheFutureIsKeptForKeepWrittenAndNoLonger(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, maxAge(time.Hour))
	write(t, f, line(1, 1))
	d.names["logs/2026-02-09/01.log.json"].modified = time.Now().Add(1e5 * time.Hour)
	r := Retention{KeepWritten: 24 * time.Hour}
	now := time.Now()
	for _, after := range []time.Duration{0, 23 * time.Hour} {
		f.retain(t.Context(), r, now.Add(after))
		wantHours(t, f, 1)
	}
	f.retain(t.Context(), r, now.Add(24*time.Hour))
	wantHours(t, f)
}
