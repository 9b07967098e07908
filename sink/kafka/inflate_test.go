package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink/kafka/kafkatest"
)

// recordsOf makes the inflated form of n records of size bytes: franz-go reads
// more of them, but their number is read off the lengths.
func recordsOf(n, size int) []byte {
	var b []byte
	for range n {
		b = binary.AppendVarint(b, int64(size))
		b = append(b, bytes.Repeat([]byte{'x'}, size)...)
	}
	return b
}

func compressed(t testing.TB, codec kgo.CompressionCodec, plain []byte) ([]byte, kgo.CompressionCodecType) {
	t.Helper()
	c, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	out, as := c.Compress(new(bytes.Buffer), plain)
	return bytes.Clone(out), as
}

var codecs = []kgo.CompressionCodec{kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.GzipCompression(), kgo.ZstdCompression()}

// Ensure that what franz-go compresses is read as it was, by every coding, and
// that the budget is free again afterwards.
func TestInflation_EveryCodingIsReadAsItWasWritten(t *testing.T) {
	full := 0
	f, err := newInflation(1<<20, func() { full++ })
	if err != nil {
		t.Fatal(err)
	}
	for _, codec := range codecs {
		for _, n := range []int{1, 3, 500} {
			plain := recordsOf(n, 1000)
			src, as := compressed(t, codec, plain)
			out, err := f.Decompress(src, as)
			if err != nil || !bytes.Equal(out, plain) {
				t.Errorf("%v, %d bytes: %v", as, len(plain), err)
			}
			if f.used != len(plain)+n*recordCost {
				t.Errorf("%v: %d bytes used for %d records in %d bytes", as, f.used, n, len(plain))
			}
			f.PutDecompressBytes(out)
			if _, err := f.Decompress(src[:len(src)/2], as); err == nil {
				t.Errorf("%v: half of it is read", as)
			}
			if f.used != 0 || len(f.charges) != 0 {
				t.Fatalf("%v: %d bytes still used", as, f.used)
			}
		}
	}
	if full != 0 {
		t.Errorf("%d times full", full)
	}
	// As Java writes it: two blocks.
	xerial := slices.Concat(xerialHeader, make([]byte, 8))
	for _, part := range []string{"hello ", "world"} {
		block := s2.EncodeSnappy(nil, []byte(part))
		xerial = binary.BigEndian.AppendUint32(xerial, uint32(len(block)))
		xerial = append(xerial, block...)
	}
	out, err := f.Decompress(xerial, kgo.CodecSnappy)
	if err != nil || string(out) != "hello world" {
		t.Errorf("%q, %v", out, err)
	}
	f.PutDecompressBytes(out)
	if _, err := f.Decompress(xerial[:len(xerial)-1], kgo.CodecSnappy); err == nil {
		t.Error("a block that is cut short is read")
	}
}

// Ensure that neither bytes nor records of a batch take more than the budget,
// whatever the coding: what fits alone waits, what does not is refused.
func TestInflation_ABatchThatIsTooLargeIsRefusedAndOneWithoutRoomWaits(t *testing.T) {
	const most = 1 << 20
	for _, codec := range codecs {
		full := 0
		f, err := newInflation(most, func() { full++ })
		if err != nil {
			t.Fatal(err)
		}
		tooMany, as := compressed(t, codec, recordsOf(aloneFactor*most/recordCost+1, 1))
		tooLarge, _ := compressed(t, codec, recordsOf(1, most+1))
		for what, src := range map[string][]byte{"bytes": tooLarge, "records": tooMany} {
			if _, err := f.Decompress(src, as); !errors.Is(err, kgo.ErrMaxDecompress) {
				t.Errorf("%v, too many %s: %v", as, what, err)
			}
		}
		fits, _ := compressed(t, codec, recordsOf(1, most*2/3))
		first, err := f.Decompress(fits, as)
		if err != nil {
			t.Fatal(err)
		}
		for _, src := range [][]byte{fits, tooLarge, tooMany} {
			if _, err := f.Decompress(src, as); !errors.Is(err, errInflationFull) {
				t.Errorf("%v, without room: %v", as, err)
			}
		}
		if full != 3 {
			t.Errorf("%v: counted %d times", as, full)
		}
		f.PutDecompressBytes(first)
		if _, err := f.Decompress(fits, as); err != nil {
			t.Errorf("%v, with room again: %v", as, err)
		}
	}
}

// Ensure that less is asked for in one fetch the more memory it takes: by its
// compression, or by the number of its records.
func TestInflation_AFetchAsksForLessTheMoreMemoryItTakes(t *testing.T) {
	f := new(inflation)
	if got := f.fetchBytes(); got != firstFetch {
		t.Errorf("at first: %d", got)
	}
	read := func(wire, inflated, records, times int, want int32) {
		t.Helper()
		for range times {
			f.OnFetchBatchRead(kgo.BrokerMetadata{}, "", 0, kgo.FetchBatchMetrics{CompressedBytes: wire, UncompressedBytes: inflated, NumRecords: records})
		}
		if got := f.fetchBytes(); got < want*9/10 || got > want*11/10 {
			t.Errorf("after %d of %d bytes and %d records in %d: asks for %d, want about %d", times, inflated, records, wire, got, want)
		}
	}
	read(100_000, 1_000_000, 4, 1, fetchMemory/10)
	read(1000, 255_000, 1, 1, fetchMemory/255)
	read(1000, 1_000_000, 1, 1, minFetch)
	read(100_000, 1_000_000, 4, 200, fetchMemory/10) // forgets slowly
	read(1_000_000, 1_000_000, 4, 200, maxFetch)
	read(10_000, 10_000, 1000, 1, fetchMemory*10/266) // ten bytes each
}

// A topic whose every batch inflates a thousandfold is consumed within the
// budget: what has no room waits for its turn, and nothing is lost.
func TestConsumer_ATopicOfHighlyCompressedBatchesIsStoredWithinTheBudget(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 4)
	site.cfg.Consumer.MaxInflatedBytes = 2 << 20
	dense := broker.Client(t, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(2<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer dense.Close()
	blank := strings.Repeat(" ", 1<<20)
	for i := range 40 {
		n := s.next
		s.next++
		s.sent[n] = true
		if err := dense.ProduceSync(context.Background(), &kgo.Record{Topic: s.topic, Partition: int32(i % 4), Value: []byte(blank + line(n))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := site.start(t)
	reached(t, s.total(), r)
	if n := r.metric("logforge_kafka_inflation_waits_total"); n < 1 {
		t.Error("nothing had to wait: the test does not do what it is for")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
}

// A batch that is larger than it may be stops its own partition, and says so;
// the others flow. When it is gone from the topic, that one flows as well.
func TestConsumer_ABombInOnePartitionDoesNotStopTheOthers(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 2)
	site.cfg.Kafka.OnGap = "continue"
	bomb := broker.Client(t, kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(8<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer bomb.Close()
	if err := bomb.ProduceSync(context.Background(), &kgo.Record{Topic: s.topic, Value: bytes.Repeat([]byte(" "), 4<<20)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.put(20, 5, 0, 1)
	r := site.start(t, func(c *Consumer) { c.maxInflated = 1 << 20 })
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
