package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"logforge/config"
)

var errDown = errors.New("down")

func TestRepeatedFailureIsLoggedOncePerIntervalWithItsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer // what fires at the same moment as a sleep ends writes beside the test
		log, flush := newLog(&out, config.Log{Level: "info", Format: "text", Throttle: 10 * time.Second})
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			var got []string
			for line := range strings.Lines(out.take()) {
				_, line, _ = strings.Cut(strings.TrimSpace(line), " ") // the time
				got = append(got, line)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}

		kafka := log.With("part", "kafka")
		for i := range 1000 {
			kafka.Error("produce failed", "n", i)
		}
		expect(`level=ERROR msg="produce failed" part=kafka n=0`)

		log.Error("another thing failed") // is not held back by the first
		log.Warn("produce failed")        // nor is another level
		for range 3 {
			log.Info("request")
		}
		expect(`level=ERROR msg="another thing failed"`, `level=WARN msg="produce failed"`,
			"level=INFO msg=request", "level=INFO msg=request", "level=INFO msg=request")

		time.Sleep(10 * time.Second)
		expect(`level=ERROR msg="produce failed" part=kafka n=999 repeated=999`)

		kafka.Error("produce failed", "n", "again") // still within an interval of the last line
		expect()
		time.Sleep(10 * time.Second)
		expect(`level=ERROR msg="produce failed" part=kafka n=again repeated=1`)

		time.Sleep(20 * time.Second) // quiet for an interval: a new failure is said at once
		kafka.Error("produce failed", "n", "new")
		expect(`level=ERROR msg="produce failed" part=kafka n=new`)

		kafka.Error("produce failed", "n", "last")
		flush() // the process ends
		expect(`level=ERROR msg="produce failed" part=kafka n=last repeated=1`)
	})
}

func TestQuietKindsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, _ := newLog(&out, config.Log{Level: "info", Format: "json", Throttle: time.Second})
		for i := range 100 {
			log.Warn(strings.Repeat("x", i))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(log.Handler().(*throttled).throttle.repeats); n != 0 {
			t.Errorf("%d kinds are kept for nothing", n)
		}
	})
}

func TestThrottleZeroLogsEverything(t *testing.T) {
	var out bytes.Buffer
	log, flush := newLog(&out, config.Log{Level: "error", Format: "json"})
	defer flush()
	for range 5 {
		log.Error("x", "err", errDown)
		log.Warn("below the level")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5", len(lines))
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &fields); err != nil || fields[slog.MessageKey] != "x" || fields["err"] != "down" {
		t.Errorf("%v %v", fields, err)
	}
}
