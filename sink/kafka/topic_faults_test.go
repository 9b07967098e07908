package kafka

// Topics as an administrator made them, and as they are changed while everything
// runs.

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// topicWith makes a topic with these settings, and a configuration for it.
func topicWith(t testing.TB, broker *kafkatest.Broker, partitions int, settings map[string]string) *config.Config {
	t.Helper()
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	admin := adminOf(t, broker.Addr)
	values := map[string]*string{}
	for key, value := range settings {
		values[key] = &value
	}
	if _, err := admin.CreateTopic(t.Context(), int32(partitions), 1, values, cfg.Kafka.Topic); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func adminOf(t testing.TB, addr string) *kadm.Client {
	t.Helper()
	cfg := testConfig(t, addr, "logs")
	c, err := newClient(cfg.Kafka, topicNeeds{}, quietLog(), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return kadm.NewClient(c.Client)
}

func alter(t testing.TB, admin *kadm.Client, topic, key, value string) {
	t.Helper()
	_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
}

func removeBefore(t testing.TB, admin *kadm.Client, topic string, offset int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: offset})
	if _, err := admin.DeleteRecords(t.Context(), offsets); err != nil {
		t.Fatal(err)
	}
}

// writeOn writes batches from many writers until stop is called.
func writeOn(t testing.TB, p *Producer, o *oracle, writers int, ack sink.Ack, write func(w int) (n, hours, size int)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for ctx.Err() == nil {
				n, hours, size := write(w)
				wait, done := context.WithTimeout(context.Background(), 20*time.Second)
				if err := o.write(wait, t, p, ack, n, hours, size); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				done()
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// Ensure that a topic with Kafka's default max.message.bytes takes everything
// that the endpoint accepts, from small batches and large ones side by side, stored
// once; and so does one whose limit is lowered and raised while it is used.
func TestProducer_ATopicThatTakesSmallBatchesOnlyGetsEverythingOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	for _, recordBytes := range []config.Bytes{256 * config.KiB, 1} {
		cfg := topicWith(t, broker, 2, map[string]string{"max.message.bytes": "1048588"})
		cfg.Kafka.RecordBytes, cfg.Kafka.Compression = recordBytes, "none"
		cfg.Server.WaitForRoom = 20 * time.Second
		admin := adminOf(t, broker.Addr)
		p, _ := newTestProducer(t, cfg)
		o := newOracle()
		stop := writeOn(t, p, o, 6, sink.Replicated, func(w int) (int, int, int) {
			if w == 0 {
				return 12, 1, 250_000 // nearly the largest lines that there may be
			}
			return 50, 2, 200
		})
		for _, limit := range []string{"400000", "1048588", "300000", "2000000"} {
			time.Sleep(300 * time.Millisecond) // some load in between; nothing depends on how much
			alter(t, admin, cfg.Kafka.Topic, "max.message.bytes", limit)
		}
		stop()
		if err := p.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		closeProducer(t, p)
		o.check(t, broker.Drain(t, cfg.Kafka.Topic))
	}
}

// Ensure that a batch which was refused for its size is sent again, although
// others that were on their way with it have been refused before, and the
// producer has learned from them that smaller ones are needed.
func TestProducer_RefusalsOfWhatWasSentBeforeTheLimitFellAreNotTheLast(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := topicWith(t, broker, 1, map[string]string{"max.message.bytes": "1048588"})
	p, _ := newTestProducer(t, cfg)
	until(t, "the topic is read", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.topicRead.id != topicID{} })

	p.mu.Lock()
	p.inFlight += 5 // nothing is renewed as long as they have no outcome
	p.mu.Unlock()
	alter(t, adminOf(t, broker.Addr), cfg.Kafka.Topic, "max.message.bytes", "400000")
	for i := range 5 {
		p.mu.Lock()
		again := p.sendsAgain(&chunk{p: p, tries: 1, epoch: p.epoch, err: kerr.MessageTooLarge})
		p.mu.Unlock()
		if !again {
			t.Fatalf("refusal %d ends the records", i)
		}
		until(t, "the settings are read", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return !p.tooLarge && p.renewal == whenIdle
		})
	}
	if got := p.batchLimit.Load(); got != 400000 {
		t.Errorf("batches of %d bytes are sent to a topic that takes 400000", got)
	}
	p.mu.Lock()
	p.inFlight -= 5
	p.mu.Unlock()
	p.wakeTend()
	until(t, "the client is replaced", func() bool { return p.renewals.Get() == 1 })
	closeProducer(t, p)
}

