package kafka

// The producer against a real broker, without HTTP before it:
//
//	go test ./sink/kafka -run '^$' -bench Producer -benchtime 3s
//
// Beside records per second it reports the processor seconds that a million
// records cost this process and the broker, and how many lines share a Kafka
// record. BenchmarkWall produces the same bytes with franz-go alone: the whole
// batch as one record a request, and one line a record.

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/bench/corpus"
	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// connections is how many requests are under way together.
const connections = 64

var accessLog = sync.OnceValues(func() ([]corpus.Record, error) {
	return corpus.OpenAccessLog("../../bench/testdata/access.log.gz")
})

// benchBatches splits a real access log into batches of n records.
func benchBatches(b *testing.B, n int) []*codec.Batch {
	records, err := accessLog()
	if err != nil {
		b.Fatal(err)
	}
	var batches []*codec.Batch
	for len(records) >= n && len(batches) < 2000 {
		batch := new(codec.Batch)
		if err := batch.Decode(corpus.AppendNDJSON(nil, records[:n]), codec.NDJSON, codec.Limits{}); err != nil {
			b.Fatal(err)
		}
		batches = append(batches, batch)
		records = records[n:]
	}
	return batches
}

// measure calls write with the batches in turn, from all connections, b.N
// times in all, and reports what it cost.
func measure(b *testing.B, broker *kafkatest.Broker, batches []*codec.Batch, n int, write func(*codec.Batch) error) {
	var turn atomic.Int64
	var wg sync.WaitGroup
	brokerBefore, noBroker := broker.CPU()
	before := cpu()
	b.ResetTimer()
	for range connections {
		wg.Go(func() {
			for {
				i := turn.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := write(batches[i%int64(len(batches))]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	records := float64(b.N * n)
	b.ReportMetric(records/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric((cpu()-before).Seconds()/records*1e6, "cpu-s/Mrec")
	if brokerAfter, err := broker.CPU(); err == nil && noBroker == nil {
		b.ReportMetric((brokerAfter-brokerBefore).Seconds()/records*1e6, "broker-cpu-s/Mrec")
	}
}

// cpu is the processor time this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkProducer(b *testing.B) {
	broker := kafkatest.Shared(b)
	for _, n := range []int{1, 100, 1000} {
		batches := benchBatches(b, n)
		for _, compression := range []string{"none", "lz4", "snappy", "zstd"} {
			for _, recordBytes := range []config.Bytes{1, 256 * config.KiB} {
				for _, ack := range []sink.Ack{sink.Replicated, sink.Enqueued} {
					name := fmt.Sprintf("batch=%d/compression=%s/recordBytes=%s/ack=%s", n, compression, recordBytes, ack)
					b.Run(name, func(b *testing.B) {
						cfg := testConfig(b, broker.Addr, broker.TopicName(b))
						cfg.Kafka.Partitions = 10
						cfg.Kafka.Compression, cfg.Kafka.RecordBytes = compression, recordBytes
						cfg.Server.WaitForRoom = time.Minute
						p, set := newTestProducer(b, cfg)
						measure(b, broker, batches, n, func(batch *codec.Batch) error {
							return p.Write(context.Background(), batch, ack)
						})
						b.StartTimer() // the rest of what was enqueued
						closeProducer(b, p)
						b.StopTimer()
						lines := set.GetOrCreateCounter("logforge_kafka_produced_lines_total").Get()
						records := set.GetOrCreateCounter("logforge_kafka_produced_records_total").Get()
						b.ReportMetric(float64(lines)/float64(records), "lines/krec")
						wire := set.GetOrCreateCounter("logforge_kafka_produced_compressed_bytes_total").Get()
						b.ReportMetric(float64(wire)/float64(lines), "wire-B/rec")
					})
				}
			}
		}
	}
}

func BenchmarkWall(b *testing.B) {
	broker := kafkatest.Shared(b)
	for _, n := range []int{1, 100, 1000} {
		batches := benchBatches(b, n)
		for _, compression := range []string{"none", "lz4"} {
			for _, unit := range []string{"batch", "line"} {
				b.Run(fmt.Sprintf("batch=%d/compression=%s/record=%s", n, compression, unit), func(b *testing.B) {
					cfg := testConfig(b, broker.Addr, broker.TopicName(b))
					cfg.Kafka.Partitions = 10
					cfg.Kafka.Compression = compression
					opts, err := producerOptions(cfg, func(string) int32 { return batchBytes })
					if err != nil {
						b.Fatal(err)
					}
					client, err := newClient(cfg.Kafka, topicNeeds{}, quietLog(), metrics.NewSet(),
						append(opts, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))...)
					if err != nil {
						b.Fatal(err)
					}
					defer client.close()
					if err := client.await(b.Context()); err != nil {
						b.Fatal(err)
					}
					measure(b, broker, batches, n, func(batch *codec.Batch) error {
						var records []*kgo.Record
						for _, run := range batch.Runs() {
							lines := [][]byte{batch.Lines(run)}
							if unit == "line" {
								lines = bytes.SplitAfter(lines[0], newline)
								lines = lines[:len(lines)-1]
							}
							for _, line := range lines {
								records = append(records, &kgo.Record{Value: line})
							}
						}
						return client.ProduceSync(context.Background(), records...).FirstErr()
					})
				})
			}
		}
	}
}
