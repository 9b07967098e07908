package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/sink/kafka/kafkatest"
)

// fake is a kfake cluster with one topic of four partitions, for what only kfake
// can do.
func fake(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, *stream) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "logs"), kfake.SeedTopics(1, "logs.dlq"), kfake.SleepOutOfOrder()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, newStream(t, c.ListenAddrs()[0], "logs")
}

func TestConsumer_EveryRecordIsInTheFilesOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	f := func(lines, records, consumers int) {
		t.Helper()
		s, site := newStreamAndSite(t, broker, 4)
		site.cfg.Kafka.Consumers = consumers
		s.put(records, lines, 0, 1, 2, 3)
		r := site.start(t)
		reached(t, s.total(), r)
		s.put(records/10+1, lines, 3, 1)
		reached(t, s.total(), r)
		until(t, "as many records are counted", func() bool {
			return r.metric("logforge_kafka_consumed_records_total") == float64(s.total())
		})
		for _, p := range []string{"0", "1", "2", "3"} {
			if got := r.metric(`logforge_kafka_consumer_lag{partition="` + p + `"}`); got != 0 {
				t.Errorf("lag of partition %s: %v", p, got)
			}
		}
		if err := r.consumer.Ready(); err != nil {
			t.Errorf("not ready: %v", err)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		s.once(site)
	}
	f(1, 500, 1)
	f(100, 200, 2)
	f(5000, 12, 4)
}

func TestConsumer_AStoppedOneLeavesTheGroupAndTheNextGoesOn(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 4))
	group := groupName()
	a, b := newSite(t, s, group), newSite(t, s, group)
	s.put(100, 10, 0, 1, 2, 3)
	ra := a.start(t)
	reached(t, s.total(), ra)
	if err := ra.stop(); err != nil {
		t.Fatal(err)
	}
	s.put(100, 10, 0, 1, 2, 3)
	began := time.Now()
	rb := b.start(t)
	reached(t, 1000, rb)
	if took := time.Since(began); took > b.cfg.Kafka.SessionTimeout {
		t.Errorf("the partitions of the one that stopped were free after %v only", took)
	}
	if err := rb.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(a, b)
}

func TestConsumer_OneToSpareIsReadyAndTakesOver(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 1))
	group := groupName()
	a, b := newSite(t, s, group), newSite(t, s, group)
	ra := a.start(t)
	s.put(20, 5, 0)
	reached(t, s.total(), ra)
	rb := b.start(t)
	both := func() bool { return ra.consumer.Ready() == nil && rb.consumer.Ready() == nil }
	until(t, "both are ready", both)
	s.put(20, 5, 0)
	reached(t, s.total(), ra, rb)
	if err := ra.stop(); err != nil {
		t.Fatal(err)
	}
	s.put(20, 5, 0)
	until(t, "the other one has all", func() bool {
		into := map[int]int{}
		counted(t, rb.files, rb.dir, into)
		for n := range 100 {
			if into[200+n] == 0 {
				return false
			}
		}
		return true
	})
	if err := rb.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(a, b)
}

// Answers to an offset commit that say it failed, whether it was
// applied or not.
func TestConsumer_ACommitThatIsReportedAsFailedLosesAndRepeatsNothing(t *testing.T) {
	f := func(name string, e *kerr.Error) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cluster, s := fake(t)
			site := newSite(t, s, groupName())
			r := site.start(t)
			s.put(20, 5, 0, 1, 2, 3)
			reached(t, s.total(), r)
			for range 5 {
				h := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: e})
				s.put(20, 5, 0, 1, 2, 3)
				until(t, "the fault has struck", func() bool { return h.Hits() > 0 })
				reached(t, s.total(), r)
				h.Remove()
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			s.once(site)
			if n := r.metric(`logforge_kafka_commits_total{result="committed"}`); n == 0 {
				t.Error("no commit was counted")
			}
		})
	}
	f("applied, and then timed out", kerr.RequestTimedOut)
	f("illegal generation", kerr.IllegalGeneration)
	f("unknown member", kerr.UnknownMemberID)
	f("rebalance in progress", kerr.RebalanceInProgress)
	f("coordinator not available", kerr.CoordinatorNotAvailable)
	f("not coordinator", kerr.NotCoordinator)
	f("coordinator loading", kerr.CoordinatorLoadInProgress)
	f("unknown server error", kerr.UnknownServerError)
}

