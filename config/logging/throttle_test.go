package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// buffer collects what is logged while the test looks at it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// take returns what was written and empties the buffer.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

func TestThrottle_LogsARepeatedFailureOncePerIntervalWithItsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer // what fires at the same moment as a sleep ends writes beside the test
		h, flush := Throttle(slog.NewTextHandler(&out, nil), 10*time.Second)
		log := slog.New(h)
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

		log.Error("another thing failed") // is not suppressed because of the first
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

func TestThrottle_ForgetsKindsThatStayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h, _ := Throttle(slog.NewJSONHandler(&out, nil), time.Second)
		log := slog.New(h)
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
