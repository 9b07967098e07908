package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
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
)

// BenchmarkIngest is the whole way of a batch: socket, scan, file, answer.
func BenchmarkIngest(b *testing.B) {
	f := func(form string, batch int, ack sink.Ack) {
		b.Run(fmt.Sprintf("mode=v1/format=%s/batch=%d/ack=%s", form, batch, ack), func(b *testing.B) {
			addr := serveV1(b)
			post(b, addr, form, batch, "/logs?ack="+ack.String())
		})
	}
	for _, batch := range []int{1, 100, 1000} {
		for _, form := range []string{"json", "ndjson", "csv"} {
			f(form, batch, sink.Written)
		}
		f("json", batch, sink.Synced)
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

func openFiles(b *testing.B, cfg config.Storage) *sink.Files {
	b.Helper()
	files, err := sink.OpenFiles(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
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

// serveV1 runs version 1 in this process until the benchmark ends, and returns
// its address.
func serveV1(b *testing.B) string {
	b.Helper()
	cfg := settings(b)
	log, set := slog.New(slog.DiscardHandler), metrics.NewSet()
	files := openFiles(b, cfg.Storage)
	summaries := aggregator.New(cfg.Aggregation, cfg.Storage, files, log, set)
	return serve(b, &cfg, files, files.Ready, summaries)
}

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

// post sends b.N batches over several connections; all must be accepted.
func post(b *testing.B, addr, form string, batch int, path string) {
	reqs, size := requests(b, form, batch, path)
	b.SetBytes(size)
	b.SetParallelism(connections)
	b.ReportAllocs()
	b.ResetTimer()
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		conn, err := wire.Dial(addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close() //nolint:errcheck // every answer was read
		for pb.Next() {
			status, answer, err := conn.Do(reqs[n.Add(1)%int64(len(reqs))], 10*time.Second)
			if err != nil || status != 202 {
				b.Errorf("status %d %s, error %v", status, answer, err)
				return
			}
		}
	})
	reportRecords(b, batch)
}

// requests renders 64 batches, and returns them with the mean size of a body.
func requests(b *testing.B, form string, batch int, path string) (reqs [][]byte, size int64) {
	f, err := corpus.FormOf(form)
	if err != nil {
		b.Fatal(err)
	}
	for _, body := range f.Bodies(corpus.Records(1, 64*batch, 1), batch) {
		reqs = append(reqs, wire.Render(path, f.ContentType, "", body))
		size += int64(len(body))
	}
	return reqs, size / int64(len(reqs))
}

// reportRecords adds how many records went through in a second of wall-clock time.
func reportRecords(b *testing.B, batch int) {
	b.ReportMetric(float64(b.N)*float64(batch)/b.Elapsed().Seconds(), "records/s")
}
