package kafka

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"logforge/sink/kafka/kafkatest"
)

func TestConsumer_AGapStopsItUnlessItIsToldToGoOn(t *testing.T) {
	broker := kafkatest.Shared(t)
	ctx := context.Background()
	f := func(name, says string, make func(t *testing.T, admin *kadm.Client, s *stream)) {
		t.Helper()
		for _, onGap := range []string{"stop", "continue"} {
			t.Run(name+", "+onGap, func(t *testing.T) {
				s, site := newStreamAndSite(t, broker, 1)
				site.cfg.Kafka.OnGap = onGap
				s.put(30, 1, 0)
				r := site.start(t)
				reached(t, 30, r)
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				make(t, kadm.NewClient(s.client), s)
				r = site.start(t)
				if onGap == "stop" {
					err := r.wait()
					if !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "kafka.onGap") {
						t.Errorf("Run: %v", err)
					}
					if n := r.metric("logforge_kafka_gaps_total"); n < 1 {
						t.Errorf("%v gaps counted", n)
					}
					if r.consumer.Ready() == nil {
						t.Error("ready")
					}
					return
				}
				s.put(10, 1, 0)
				until(t, "the last line is there", func() bool {
					into := map[int]int{}
					counted(t, r.files, r.dir, into)
					return into[s.next-1] == 1
				})
				if err := r.stop(); err != nil {
					t.Fatal(err)
				}
				for n, count := range held(t, site) {
					if count > 1 {
						t.Errorf("line %d is there %d times", n, count)
					}
				}
			})
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	again := func(t *testing.T, admin *kadm.Client, s *stream) {
		t.Helper()
		s.client.PurgeTopicsFromClient(s.topic)
		remake(t, admin, s.topic)
		fresh := newStream(t, s.addr, s.topic)
		s.client = fresh.client
	}
	f("retention has passed", "20 were removed", func(t *testing.T, admin *kadm.Client, s *stream) {
		s.put(40, 1, 0)
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: s.topic, Partition: 0, At: 50})
		_, err := admin.DeleteRecords(ctx, offsets)
		must(t, err)
	})
	f("the topic was made again", "made again", again)
	f("the topic was made again and has grown", "made again", func(t *testing.T, admin *kadm.Client, s *stream) {
		again(t, admin, s)
		s.put(50, 1, 0)
	})
	f("the group was deleted", "no offset", func(t *testing.T, admin *kadm.Client, s *stream) {
		_, err := admin.DeleteGroup(ctx, group(s))
		must(t, err)
	})
	f("the group was set back", "stored twice", func(t *testing.T, admin *kadm.Client, s *stream) {
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: s.topic, Partition: 0, At: 10, LeaderEpoch: -1})
		_, err := admin.CommitOffsets(ctx, group(s), offsets)
		must(t, err)
	})
}

// group returns the only group that has committed offsets of the stream's topic.
func group(s *stream) string {
	s.t.Helper()
	admin := kadm.NewClient(s.client)
	groups, err := admin.ListGroups(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range groups.Groups() {
		if offsets, err := admin.FetchOffsets(context.Background(), g); err == nil && len(offsets[s.topic]) > 0 {
			return g
		}
	}
	s.t.Fatal("no group has consumed ", s.topic)
	return ""
}

// remake deletes a topic and makes it again, with one partition.
func remake(t *testing.T, admin *kadm.Client, topic string) {
	t.Helper()
	ctx := context.Background()
	id := func() kadm.TopicID {
		topics, err := admin.ListTopics(ctx, topic)
		if err != nil || topics[topic].Err != nil {
			return kadm.TopicID{}
		}
		return topics[topic].ID
	}
	was := id()
	if _, err := admin.DeleteTopic(ctx, topic); err != nil {
		t.Fatal(err)
	}
	until(t, "the topic is made again", func() bool {
		// An error can mean that it is not gone yet, or is there already.
		_, _ = admin.CreateTopic(ctx, 1, 1, nil, topic)
		is := id()
		return is != was && is != kadm.TopicID{}
	})
}

// Ensure that a consumer goes on by itself with a topic that was made again
// while it ran, when it had consumed the old one to its end; and that it stops
// when it had not, because the rest is lost.
func TestConsumer_ATopicMadeAgainUnderItIsGoneOnWithUnlessRecordsAreMissed(t *testing.T) {
	broker := kafkatest.Shared(t)
	for _, all := range []bool{true, false} {
		s, site := newStreamAndSite(t, broker, 1)
		s.put(30, 1, 0)
		r := site.start(t)
		reached(t, 30, r)
		if !all {
			// As if the partition went on behind what was consumed.
			until(t, "a session has the partition", func() bool { return r.consumer.lagBehind(5) })
		}
		remake(t, kadm.NewClient(s.client), s.topic)
		if !all {
			if err := r.wait(); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "made again") {
				t.Errorf("Run: %v", err)
			}
			continue
		}
		s.client.PurgeTopicsFromClient(s.topic)
		s.put(20, 1, 0)
		reached(t, 50, r)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		s.once(site)
	}
}

// lagBehind makes the session under way find that every partition ends n
// records later than it does. It reports whether there was one.
func (c *Consumer) lagBehind(n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.current
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		p.lag.end.Add(n)
	}
	return len(s.parts) > 0
}
