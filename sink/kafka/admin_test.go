package kafka

// What administrators do to a topic and to a cluster while everything runs, on
// real brokers.

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// storedOnce waits until every acknowledged line of o is in the files of r, and
// then checks that each is there once.
func storedOnce(t *testing.T, o *oracle, r *running) {
	t.Helper()
	until(t, "every acknowledged line is in the files", func() bool {
		select {
		case <-r.done:
			t.Fatalf("the consumer has ended: %v", r.err)
		default:
		}
		return len(missingLines(o, countFiles(t, r.dir))) == 0
	})
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for n, count := range countFiles(t, r.dir) {
		if count > 1 {
			t.Errorf("line %d is there %d times", n, count)
		}
	}
}

// consume starts a consumer of the configuration's topic.
func consume(t *testing.T, cfg *config.Config) *running {
	t.Helper()
	s := &site{*cfg}
	s.cfg.Kafka.GroupID, s.cfg.Consumer.FlushInterval = groupName(), 20*time.Millisecond
	s.cfg.Kafka.SessionTimeout, s.cfg.Kafka.RebalanceTimeout = 6*time.Second, 10*time.Second
	s.cfg.Storage.LogsDir = filepath.Join(t.TempDir(), "logs")
	return s.start(t)
}

// Ensure that partitions which are added while everything runs are used, and that
// what they get is stored, by a consumer of the topic that has been running.
func TestTopics_PartitionsThatAreAddedAreUsedAtOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := topicWith(t, broker, 1, nil)
	cfg.Kafka.Partitions = 1
	p, _ := newTestProducer(t, cfg)
	r := consume(t, cfg)
	o := newOracle()
	if err := o.write(t.Context(), t, p, sink.Replicated, 10, 1, 100); err != nil {
		t.Fatal(err)
	}
	admin := adminOf(t, broker.Addr)
	if _, err := admin.CreatePartitions(t.Context(), 3, cfg.Kafka.Topic); err != nil {
		t.Fatal(err)
	}
	until(t, "each of four partitions has got something", func() bool {
		if err := o.write(t.Context(), t, p, sink.Replicated, 10, 1, 100); err != nil {
			t.Error(err)
		}
		ends, err := admin.ListEndOffsets(t.Context(), cfg.Kafka.Topic)
		used := 0
		ends.Each(func(e kadm.ListedOffset) {
			if e.Offset > 0 {
				used++
			}
		})
		return err == nil && used == 4
	})
	closeProducer(t, p)
	storedOnce(t, o, r)
}

// Ensure that settings which change what a record looks like to a consumer change
// nothing about what is stored.
func TestTopics_TimestampsAndCompressionOfTheirOwnChangeNothing(t *testing.T) {
	broker := kafkatest.Shared(t)
	for _, compression := range []string{"gzip", "lz4", "zstd", "snappy", "uncompressed"} {
		cfg := topicWith(t, broker, 2, map[string]string{"message.timestamp.type": "LogAppendTime", "compression.type": compression})
		p, _ := newTestProducer(t, cfg)
		r := consume(t, cfg)
		o := newOracle()
		for range 20 {
			if err := o.write(t.Context(), t, p, sink.Replicated, 20, 3, 200); err != nil {
				t.Fatal(err)
			}
		}
		closeProducer(t, p)
		storedOnce(t, o, r)
	}
}

// Ensure that whatever another program puts into the topic is either a line or a
// dead letter, and that lines around it are stored.
func TestConsumer_RecordsOfAnotherProgramAreLinesOrDeadLetters(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 1)
	r := site.start(t)
	header := []kgo.RecordHeader{{Key: "hour", Value: []byte("not an hour")}, {Key: "logforge-id", Value: []byte{0xff, 0}}, {Key: "", Value: nil}}
	foreign := []*kgo.Record{
		{Key: []byte("tombstone")},
		{Value: []byte{}, Headers: header},
		{Value: []byte("<165>1 2026-02-09T15:00:00Z host app - - - syslog")},
		{Value: []byte("\x00\x00\x00\x00\x07avro with a schema id")},
		{Value: []byte{0x0a, 0x03, 0x08, 0x96, 0x01}},
		{Value: []byte(`[{"timestamp":"2026-02-09T15:00:00Z","path":"/array","userAgent":"x"}]`)},
		{Value: []byte(`{"timestamp":"2026-02-09T15:00:00Z","path":"","userAgent":"x"}`)},
		{Value: []byte(`{"timestamp":1770649200,"path":"/number","userAgent":"x"}`)},
		{Value: []byte(`"a string"`)}, {Value: []byte("null")}, {Value: []byte("{")}, {Value: []byte("\x1b[31mred\x1b[0m\x07\u202e")},
		{Value: bytes.Repeat([]byte{0}, 10_000)}, {Value: bytes.Repeat([]byte("["), 100_000)},
	}
	for _, f := range foreign {
		f.Topic, f.Partition = s.topic, 0
		s.put(1, 2, 0)
		if err := s.client.ProduceSync(t.Context(), f).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// Lines with a key, headers and a time of its own are lines.
	s.mu.Lock()
	n := s.next
	s.next++
	s.sent[n] = true
	s.mu.Unlock()
	if err := s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topic, Key: []byte{0xff}, Headers: header, Value: []byte(line(n)), Timestamp: time.UnixMilli(1)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
	if n := len(broker.Drain(t, s.topic+".dlq")); n != len(foreign)-2 {
		t.Errorf("%d dead letters of %d records, two of which have no value", n, len(foreign))
	}
}

