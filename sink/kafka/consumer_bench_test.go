package kafka

// Consumers alone, from a full topic to the files, as a process of their own:
//
//	go test ./sink/kafka -run '^$' -bench Consume -benchtime 1x -count 10
//
// The figure to compare is records per second of the process's own processor
// time, user and system together, start and stop included. Every line is counted
// in the files after the run.

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/bench/corpus"
	"logforge/codec"
	"logforge/config"
	"logforge/sink/hourly"
	"logforge/sink/kafka/kafkatest"
)

func BenchmarkConsume(b *testing.B) {
	for _, c := range []struct {
		compression kgo.CompressionCodec
		name        string
		recordBytes int
	}{
		{kgo.Lz4Compression(), "lz4", 256 << 10},
		{kgo.NoCompression(), "none", 256 << 10},
		{kgo.ZstdCompression(), "zstd", 256 << 10},
		{kgo.SnappyCompression(), "snappy", 256 << 10},
		{kgo.Lz4Compression(), "lz4", 16 << 10},
		{kgo.Lz4Compression(), "lz4", 1},
	} {
		b.Run(fmt.Sprintf("compression=%s/record-bytes=%d", c.name, c.recordBytes), func(b *testing.B) {
			benchConsume(b, c.compression, c.recordBytes)
		})
	}
}

func benchConsume(b *testing.B, compression kgo.CompressionCodec, recordBytes int) {
	const partitions, least = 10, 4_000_000
	broker := kafkatest.Shared(b)
	topic := broker.Topic(b, partitions)
	records, bytes := fillTopic(b, broker, topic, compression, recordBytes, least, partitions)
	s := &stream{t: b, addr: broker.Addr, topic: topic}
	admin := kadm.NewClient(broker.Client(b))
	defer admin.Close()
	ends, err := admin.ListEndOffsets(context.Background(), topic)
	if err != nil {
		b.Fatal(err)
	}
	var end int64
	ends.Each(func(o kadm.ListedOffset) { end += o.Offset })

	var cpu, wall time.Duration
	var rss int64
	for b.Loop() {
		site := newSite(b, s, groupName())
		site.cfg.Consumer = config.Default().Consumer
		began := time.Now()
		p := site.spawn(b)
		until(b, "everything is consumed", func() bool {
			offsets, err := admin.FetchOffsets(context.Background(), site.cfg.Kafka.GroupID)
			var sum int64
			for _, o := range offsets[topic] {
				sum += o.At
			}
			return err == nil && sum == end
		})
		wall += time.Since(began)
		p.terminate()
		usage := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
		cpu += time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		rss = max(rss, usage.Maxrss<<10)
		if got := lines(b, site); got != records {
			b.Fatalf("%d lines in the files, want %d", got, records)
		}
	}
	b.SetBytes(int64(bytes))
	n := float64(records) * float64(b.N)
	b.ReportMetric(n/cpu.Seconds(), "records/cpu-s")
	b.ReportMetric(n/wall.Seconds(), "records/s")
	b.ReportMetric(float64(rss)/(1<<20), "MiB-rss")
	b.ReportMetric(0, "ns/op")
}

// fillTopic puts at least n records of a real access log into the topic, a day's
// log again and again, and returns how many, and their bytes as lines.
func fillTopic(b *testing.B, broker *kafkatest.Broker, topic string, compression kgo.CompressionCodec, recordBytes, n, partitions int) (records, bytes int) {
	b.Helper()
	log, err := accessLog()
	if err != nil {
		b.Fatal(err)
	}
	batch := new(codec.Batch)
	if err := batch.Decode(corpus.AppendNDJSON(nil, log), codec.NDJSON, codec.Limits{}); err != nil {
		b.Fatal(err)
	}
	var values [][]byte
	for _, run := range batch.Runs() {
		for text := batch.Lines(run); len(text) > 0; {
			n := wholeLines(text, recordBytes)
			values = append(values, text[:n])
			text = text[n:]
		}
	}
	client := broker.Client(b, kgo.ProducerBatchCompression(compression), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(1<<20), kgo.MaxBufferedBytes(64<<20), kgo.ProducerLinger(5*time.Millisecond))
	defer client.Close()
	for i := 0; records < n; {
		for _, v := range values {
			client.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: v}, func(_ *kgo.Record, err error) {
				if err != nil {
					b.Error(err)
				}
			})
			i++
			bytes += len(v)
		}
		records += batch.Records()
	}
	if err := client.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	return records, bytes
}

// lines counts the lines that count in the site's files.
func lines(b *testing.B, s *site) (n int) {
	b.Helper()
	files, _ := s.files(b)
	defer files.Close()
	for _, e := range files.Extents() {
		h, length := e.Hour, e.Length
		file, err := os.Open(filepath.Join(s.cfg.Storage.LogsDir, hourly.Path(h)))
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 1<<20)
		r := io.LimitReader(file, length)
		for {
			got, err := r.Read(buf)
			n += countLines(buf[:got])
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		file.Close()
	}
	return n
}
