package hourly

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

// BenchmarkWrite is one batch from the caller to the operating system. impl=first
// is the first design's way: the file opened for every batch. impl=raw is the
// wall: one write to a file that is open.
func BenchmarkWrite(b *testing.B) {
	for _, records := range []int{1, 100, 1000} {
		batch := batch(b, strings.Repeat(line(1, 1), records))
		text := batch.Lines(batch.Runs()[0])
		name := func(impl string) string { return fmt.Sprintf("impl=%s/batch=%d", impl, records) }
		size := func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
		}
		b.Run(name("files"), func(b *testing.B) {
			f := openReal(b)
			size(b)
			for b.Loop() {
				if err := f.Write(b.Context(), batch, sink.Written); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name("files")+"/writers=16", func(b *testing.B) {
			f := openReal(b)
			size(b)
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := f.Write(b.Context(), batch, sink.Written); err != nil {
						b.Error(err)
					}
				}
			})
		})
		b.Run(name("raw"), func(b *testing.B) {
			file, err := os.OpenFile(b.TempDir()+"/raw", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				b.Fatal(err)
			}
			size(b)
			for b.Loop() {
				if _, err := file.Write(text); err != nil {
					b.Fatal(err)
				}
			}
			if err := file.Close(); err != nil {
				b.Fatal(err)
			}
		})
		b.Run(name("first"), func(b *testing.B) {
			path := b.TempDir() + "/first"
			size(b)
			for b.Loop() {
				file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := file.Write(text); err != nil {
					b.Fatal(err)
				}
				if err := file.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSync is a batch on disk, alone and shared.
func BenchmarkSync(b *testing.B) {
	batch := batch(b, strings.Repeat(line(1, 1), 100))
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			f := openReal(b)
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := f.Write(b.Context(), batch, sink.Synced); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func openReal(b testing.TB) *Files {
	cfg := testConfig()
	cfg.LogsDir = b.TempDir()
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := f.Close(); err != nil {
			b.Error(err)
		}
	})
	return f
}