// The connection breaks with a commit on it: it was applied, or it was not.
func TestConsumer_ACommitWithoutAnAnswerIsResolvedByTheNextSession(t *testing.T) {
	f := func(name string, verdict verdict, apply, withinPoll bool) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			cluster, s := fake(t)
			site := newSite(t, s, groupName())
			s.put(20, 5, 0, 1, 2, 3)
			r := site.start(t)
			reached(t, s.total(), r)
			if withinPoll {
				// What waits in four partitions is polled at once, and is more than
				// a transaction takes.
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				site.cfg.Consumer.FlushBytes, site.cfg.Consumer.FlushInterval = 1, time.Second
				s.put(20, 5, 0, 1, 2, 3)
			}
			if apply {
				// Applied at once, answered as something that tells nothing.
				cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RequestTimedOut})
			} else {
				cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
					return nil, errors.New("the connection breaks"), true
				})
			}
			if withinPoll {
				r = site.start(t)
			}
			s.put(20, 5, 0, 1, 2, 3)
			reached(t, s.total(), r)
			if n := r.metric(`logforge_kafka_resolved_total{verdict="` + verdict.String() + `"}`); n < 1 {
				t.Errorf("resolved as %v: %v times", verdict, n)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			s.once(site)
		})
	}
	f("applied", committed, true, false)
	f("lost", dropped, false, false)
	f("applied, in the middle of what was polled", committed, true, true)
	f("lost, in the middle of what was polled", dropped, false, true)
}

