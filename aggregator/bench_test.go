package aggregator

import (
	"bytes"
	"encoding/json"
	"testing"

	gojson "github.com/goccy/go-json"

	"logforge/bench/corpus"
	"logforge/codec"
)

const benchRecords = 200_000

// corpusLines returns canonical lines of one hour.
func corpusLines(n int) (codec.Hour, []byte) {
	var lines []byte
	for _, r := range corpus.Records(1, n, 1) {
		lines = append(corpus.AppendLine(lines, r), '\n')
	}
	return codec.HourOf(corpus.Start), lines
}

func BenchmarkCount(b *testing.B) {
	hour, lines := corpusLines(benchRecords)
	b.Run("impl=aggregator", func(b *testing.B) {
		t, form := newTally(100_000), newLineForm(hour)
		benchCount(b, lines, func(lines []byte) { t.count(lines, &form) })
	})
	unmarshalInto := func(unmarshal func([]byte, any) error) func([]byte) {
		paths, agents := map[string]uint64{}, map[string]uint64{}
		return func(lines []byte) {
			for line := range bytes.Lines(lines) {
				var r struct {
					Timestamp, Path, UserAgent string
				}
				if unmarshal(line, &r) != nil {
					b.Fatal("not a record")
				}
				paths[r.Path]++
				agents[r.UserAgent]++
			}
		}
	}
	b.Run("impl=goccy+map", func(b *testing.B) { benchCount(b, lines, unmarshalInto(gojson.Unmarshal)) })
	b.Run("impl=encoding-json+map", func(b *testing.B) { benchCount(b, lines, unmarshalInto(json.Unmarshal)) })
}

func benchCount(b *testing.B, lines []byte, count func([]byte)) {
	count(lines)
	b.SetBytes(int64(len(lines)))
	b.ReportAllocs()
	for b.Loop() {
		count(lines)
	}
	b.ReportMetric(float64(b.N)*benchRecords/b.Elapsed().Seconds(), "records/s")
}
