package kafka

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink/kafka/kafkatest"
)

func TestAFetchAsksForLessTheBetterItIsCompressed(t *testing.T) {
	f := &inflation{most: maxInflated}
	if got := f.fetch(); got != firstFetch {
		t.Errorf("at first: %d", got)
	}
	read := func(compressed, inflated, times int, want int32) {
		t.Helper()
		for range times {
			f.OnFetchBatchRead(kgo.BrokerMetadata{}, "", 0, kgo.FetchBatchMetrics{CompressedBytes: compressed, UncompressedBytes: inflated, CompressionType: 3})
		}
		if got := f.fetch(); got < want*9/10 || got > want*11/10 {
			t.Errorf("after %d of %d in %d bytes: asks for %d, want about %d", times, inflated, compressed, got, want)
		}
		if b := f.GetDecompressBytes(make([]byte, compressed), kgo.CodecLz4); cap(b) < min(inflated, f.most) {
			t.Errorf("a buffer of %d bytes for a batch of %d", cap(b), inflated)
		}
	}
	read(100_000, 1_000_000, 1, fetchInflated/10)
	read(1000, 255_000, 1, fetchInflated/255)
	read(1000, 1_000_000, 1, minFetch)
	read(100_000, 1_000_000, 200, fetchInflated/10) // forgets slowly
	read(1_000_000, 1_000_000, 200, maxFetch)
}

// A batch that is larger than it may be stops its own partition, and says so;
// the others flow. When it is gone from the topic, that one flows as well.
func TestABombInOnePartitionDoesNotStopTheOthers(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 2))
	site := newSite(t, s, groupName())
	site.cfg.Kafka.OnGap = "continue"
	bomb := broker.Client(t, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer bomb.Close()
	if err := bomb.ProduceSync(context.Background(), &kgo.Record{Topic: s.topic, Value: bytes.Repeat([]byte(" "), 4<<20)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.put(20, 5, 0, 1)
	r := site.start(t, func(c *Consumer) { c.inflation.most = 1 << 20 })
	reached(t, 50, r)
	until(t, "it says why", func() bool {
		err := r.consumer.Ready()
		return err != nil && strings.Contains(err.Error(), "partition 0") && strings.Contains(err.Error(), "decompress")
	})
	s.put(20, 5, 1)
	reached(t, 150, r)
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: s.topic, Partition: 0, At: 1})
	if _, err := kadm.NewClient(s.client).DeleteRecords(context.Background(), offsets); err != nil {
		t.Fatal(err)
	}
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
}
