package kafka

// A real broker that is killed, frozen and away, under load.

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// load writes batches of every size at both levels, each with the server's
// time-outs, until the returned function is called.
func load(t *testing.T, p *Producer, o *oracle, writers int) (stop func()) {
	var stopping atomic.Bool
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; !stopping.Load(); i++ {
				ctx, cancel := context.WithTimeout(context.Background(), p.server.RequestTimeout)
				ack := sink.Replicated
				if w%4 == 0 {
					ack = sink.Enqueued
				}
				err := o.write(ctx, t, p, ack, []int{1, 1, 20, 300}[i%4], 1+w%2, 170)
				cancel()
				if err != nil && !errors.Is(err, sink.ErrUnavailable) && !errors.Is(err, sink.ErrFull) {
					t.Error(err)
				}
				if used := p.used.Load(); used > p.roomSize {
					t.Errorf("%d bytes are used of %d", used, p.roomSize)
				}
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond) // leave the broker some of two processors
			}
		})
	}
	return func() { stopping.Store(true); wg.Wait() }
}

// settled waits until the producer takes batches again and has nothing left.
func settled(t *testing.T, p *Producer) {
	t.Helper()
	until(t, "ready", func() bool { return p.Ready() == nil })
	until(t, "all is delivered", func() bool { return p.used.Load() == 0 })
}

// One broker, which takes seconds to start, for all three.
func TestChaosABrokerThatFailsUnderLoad(t *testing.T) {
	broker := kafkatest.Own(t)
	t.Run("killed, it loses no acknowledged record", func(t *testing.T) { killedUnderLoad(t, broker) })
	t.Run("away for long, it leaves dead letters", func(t *testing.T) { awayForLong(t, broker) })
	t.Run("a stalled broker is noticed", func(t *testing.T) { standingStill(t, broker) })
}

func killedUnderLoad(t *testing.T, broker *kafkatest.Broker) {
	kills := 2
	if *long {
		kills = 20
	}
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = 2*time.Second, 200*time.Millisecond
	cfg.Kafka.MaxBufferedBytes = 8 * config.MiB
	p, set := newTestProducer(t, cfg)
	o := newOracle()
	for range kills {
		before, _, _ := o.counts()
		stop := load(t, p, o, 16)
		until(t, "there is load", func() bool { n, _, _ := o.counts(); return n > before+2000 })
		broker.Kill(t)
		until(t, "it is noticed", func() bool { return p.Ready() != nil })
		broker.Restart(t)
		until(t, "ready", func() bool { return p.Ready() == nil })
		before, _, _ = o.counts()
		until(t, "the load goes on", func() bool { n, _, _ := o.counts(); return n > before+2000 })
		stop()
		settled(t, p)
	}
	closeProducer(t, p)
	if n := counter(set, "logforge_kafka_dead_letter_records_total"); n != "0" {
		t.Errorf("%s dead letters, with %s to deliver", n, cfg.Kafka.DeliveryTimeout)
	}
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
	acked, unknown, refused := o.counts()
	t.Logf("%d kills: %d lines acknowledged, %d unknown, %d refused", kills, acked, unknown, refused)
}

// Away for longer than enqueued batches are kept trying: they become dead
// letters, and together with the topic they are everything acknowledged, once.
func awayForLong(t *testing.T, broker *kafkatest.Broker) {
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = time.Second, 50*time.Millisecond
	cfg.Kafka.MaxBufferedBytes, cfg.Kafka.DeliveryTimeout = 4*config.MiB, 2*time.Second
	away := 6 * time.Second
	if *long {
		away = time.Minute
	}
	p, set := newTestProducer(t, cfg)
	o := newOracle()
	stop := load(t, p, o, 8)
	until(t, "there is load", func() bool { n, _, _ := o.counts(); return n > 2000 })
	broker.Stop(t)
	until(t, "not ready", func() bool { return p.Ready() != nil })
	before := heap()
	time.Sleep(away) // the fault is the time itself
	acked, unknown, refused := o.counts()
	if grown := heap() - before - 100*(acked+unknown+refused); grown > 2*int(cfg.Kafka.MaxBufferedBytes)+16<<20 {
		t.Errorf("memory grew by %d bytes while the broker was away", grown)
	}
	broker.Restart(t)
	until(t, "ready", func() bool { return p.Ready() == nil })
	stop()
	settled(t, p)
	if counter(set, "logforge_kafka_dead_letter_records_total") == "0" {
		t.Error("no dead letters")
	}
	if _, err := p.Replay(t.Context(), DeadLetterDir(cfg.Kafka, cfg.Storage)); err != nil {
		t.Error(err)
	}
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
}

// Frozen: connections stay open and nothing answers. Requests end with their
// own deadline; what they left behind arrives once.
func standingStill(t *testing.T, broker *kafkatest.Broker) {
	cfg := testConfig(t, broker.Addr, broker.TopicName(t))
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = time.Second, 100*time.Millisecond
	cfg.Kafka.MaxBufferedBytes = 8 * config.MiB
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	stop := load(t, p, o, 8)
	until(t, "there is load", func() bool { n, _, _ := o.counts(); return n > 1000 })
	broker.Freeze(t)
	until(t, "not ready", func() bool { return p.Ready() != nil })
	_, before, _ := o.counts()
	until(t, "requests were told so", func() bool { _, n, _ := o.counts(); return n > before })
	broker.Thaw(t)
	until(t, "ready", func() bool { return p.Ready() == nil })
	stop()
	settled(t, p)
	closeProducer(t, p)
	o.check(t, broker.Drain(t, cfg.Kafka.Topic))
}
