package archive

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/bench/corpus"
	"logforge/codec"
)

// aPart returns the lines of a part, of the records that other measurements
// send, all in one hour.
func aPart(records int) (Part, []byte) {
	all := corpus.Records(1, records, 1)
	at := time.Date(2026, 2, 9, 15, 0, 0, 0, time.UTC)
	var lines []byte
	for i, r := range all {
		l := corpus.AppendLine(nil, r)
		stamp := at.Add(time.Duration(i) * 3599 * time.Second / time.Duration(records)).Format(time.RFC3339)
		lines = append(append(append(lines, `{"timestamp":"`...), stamp...), l[len(`{"timestamp":"2026-02-09T15:00:00Z`):]...)
		lines = append(lines, '\n')
	}
	return Part{Node: "node", Hour: codec.HourOf(at), Generation: 1, To: int64(len(lines))}, lines
}

// cpu returns the processor time this process has taken: on a busy machine the
// time of a clock says little.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perMillion reports the processor time a million records have taken since
// before.
func perMillion(b *testing.B, before time.Duration, records int) {
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N*records)*1e6, "CPU-s/Mrecord")
}

// What it costs to read, hash and encode a part, without a destination.
func BenchmarkEncode(b *testing.B) {
	const records = 200_000
	part, lines := aPart(records)
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(lines)), nil }
	for name := range formatNames {
		b.Run(name, func(b *testing.B) {
			s := &s3{format: formats(metrics.NewSet())[name]}
			b.SetBytes(int64(len(lines)))
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				if _, err := s.encode(part, open, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			perMillion(b, before, records)
		})
	}
	b.Run("zstd-alone", func(b *testing.B) { // what an encoder takes at least
		b.SetBytes(int64(len(lines)))
		e := newZstdEncoder(io.Discard)
		defer e.release()
		before := cpu()
		for b.Loop() {
			e.Reset(io.Discard)
			if _, err := e.Write(lines); err != nil {
				b.Fatal(err)
			}
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		}
		perMillion(b, before, records)
	})
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(lines)))
		b.ReportAllocs()
		before := cpu()
		for b.Loop() {
			l := newLineReader(part, io.NopCloser(bytes.NewReader(lines)))
			if _, err := io.Copy(io.Discard, struct{ io.Reader }{&copier{r: l, hour: part.Hour}}); err != nil {
				b.Fatal(err)
			}
		}
		perMillion(b, before, records)
	})
}