// A commit is held up on its way until the consumer has given up on it, joined
// anew, and gone on. Then it arrives.
func TestConsumer_ACommitThatArrivesLateIsRefused(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 4)
	held := make(chan kmsg.Request, 1)
	r := site.start(t, func(c *Consumer) {
		send := c.request
		c.request = func(ctx context.Context, b *kgo.Broker, req kmsg.Request) (kmsg.Response, error) {
			stamp, _ := parseStamp(*req.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Metadata)
			if len(stamp.owners) > 0 && len(held) == 0 { // not where the partitions begin
				held <- req
				return nil, errors.New("no answer comes")
			}
			return send(ctx, b, req)
		}
	})
	s.put(20, 5, 0, 1, 2, 3)
	reached(t, s.total(), r)
	late := <-held
	held <- nil
	resp, err := late.(*kmsg.OffsetCommitRequest).RequestWith(context.Background(), s.client)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range resp.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); !errors.Is(err, kerr.FencedInstanceID) && !errors.Is(err, kerr.UnknownMemberID) {
			t.Errorf("the late commit of partition %d: %v", p.Partition, err)
		}
	}
	s.put(20, 5, 0, 1, 2, 3)
	reached(t, s.total(), r)
	if n := r.metric(`logforge_kafka_resolved_total{verdict="dropped"}`); n != 1 {
		t.Errorf("resolved as dropped: %v times", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
}

func TestConsumer_TheCoordinatorMovesAndBrokersComeAndGo(t *testing.T) {
	cluster, s := fake(t)
	site := newSite(t, s, groupName())
	r := site.start(t)
	for i := range 8 {
		s.put(20, 5, 0, 1, 2, 3)
		if i%2 == 0 {
			cluster.RehashCoordinators()
		} else {
			cluster.ShufflePartitionLeaders()
		}
		reached(t, s.total(), r)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
}

func TestConsumer_GarbageGoesToTheDeadLetterTopicAndTheRestFlows(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 1)
	r := site.start(t)
	s.put(2, 3, 0)

	foreign := func(value []byte) {
		t.Helper()
		if err := s.client.ProduceSync(context.Background(), &kgo.Record{Topic: s.topic, Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	foreign(nil)
	foreign([]byte{})
	foreign([]byte("\n\n"))
	foreign([]byte("not json"))
	s.mu.Lock()
	n := s.next
	s.next += 2
	s.sent[n], s.sent[n+1] = true, true
	s.mu.Unlock()
	foreign([]byte(line(n) + `{"timestamp":"yesterday","path":"/","userAgent":"x"}` + "\n" + line(n+1)))
	foreign([]byte{0xff, 0, 0xfe})
	foreign([]byte(strings.Repeat("x\n", 250)))
	s.put(2, 3, 0)
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)

	type letter struct{ offset, line, field, lines string }
	var got []letter
	for _, rec := range broker.Drain(t, s.topic+".dlq") {
		if headerOf(rec, headerTopic) != s.topic || headerOf(rec, headerPartition) != "0" || headerOf(rec, headerReason) == "" {
			t.Errorf("headers of %q: %v", rec.Key, rec.Headers)
		}
		got = append(got, letter{headerOf(rec, headerOffset), headerOf(rec, headerLine), headerOf(rec, headerField), headerOf(rec, headerLines)})
		switch headerOf(rec, headerOffset) {
		case "5":
			if string(rec.Value) != "not json" {
				t.Errorf("value %q", rec.Value)
			}
		case "6":
			if string(rec.Value) != `{"timestamp":"yesterday","path":"/","userAgent":"x"}` || headerOf(rec, headerLine) != "1" || headerOf(rec, headerField) != "timestamp" {
				t.Errorf("line %q, field %q, value %q", headerOf(rec, headerLine), headerOf(rec, headerField), rec.Value)
			}
		}
	}
	if len(got) != 1+1+1+100 {
		t.Fatalf("%d dead letters: %v", len(got), got)
	}
	if last := got[len(got)-1]; last.lines != "151" || last.line != "99" {
		t.Errorf("the last letter of 250 bad lines: %+v", last)
	}
	if n := r.metric("logforge_kafka_dead_letter_topic_records_total"); n != 103 {
		t.Errorf("%v dead letters counted", n)
	}
}

func TestConsumer_AGroupThatNeverCommittedBeginsWhereItIsTold(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 2))
	s.put(10, 1, 0, 1)
	site := newSite(t, s, groupName())
	site.cfg.Kafka.StartOffset = "latest"
	r := site.start(t)
	until(t, "it consumes", func() bool { return r.consumer.Ready() == nil })
	s.mu.Lock()
	s.sent = map[int]bool{}
	s.mu.Unlock()
	s.put(10, 1, 0, 1)
	reached(t, 10, r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
	for n := range held(t, site) {
		if n < 10 {
			t.Errorf("line %d was there before", n)
		}
	}
}

// Ensure that a session which is fenced while it joins does not end the consumer:
// when the coordinator changes, its own earlier request may have taken its place.
// When that does not end, it does.
func TestConsumer_BeingFencedWhileJoiningIsNoCopiedDirectoryYet(t *testing.T) {
	cluster, s := fake(t)
	site := newSite(t, s, groupName())
	s.put(20, 5, 0, 1, 2, 3)
	fenced := kfake.Fault{Keys: []kmsg.Key{kmsg.SyncGroup}, Err: kerr.FencedInstanceID, TopLevel: true, Count: 3}
	cluster.Fault(fenced)
	r := site.start(t)
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	fenced.Count = -1
	cluster.Fault(fenced)
	r = site.start(t)
	if err := r.wait(); !errors.Is(err, ErrFenced) {
		t.Errorf("Run: %v", err)
	}
}
