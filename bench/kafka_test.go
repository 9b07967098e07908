package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/aggregator"
	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
	"logforge/sink/kafka"
	"logforge/sink/kafka/kafkatest"
)

// TestMain stops the broker that version 2's benchmarks started, if they did.
func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }

// throughKafka adds a topic and a group of the benchmark's own to the settings.
func throughKafka(b *testing.B) config.Config {
	b.Helper()
	cfg := settings(b)
	broker := kafkatest.Shared(b)
	cfg.Pipeline = 2
	cfg.Kafka.Brokers = []string{broker.Addr}
	cfg.Kafka.Topic = broker.Topic(b, 10)
	cfg.Kafka.GroupID = cfg.Kafka.Topic
	return cfg
}

func openProducer(b *testing.B, cfg *config.Config) *kafka.Producer {
	b.Helper()
	p, err := kafka.NewProducer(cfg, sink.Replicated, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	return p
}

// consume runs the consumers until stop is called.
func consume(b *testing.B, cfg config.Config, files *hourly.Files) (stop func()) {
	b.Helper()
	c, err := kafka.NewConsumer(cfg.Kafka, cfg.Consumer, cfg.Ingestion, files, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil && ctx.Err() == nil {
			b.Error(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// await returns once the files' committed lengths together are that long.
func await(b *testing.B, files *hourly.Files, bytes int64) {
	b.Helper()
	deadline := time.After(2 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var got int64
		for _, e := range files.Extents() {
			n := e.Length
			got += n
		}
		switch {
		case got == bytes:
			return
		case got > bytes:
			b.Fatalf("%d bytes in the files, want %d", got, bytes)
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.Fatalf("%d of %d bytes in the files", got, bytes)
		}
	}
}

// ingestV2 is the whole way through Kafka, by one process that produces and
// consumes.
func ingestV2(b *testing.B, form string, batch int, ack sink.Ack) {
	cfg := throughKafka(b)
	files := openFiles(b, cfg.Storage)
	stop := consume(b, cfg, files)
	b.Cleanup(stop)
	producer := openProducer(b, &cfg)
	summaries, err := aggregator.Open(cfg.Aggregation, cfg.Storage.AnalyticsDir, files, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := summaries.Close(); err != nil {
			b.Error(err)
		}
	})
	addr := serve(b, &cfg, producer, producer.Ready, summaries)
	post(b, addr, form, batch, "/logs?ack="+ack.String(), func(lines int64) { await(b, files, lines) })
}

// BenchmarkProduce is the second stage of version 2 alone: batches into Kafka,
// by writers who share Kafka records.
func BenchmarkProduce(b *testing.B) {
	for _, batch := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("ack=replicated/batch=%d/writers=64", batch), func(b *testing.B) {
			cfg := throughKafka(b)
			p := openProducer(b, &cfg)
			batches := decoded(b, batch, 1)
			b.SetBytes(totalLen(batches) / int64(len(batches)))
			b.ReportAllocs()
			b.ResetTimer()
			spread(b, 64, func(n int) error {
				return p.Write(context.Background(), batches[n%len(batches)], sink.Replicated)
			})
			reportRecords(b, batch)
		})
	}
}

// BenchmarkConsume is version 2's consumers alone: a full topic into files, the
// time to join the group included.
func BenchmarkConsume(b *testing.B) {
	const batch, records = 1000, 640_000
	cfg := throughKafka(b)
	p := openProducer(b, &cfg)
	batches := decoded(b, batch, 1)
	for n := range records / batch {
		if err := p.Write(context.Background(), batches[n%len(batches)], sink.Replicated); err != nil {
			b.Fatal(err)
		}
	}
	bytes := totalLen(batches) * (records / batch) / int64(len(batches)) // whole rounds of all batches
	dir := b.TempDir()
	b.SetBytes(bytes)
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		cfg.Kafka.GroupID = fmt.Sprintf("%s-%d", cfg.Kafka.Topic, n)
		cfg.Storage.LogsDir = filepath.Join(dir, cfg.Kafka.GroupID)
		files, err := hourly.Open(cfg.Storage, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		stop := consume(b, cfg, files)
		await(b, files, bytes)
		b.StopTimer()
		stop()
		if err := files.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(cfg.Storage.LogsDir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	reportRecords(b, records)
}

// totalLen is the length of all the batches' lines together.
func totalLen(batches []*codec.Batch) (n int64) {
	for _, d := range batches {
		n += int64(d.Len())
	}
	return n
}
