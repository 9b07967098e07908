package bench

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/aggregator"
	"logforge/bench/corpus"
	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// formats says how the server reads a body of each form.
var formats = map[string]codec.Format{"json": codec.JSON, "ndjson": codec.NDJSON, "csv": codec.CSV}

// decoded returns 64 batches as the sink gets them.
func decoded(b *testing.B, batch, hours int) []*codec.Batch {
	b.Helper()
	f, err := corpus.FormOf("ndjson")
	if err != nil {
		b.Fatal(err)
	}
	var batches []*codec.Batch
	for _, body := range f.Bodies(corpus.Records(1, 64*batch, hours), batch) {
		d := new(codec.Batch)
		if err := d.Decode(body, codec.NDJSON, codec.Limits{}); err != nil {
			b.Fatal(err)
		}
		batches = append(batches, d)
	}
	return batches
}

// BenchmarkScan is the first stage alone: a body into canonical lines by hour.
func BenchmarkScan(b *testing.B) {
	limits := config.Default().Ingestion
	for _, form := range []string{"json", "ndjson", "csv", "pretty", "reordered", "escaped", "offset", "extra"} {
		for _, batch := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("format=%s/batch=%d", form, batch), func(b *testing.B) {
				f, err := corpus.FormOf(form)
				if err != nil {
					b.Fatal(err)
				}
				format, ok := formats[form]
				if !ok {
					format = codec.JSON
				}
				bodies := f.Bodies(corpus.Records(1, 64*batch, 1), batch)
				size := 0
				for _, body := range bodies {
					size += len(body)
				}
				b.SetBytes(int64(size / len(bodies)))
				b.ReportAllocs()
				var d codec.Batch
				for n := 0; b.Loop(); n++ {
					err := d.Decode(bodies[n%len(bodies)], format, codec.Limits{
						Records: limits.MaxBatchRecords, RecordBytes: int(limits.MaxRecordBytes), Depth: limits.MaxDepth,
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				reportRecords(b, batch)
			})
		}
	}
}

// BenchmarkCommit is the second stage alone: batches into hourly files, by one
// writer and by many who share a group, handed to the system or on disk.
func BenchmarkCommit(b *testing.B) {
	for _, ack := range []sink.Ack{sink.Written, sink.Synced} {
		for _, batch := range []int{1, 100, 1000} {
			for _, writers := range []int{1, 64} {
				b.Run(fmt.Sprintf("ack=%s/batch=%d/writers=%d", ack, batch, writers), func(b *testing.B) {
					commit(b, ack, batch, 1, writers)
				})
			}
		}
	}
}

// BenchmarkCommitHours is how the second stage's price grows with the number of
// hours that the records of one batch fall into.
func BenchmarkCommitHours(b *testing.B) {
	for _, hours := range []int{1, 24, 1000} {
		b.Run(fmt.Sprintf("hours=%d/batch=1000", hours), func(b *testing.B) { commit(b, sink.Written, 1000, hours, 1) })
	}
}

func commit(b *testing.B, ack sink.Ack, batch, hours, writers int) {
	files := openFiles(b, settings(b).Storage)
	var batches []*codec.Batch
	if hours == 1 {
		batches = decoded(b, batch, hours)
	} else { // every batch over all of the hours
		var d codec.Batch
		if err := d.Decode(corpus.AppendNDJSON(nil, corpus.Records(1, batch, hours)), codec.NDJSON, codec.Limits{}); err != nil {
			b.Fatal(err)
		}
		batches = append(batches, &d)
	}
	b.SetBytes(totalLen(batches) / int64(len(batches)))
	b.ReportAllocs()
	b.ResetTimer()
	spread(b, writers, func(n int) error {
		return files.Write(context.Background(), batches[n%len(batches)], ack)
	})
	reportRecords(b, batch)
}

// spread calls f b.N times, from that many goroutines.
func spread(b *testing.B, goroutines int, f func(n int) error) {
	var next atomic.Int64
	done := make(chan error, goroutines)
	for range goroutines {
		go func() {
			for {
				n := int(next.Add(1) - 1)
				if n >= b.N {
					done <- nil
					return
				}
				if err := f(n); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range goroutines {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkAggregate is the third stage alone: an hour of a million records, from
// its file into its summary.
func BenchmarkAggregate(b *testing.B) {
	const records = 1_000_000
	cfg := settings(b)
	files := openFiles(b, cfg.Storage)
	for _, d := range decoded(b, records/64, 1) {
		if err := files.Write(context.Background(), d, sink.Written); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		b.StopTimer()
		cfg.Storage.AnalyticsDir = b.TempDir()
		a, err := aggregator.Open(cfg.Aggregation, cfg.Storage.AnalyticsDir, files, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := a.Pass(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	reportRecords(b, records)
}
