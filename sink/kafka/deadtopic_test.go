package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// slowly makes every produce to a topic take some time.
func slowly(c *kfake.Cluster, topic string, wait func(*kmsg.ProduceRequest) time.Duration) {
	id := c.TopicInfo(topic).TopicID
	c.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		for _, t := range p.Topics {
			if t.Topic == topic || t.TopicID == id {
				time.Sleep(wait(p))
			}
		}
		return nil, nil, false
	})
}

// flood puts n one-line records of garbage in the topic, and a good line behind
// every hundred.
func flood(t testing.TB, s *stream, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(n+1), kgo.ProducerBatchMaxBytes(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range n {
		client.Produce(context.Background(), &kgo.Record{Topic: s.topic, Partition: int32(i % 2), Value: fmt.Appendf(nil, "garbage %d", i)}, nil)
	}
	if err := client.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// lettersOf counts the dead letters of each key.
func lettersOf(t testing.TB, addr, topic string) (letters map[string]int, total int) {
	t.Helper()
	letters = map[string]int{}
	for _, r := range kafkatest.Drain(t, addr, topic) {
		letters[string(r.Key)]++
		total++
	}
	return letters, total
}

// Ensure that a flood of one-line garbage passes through a dead-letter topic that
// takes 50 ms a write, each line once, and what comes behind it flows.
func TestConsumer_AFloodOfGarbagePassesASlowDeadLetterTopicOnce(t *testing.T) {
	cluster, s := fake(t)
	slowly(cluster, "logs.dlq", func(*kmsg.ProduceRequest) time.Duration { return 50 * time.Millisecond })
	const n = 30_000
	flood(t, s, n)
	site := newSite(t, s, groupName())
	site.cfg.Consumer.FlushInterval = 500 * time.Millisecond
	s.put(20, 5, 0, 1)
	r := site.start(t)
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
	letters, total := lettersOf(t, s.addr, "logs.dlq")
	if len(letters) != n || total != n {
		t.Errorf("%d dead letters of %d lines, for %d", total, len(letters), n)
	}
	if got := r.metric("logforge_kafka_dead_letter_topic_records_total"); got != n {
		t.Errorf("%v counted", got)
	}
}

// Ensure that a dead-letter topic which cannot take in time what one transaction
// holds does not stop the consumer: the transactions become smaller, each that
// comes to its end is progress, and few letters are sent more than once.
func TestConsumer_ADeadLetterTopicThatIsTooSlowForATransactionIsPassed(t *testing.T) {
	cluster, s := fake(t)
	slowly(cluster, "logs.dlq", func(p *kmsg.ProduceRequest) time.Duration {
		size := 0
		for _, t := range p.Topics {
			for _, p := range t.Partitions {
				size += len(p.Records)
			}
		}
		return time.Duration(size) * time.Microsecond * 10 // 100 kB a second
	})
	const n = 2000
	flood(t, s, n)
	site := newSite(t, s, groupName())
	s.put(20, 5, 0, 1)
	r := site.start(t, func(c *Consumer) { c.commitTimeout = 300 * time.Millisecond })
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
	letters, total := lettersOf(t, s.addr, "logs.dlq")
	if len(letters) != n || total > 5*n {
		t.Errorf("%d dead letters of %d lines, for %d", total, len(letters), n)
	}
}

// Ensure that a dead-letter topic with a small max.message.bytes gets every
// letter, and only those shortened that do not fit alone.
func TestConsumer_ADeadLetterTopicThatTakesLittleGetsEveryLetter(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 2))
	admin := adminOf(t, broker.Addr)
	small := "20000"
	if _, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &small}, s.topic+".dlq"); err != nil {
		t.Fatal(err)
	}
	flood(t, s, 1000)
	random := make([]byte, 300_000) // does not compress
	for i, x := 0, uint32(1); i < len(random); i++ {
		x = x*1664525 + 1013904223
		random[i] = 'A' + byte(x>>24)%50
	}
	if err := s.client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topic, Value: random}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	site := newSite(t, s, groupName())
	s.put(20, 5, 0, 1)
	r := site.start(t)
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	truncated := 0
	letters := map[string]bool{}
	for _, rec := range broker.Drain(t, s.topic+".dlq") {
		letters[string(rec.Key)] = true
		if text := headerOf(rec, headerFullSize); text != "" {
			truncated++
			if text != "300000" || !bytes.HasPrefix(random, rec.Value) || len(rec.Value) < 1000 {
				t.Errorf("truncated from %s to %d bytes: %.20q", text, len(rec.Value), rec.Value)
			}
		}
	}
	if len(letters) != 1001 || truncated != 1 {
		t.Errorf("%d letters, %d of them truncated", len(letters), truncated)
	}
}

