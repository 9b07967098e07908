package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/aggregator"
	"logforge/bench/corpus"
	"logforge/bench/wire"
	"logforge/config"
	"logforge/server"
	"logforge/sink"
	"logforge/sink/hourly"
)

// BenchmarkIngest is the whole way of a batch: socket, scan, file, answer.
func BenchmarkIngest(b *testing.B) {
	f := func(mode, form string, batch int, ack sink.Ack, ingest func(b *testing.B, form string, batch int, ack sink.Ack)) {
		b.Run(fmt.Sprintf("mode=%s/format=%s/batch=%d/ack=%s", mode, form, batch, ack), func(b *testing.B) { ingest(b, form, batch, ack) })
	}
	for _, batch := range []int{1, 100, 1000} {
		for _, form := range []string{"json", "ndjson", "csv"} {
			f("v1", form, batch, sink.Written, ingestV1)
			f("v2", form, batch, sink.Replicated, ingestV2)
		}
		f("v1", "json", batch, sink.Synced, ingestV1)
		f("v2", "json", batch, sink.Enqueued, ingestV2)
	}
}

// settings are the defaults, with everything below the benchmark's directory.
func settings(b *testing.B) config.Config {
	cfg := config.Default()
	dir := b.TempDir()
	cfg.Storage.LogsDir = filepath.Join(dir, "logs")
	cfg.Storage.AnalyticsDir = filepath.Join(dir, "analytics")
	return cfg
}

func openFiles(b *testing.B, cfg config.Storage) *hourly.Files {
	b.Helper()
	files, err := hourly.Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := files.Close(); err != nil {
			b.Error(err)
		}
	})
	return files
}

// ingestV1 is the whole way straight into the files.
func ingestV1(b *testing.B, form string, batch int, ack sink.Ack) {
	cfg := settings(b)
	files := openFiles(b, cfg.Storage)
	summaries, err := aggregator.Open(cfg.Aggregation, cfg.Storage.AnalyticsDir, files, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := summaries.Close(); err != nil {
			b.Error(err)
		}
	})
	addr := serve(b, &cfg, files, files.Ready, summaries)
	post(b, addr, form, batch, "/logs?ack="+ack.String(), func(lines int64) { await(b, files, lines) })
}

// serve runs a server in this process until the benchmark ends, and returns its
// address.
func serve(b *testing.B, cfg *config.Config, to sink.Sink, ready func() error, summaries server.Summaries) string {
	b.Helper()
	s, err := server.New(cfg, to, ready, summaries, server.Build{PipelineMode: "bench"}, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ln); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			b.Error(err)
		}
		serving.Wait()
	})
	return ln.Addr().String()
}

// connections that post at the same time, for each of GOMAXPROCS.
const connections = 16

// post sends b.N batches over several connections; all must be accepted. The
// time of an operation is until its answer. Then stored is called with the bytes
// of all lines, and records/s is until it returns: through Kafka the last lines
// come up to consumer.flushInterval later, and -benchtime should be a multiple.
func post(b *testing.B, addr, form string, batch int, path string, stored func(lines int64)) {
	reqs, lines, size := requests(b, form, batch, path)
	b.SetBytes(size)
	b.SetParallelism(connections)
	b.ReportAllocs()
	b.ResetTimer()
	var n, sent atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		conn, err := wire.Dial(addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close() //nolint:errcheck // every answer was read
		for pb.Next() {
			i := n.Add(1) % int64(len(reqs))
			status, answer, err := conn.Do(reqs[i], 10*time.Second)
			if err != nil || status != 202 {
				b.Errorf("status %d %s, error %v", status, answer, err)
				return
			}
			sent.Add(lines[i])
		}
	})
	began := time.Now()
	answered := b.Elapsed()
	b.StopTimer()
	stored(sent.Load())
	b.ReportMetric(float64(b.N)*float64(batch)/(answered+time.Since(began)).Seconds(), "records/s")
}

// requests renders 64 batches. It returns with each the bytes of its canonical
// lines, and the mean size of a body.
func requests(b *testing.B, form string, batch int, path string) (reqs [][]byte, lines []int64, size int64) {
	f, err := corpus.FormOf(form)
	if err != nil {
		b.Fatal(err)
	}
	for recs := range slices.Chunk(corpus.Records(1, 64*batch, 1), batch) {
		body := f.Append(nil, recs)
		reqs = append(reqs, wire.Render(path, f.ContentType, "", body))
		lines = append(lines, int64(len(corpus.AppendNDJSON(nil, recs))))
		size += int64(len(body))
	}
	return reqs, lines, size / int64(len(reqs))
}

// reportRecords adds how many records went through in a second of wall-clock time.
func reportRecords(b *testing.B, batch int) {
	b.ReportMetric(float64(b.N)*float64(batch)/b.Elapsed().Seconds(), "records/s")
}
