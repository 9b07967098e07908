package kafka

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// Concurrent requests of every size, over several hours, at both levels, with
// each compression and record size.
func TestProducer_EveryAcknowledgedLineIsInTheTopicOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	f := func(compression string, recordBytes config.Bytes, requireAll bool) {
		t.Helper()
		cfg := testConfig(t, broker.Addr, broker.TopicName(t))
		cfg.Kafka.Compression, cfg.Kafka.RecordBytes, cfg.Kafka.RequireAllAcks = compression, recordBytes, requireAll
		p, set := newTestProducer(t, cfg)
		o := newOracle()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 12 {
					ack := sink.Replicated
					if w%2 == 0 || !requireAll {
						ack = sink.Enqueued
					}
					if err := o.write(ctx, t, p, ack, []int{1, 10, 300}[i%3], 1+i%4, 120); err != nil {
						t.Errorf("%s, %s a record: %v", compression, recordBytes, err)
					}
				}
			})
		}
		wg.Wait()
		// Each group goes to any partition. On a slow machine all of these writes make
		// few groups: more are written until every partition has had its turn.
		admin, ack := adminOf(t, broker.Addr), sink.Replicated
		if !requireAll {
			ack = sink.Enqueued
		}
		until(t, "every partition is used", func() bool {
			if err := o.write(ctx, t, p, ack, 1, 1, 120); err != nil {
				t.Errorf("%s, %s a record: %v", compression, recordBytes, err)
			}
			ends, err := admin.ListEndOffsets(ctx, cfg.Kafka.Topic)
			used := 0
			ends.Each(func(o kadm.ListedOffset) {
				if o.Offset > 0 {
					used++
				}
			})
			return err == nil && used == cfg.Kafka.Partitions
		})
		closeProducer(t, p)
		if used := p.used.Load(); used != 0 {
			t.Errorf("%d bytes of room are not given back", used)
		}
		records := broker.Drain(t, cfg.Kafka.Topic)
		o.check(t, records)
		lines, partitions := 0, map[int32]bool{}
		for _, r := range records {
			partitions[r.Partition] = true
			n := strings.Count(strings.TrimSuffix(string(r.Value), "\n"), "\n") + 1
			lines += n
			if len(r.Value) > int(recordBytes) && n > 1 {
				t.Errorf("a record of %d lines has %d bytes, more than %d", n, len(r.Value), recordBytes)
			}
			if n == 1 && strings.HasSuffix(string(r.Value), "\n") {
				t.Error("a record of one line ends in a newline")
			}
		}
		if got := int(set.GetOrCreateCounter("logforge_kafka_produced_lines_total").Get()); got != lines {
			t.Errorf("counted %d lines, the topic has %d", got, lines)
		}
		if got := int(set.GetOrCreateCounter("logforge_kafka_produced_records_total").Get()); got != len(records) {
			t.Errorf("counted %d records, the topic has %d", got, len(records))
		}
		if len(partitions) != cfg.Kafka.Partitions {
			t.Errorf("only partitions %v were used", partitions)
		}
	}
	f("none", 256*config.KiB, true)
	f("lz4", 256*config.KiB, true)
	f("snappy", 4*config.KiB, true)
	f("zstd", 1, true)
	f("none", 1, false)
}

func TestProducer_LevelsThatCannotBeGivenAreRefused(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	cfg.Kafka.RequireAllAcks = false
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	b, _ := newOracle().batch(t, 1, 1, 0)
	defer codec.PutBatch(b)
	for _, ack := range []sink.Ack{sink.Written, sink.Synced, sink.Replicated, sink.Default} {
		if err := p.Write(context.Background(), b, ack); !errors.Is(err, sink.ErrAck) {
			t.Errorf("%q with requireAllAcks false: %v", ack, err)
		}
	}
}

func TestProducer_ABatchAfterCloseIsRefused(t *testing.T) {
	broker := kafkatest.Shared(t)
	p, _ := newTestProducer(t, testConfig(t, broker.Addr, broker.TopicName(t)))
	closeProducer(t, p)
	b, _ := newOracle().batch(t, 1, 1, 0)
	defer codec.PutBatch(b)
	p.client.probed(nil) // as if it were still there
	if err := p.Write(context.Background(), b, sink.Replicated); !errors.Is(err, sink.ErrClosed) {
		t.Error(err)
	}
}

// The lines of requests that arrive while others are on their way share Kafka
// records; no request waits for a timer.
func TestProducer_SmallConcurrentRequestsShareRecords(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 20 {
				if err := o.write(context.Background(), t, p, sink.Replicated, 1, 1, 150); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	closeProducer(t, p)
	records := broker.Drain(t, cfg.Kafka.Topic)
	o.check(t, records)
	if len(records) > 64*20/4 {
		t.Errorf("%d requests of one line became %d records", 64*20, len(records))
	}
}

func TestProducer_ALineLongerThanARecordIsARecord(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	for _, size := range []int{100, 300 << 10, 100, 1 << 20} {
		if err := o.write(context.Background(), t, p, sink.Replicated, 2, 1, size); err != nil {
			t.Errorf("lines of %d bytes: %v", size, err)
		}
	}
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
}