func rejects(n int) []sink.Rejected {
	var all []sink.Rejected
	for i := range n {
		all = append(all, sink.Rejected{At: time.Date(2026, 2, 9, 15, 0, i%60, 0, time.UTC), From: "192.0.2.1", Route: "/ingest",
			Field: "path", Reason: "is missing", Record: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	return all
}

// Ensure that records which a route has set aside are in the dead-letter topic,
// as they came and with where they came from, when Reject returns.
func TestProducer_RejectedRecordsAreInTheDeadLetterTopicWithTheirHeaders(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	p, set := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	records := rejects(5000)
	records[7].Record, records[7].Bytes = bytes.Repeat([]byte{0xff}, sink.MaxRejectedBytes), 1<<20
	if err := p.Reject(t.Context(), records, sink.Enqueued); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		clear(records[i].Record) // they are the caller's again
	}
	if used := p.used.Load(); used != 0 {
		t.Errorf("%d bytes of the buffer are still used", used)
	}
	got := broker.Drain(t, cfg.Kafka.Topic+".dlq")
	if len(got) != len(records) || counter(set, "logforge_kafka_set_aside_records_total") != "5000" {
		t.Fatalf("%d letters of %d", len(got), len(records))
	}
	for i, r := range got {
		want := fmt.Sprintf(`{"n":%d}`, i)
		if i == 7 {
			want = strings.Repeat("\xff", sink.MaxRejectedBytes)
		}
		if string(r.Value) != want || headerOf(r, headerRoute) != "/ingest" || headerOf(r, headerClient) != "192.0.2.1" ||
			headerOf(r, headerField) != "path" || headerOf(r, headerReason) != "is missing" ||
			headerOf(r, headerAt) != fmt.Sprintf("2026-02-09T15:00:%02dZ", i%60) || (headerOf(r, headerFullSize) == "1048576") != (i == 7) {
			t.Fatalf("letter %d: %.100q %v", i, r.Value, r.Headers)
		}
	}
}

// Ensure that records which cannot be set aside are an error that says so, for
// every reason there is, and that the buffer is free again afterwards.
func TestProducer_RecordsThatCannotBeSetAsideAreAnError(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	cfg.Server.WaitForRoom, cfg.Server.RequestTimeout = 50*time.Millisecond, 300*time.Millisecond
	p, _ := newTestProducer(t, cfg)
	f := func(what string, code *kerr.Error, want error) {
		t.Helper()
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "logs.dlq", Err: code, Count: -1})
		err := p.Reject(t.Context(), rejects(3), sink.Replicated)
		if !errors.Is(err, sink.ErrNotSetAside) || !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
		if code == kerr.NotEnoughReplicas && p.used.Load() == 0 {
			t.Errorf("%s: what is on its way takes no room", what)
		}
		fault.Remove()
		until(t, what+": the room is free", func() bool { return p.used.Load() == 0 })
	}
	f("no right", kerr.TopicAuthorizationFailed, sink.ErrRefused)
	f("too few replicas", kerr.NotEnoughReplicas, sink.ErrUnavailable)
	f("a defect", kerr.InvalidRequest, sink.ErrUnavailable)
	if err := p.Reject(t.Context(), rejects(3), sink.Replicated); err != nil {
		t.Error(err)
	}
	if err := p.Reject(t.Context(), nil, sink.Replicated); err != nil {
		t.Error(err)
	}
	closeProducer(t, p)
	if err := p.Reject(t.Context(), rejects(3), sink.Replicated); !errors.Is(err, sink.ErrNotSetAside) {
		t.Errorf("closed: %v", err)
	}
}

var _ sink.RejectSink = (*Producer)(nil)