// Ensure that a batch is stored which looks to the broker like one that it has
// seen: the first one after the topic's settings were learned anew, as large as
// the first one before.
func TestProducer_WhatIsSentAfterTheTopicWasLearnedAnewIsStored(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := topicWith(t, broker, 1, map[string]string{"max.message.bytes": "400000"})
	admin := adminOf(t, broker.Addr)
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	for _, limit := range []string{"500000", "600000", "450000", "700000"} {
		for range 3 {
			if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 200); err != nil {
				t.Fatal(err)
			}
		}
		before := p.renewals.Get()
		alter(t, admin, cfg.Kafka.Topic, "max.message.bytes", limit)
		until(t, "the producer uses "+limit, func() bool {
			p.client.reread.Store(true)
			p.client.hooks.suspect()
			return p.renewals.Get() > before
		})
	}
	for range 3 {
		if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 200); err != nil {
			t.Fatal(err)
		}
	}
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
}

// Ensure that what makes a topic unusable is named, that it lasts as long as that
// does, and that nothing but a line which does not fit is refused for it.
func TestProducer_ATopicThatCannotWorkIsNotReadyAndIsNamed(t *testing.T) {
	broker := kafkatest.Shared(t)
	f := func(key, bad, good, says string) {
		t.Helper()
		cfg := topicWith(t, broker, 1, map[string]string{key: bad})
		cfg.Server.WaitForRoom = 50 * time.Millisecond
		p, err := NewProducer(cfg, sink.Replicated, quietLog(), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		defer closeProducer(t, p)
		until(t, key+" is named", func() bool {
			err := p.Ready()
			return errors.Is(err, sink.ErrRefused) && strings.Contains(err.Error(), says) && strings.Contains(err.Error(), cfg.Kafka.Topic)
		})
		if err := newOracle().write(t.Context(), t, p, sink.Replicated, 1, 1, 100); !errors.Is(err, sink.ErrRefused) {
			t.Errorf("%s: a batch: %v", key, err)
		}
		alter(t, adminOf(t, broker.Addr), cfg.Kafka.Topic, key, good)
		until(t, key+" is mended, and that is noticed", func() bool { return p.Ready() == nil })
		if err := newOracle().write(t.Context(), t, p, sink.Replicated, 1, 1, 100); err != nil {
			t.Errorf("%s, mended: a batch: %v", key, err)
		}
	}
	f("cleanup.policy", "compact", "delete", "cleanup.policy is compact")
	f("cleanup.policy", "compact,delete", "delete", "compact")
	f("max.message.bytes", "100000", "1000000", "max.message.bytes")
	f("min.insync.replicas", "2", "1", "min.insync.replicas")
}

// Ensure that a line which the topic does not take fails its own batch and none
// that would have travelled with it.
func TestProducer_ALineThatTheTopicDoesNotTakeFailsAlone(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := topicWith(t, broker, 1, map[string]string{"max.message.bytes": "300000"})
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if err := o.write(t.Context(), t, p, sink.Replicated, 20, 1, 100); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		err := o.write(t.Context(), t, p, sink.Replicated, 1, 1, 400_000)
		if !errors.Is(err, sink.ErrRefused) || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Errorf("a line of 400,000 bytes: %v", err)
		}
	}
	wg.Wait()
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
}

