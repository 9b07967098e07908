package hourly

import (
	"fmt"
	"strings"
	"testing"

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