// Ensure that records which are removed before a running consumer has them are
// named with their number and counted, and that the consumer goes on only where
// it was told to.
func TestConsumer_RecordsRemovedUnderItAreNamedAndCounted(t *testing.T) {
	broker := kafkatest.Shared(t)
	for _, onGap := range []string{"stop", "continue"} {
		s, site := newStreamAndSite(t, broker, 1)
		site.cfg.Kafka.OnGap = onGap
		s.put(10, 1, 0)
		end := int64(10)
		p := site.spawn(t)
		admin := adminOf(t, broker.Addr)
		consumed := func() bool {
			offsets, err := admin.FetchOffsets(context.Background(), site.cfg.Kafka.GroupID)
			at, ok := offsets.Lookup(s.topic, 0)
			return err == nil && ok && at.At == end
		}
		until(t, "all is consumed", consumed)
		p.signal(syscall.SIGSTOP)
		// More than an answer may hold that is on its way already: 6 MB.
		const lines = 1300
		for range 6 {
			s.put(10, lines, 0)
		}
		end += 60
		removeBefore(t, admin, s.topic, end-2)
		p.signal(syscall.SIGCONT)
		if onGap == "continue" {
			until(t, "it has gone on to the end", func() bool { return consumed() || p.ended() })
		} else {
			until(t, "it has stopped", p.ended)
		}
		words := p.words()
		if !strings.Contains(words, "removed before they were consumed") || !strings.Contains(words, s.topic) {
			t.Errorf("%s: it says:\n%s", onGap, words)
		}
		if onGap == "continue" {
			p.terminate() // not in the middle of a transaction, which another start would have to resolve
		}
		have := held(t, site)
		for n, count := range have {
			if count > 1 {
				t.Errorf("line %d is there %d times", n, count)
			}
		}
		if onGap == "continue" {
			for n := s.next - 2*lines; n < s.next; n++ {
				if have[n] != 1 {
					t.Errorf("line %d behind the gap is there %d times", n, have[n])
				}
			}
		}
	}
}

// Ensure that a partition which lost records that the consumer has, as after an
// unclean election of its leader, stops the consumer, which says so and counts it.
func TestConsumer_ALogThatWasTruncatedUnderItIsAGap(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "logs", "logs.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := newStream(t, cluster.ListenAddrs()[0], "logs")
	site := newSite(t, s, groupName())
	s.put(10, 1, 0)
	r := site.start(t)
	reached(t, 10, r)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange, Count: -1})
	if err := r.wait(); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "kafka.onGap") {
		t.Errorf("Run: %v", err)
	}
	if n := r.metric("logforge_kafka_gaps_total"); n < 1 {
		t.Errorf("%v gaps counted", n)
	}
}

// Ensure that records which are gone when the consumer begins are counted.
func TestConsumer_RecordsThatAreGoneWhenItBeginsAreCounted(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 1)
	storedBefore(t, s, site, 10)
	s.put(20, 1, 0)
	removeBefore(t, adminOf(t, broker.Addr), s.topic, 25)
	r := site.start(t)
	if err := r.wait(); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "15 were removed") {
		t.Errorf("Run: %v", err)
	}
	if n := r.metric("logforge_kafka_gap_records_total"); n != 15 {
		t.Errorf("%v records counted", n)
	}
}

// Ensure that a cluster whose brokers can be reached at first, and then give
// addresses at which nobody answers, is not ready, and says which address.
func TestProducer_AdvertisedAddressesThatNobodyAnswersAreNamed(t *testing.T) {
	broker := kafkatest.Own(t, "advertised.listeners=PLAINTEXT://127.0.0.1:9")
	cfg := testConfig(t, broker.Addr, "logs")
	cfg.Server.WaitForRoom, cfg.Server.RequestTimeout = 50*time.Millisecond, time.Second
	p, err := NewProducer(cfg, sink.Replicated, quietLog(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it is not ready, and names the address", func() bool {
		err := p.Ready()
		return errors.Is(err, sink.ErrUnavailable) && strings.Contains(err.Error(), "127.0.0.1:9")
	})
	if err := newOracle().write(t.Context(), t, p, sink.Replicated, 1, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a batch: %v", err)
	}
	closeProducer(t, p)
}