// Ensure that a producer goes on by itself when its topic is deleted and made
// again, says so meanwhile, and that what was enqueued arrives in the new one.
func TestProducer_ATopicMadeAgainIsProducedToByItself(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := topicWith(t, broker, 3, nil)
	cfg.Server.WaitForRoom = 50 * time.Millisecond
	admin := adminOf(t, broker.Addr)
	p, _ := newTestProducer(t, cfg)
	if err := newOracle().write(t.Context(), t, p, sink.Replicated, 10, 2, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteTopic(t.Context(), cfg.Kafka.Topic); err != nil {
		t.Fatal(err)
	}
	until(t, "it says that the topic is gone", func() bool {
		err := p.Ready()
		return errors.Is(err, sink.ErrUnavailable) && strings.Contains(err.Error(), cfg.Kafka.Topic)
	})
	o := newOracle()
	if err := o.write(t.Context(), t, p, sink.Enqueued, 30, 2, 100); err != nil {
		t.Fatal(err)
	}
	until(t, "the topic is made again", func() bool {
		_, err := admin.CreateTopic(t.Context(), 2, 1, nil, cfg.Kafka.Topic) // with fewer partitions
		return err == nil
	})
	awaitReady(t, p)
	for range 10 {
		if err := o.write(t.Context(), t, p, sink.Replicated, 10, 2, 100); err != nil {
			t.Error(err)
		}
	}
	if err := p.Ready(); err != nil {
		t.Error(err)
	}
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
	if acked, _, _ := o.counts(); acked != 130 {
		t.Errorf("%d lines acknowledged", acked)
	}
}

// Ensure that a missing right is named, by code and by what to grant.
func TestProducer_AMissingRightIsNamed(t *testing.T) {
	f := func(key kmsg.Key, code *kerr.Error, says string) {
		t.Helper()
		cluster, cfg := fakeCluster(t)
		p, _ := newTestProducer(t, cfg)
		defer closeProducer(t, p)
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: code, Count: -1})
		cfg.Server.WaitForRoom = 50 * time.Millisecond
		until(t, fmt.Sprintf("%v of %v is named", code.Message, key), func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_ = newOracle().write(ctx, t, p, sink.Replicated, 1, 1, 100) // whatever comes of it
			err := p.Ready()
			return err != nil && strings.Contains(err.Error(), code.Message) && strings.Contains(err.Error(), says)
		})
		fault.Remove()
		until(t, "it recovers by itself, or with the first batch that is taken", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_ = newOracle().write(ctx, t, p, sink.Replicated, 1, 1, 100) // whatever comes of it
			return p.Ready() == nil
		})
	}
	f(kmsg.Produce, kerr.TopicAuthorizationFailed, "Write and Describe")
	f(kmsg.Metadata, kerr.TopicAuthorizationFailed, "Write and Describe")
	f(kmsg.Produce, kerr.ClusterAuthorizationFailed, "IdempotentWrite")
	f(kmsg.Produce, kerr.PolicyViolation, "policy")
}

// Ensure that a consumer that is not let in asks with a growing pause, and says
// what it lacks.
func TestConsumer_WithoutItsTopicOrARightItAsksSeldomAndNamesIt(t *testing.T) {
	f := func(key kmsg.Key, code *kerr.Error, says string) {
		t.Helper()
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "logs", "logs.dlq"))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		s := newStream(t, cluster.ListenAddrs()[0], "logs")
		site := newSite(t, s, groupName())
		s.put(10, 1, 0, 1)
		r := site.start(t)
		reached(t, 10, r)
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: code, Count: -1})
		var requests int
		var mu sync.Mutex
		cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
			mu.Lock()
			defer mu.Unlock()
			requests++
			cluster.KeepControl()
			return nil, nil, false
		})
		until(t, fmt.Sprintf("%v of %v is named", code.Message, key), func() bool {
			err := r.consumer.Ready()
			return err != nil && strings.Contains(err.Error(), code.Message) && strings.Contains(err.Error(), says)
		})
		mu.Lock()
		requests = 0
		mu.Unlock()
		began := time.Now()
		time.Sleep(2 * time.Second) // what is measured: how often it asks
		mu.Lock()
		perSecond := float64(requests) / time.Since(began).Seconds()
		mu.Unlock()
		if perSecond > 100 {
			t.Errorf("%v of %v: %.0f requests a second", code.Message, key, perSecond)
		}
	}
	f(kmsg.Fetch, kerr.TopicAuthorizationFailed, "Read and Describe")
	f(kmsg.Fetch, kerr.UnknownTopicID, "UNKNOWN_TOPIC_ID")
	f(kmsg.Heartbeat, kerr.GroupAuthorizationFailed, "kafka.groupID")
	f(kmsg.Metadata, kerr.UnknownTopicOrPartition, "bin/server topic")
}
