package hourly

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"logforge/sink"
)

// BenchmarkHours is one batch of a line for each of many hours: each time to
// files that are there, most of them closed.
func BenchmarkHours(b *testing.B) {
	for _, hours := range []int{1000, 10_000} {
		var lines strings.Builder
		for h := range hours {
			lines.WriteString(line(h, 1))
		}
		many := batch(b, lines.String())
		for _, ack := range []sink.Ack{sink.Written, sink.Synced} {
			b.Run(fmt.Sprintf("hours=%d/ack=%s", hours, ack), func(b *testing.B) {
				f := openReal(b)
				for b.Loop() {
					if err := f.Write(b.Context(), many, ack); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestFiles_BatchesOfManyHoursAreWrittenOneAtATime(t *testing.T) {
	f := openReal(t)
	var lines strings.Builder
	for h := range wideHours + 1 {
		lines.WriteString(line(h, 1))
	}
	wide := batch(t, lines.String())
	f.wide <- struct{}{} // one is under way
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Write(soon, wide, sink.Written); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one was written beside it: %v", err)
	}
	if err := f.Write(t.Context(), batch(t, line(0, 1)), sink.Synced); err != nil {
		t.Errorf("others wait for them: %v", err)
	}
	<-f.wide
	if err := f.Write(t.Context(), wide, sink.Written); err != nil {
		t.Error(err)
	}
}
