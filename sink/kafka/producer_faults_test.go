package kafka

// What only an in-process broker can do: refuse, apply and say it did not, be
// away, at a moment of the test's choosing.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// fakeCluster is one kfake broker with the topic logs.
func fakeCluster(t testing.TB, opts ...kfake.Opt) (*kfake.Cluster, *config.Config) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(4, "logs", "logs.dlq")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, testConfig(t, c.ListenAddrs()[0], "logs")
}

// faulty lets every produce fail with err until the handle is removed.
func faulty(c *kfake.Cluster, err *kerr.Error) *kfake.FaultHandle {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1})
}

// Both errors are reported for records that are in the log. The client tries
// again; the broker knows them by producer id and sequence number.
func TestProducer_WhatIsReportedAsFailedIsThereOnce(t *testing.T) {
	f := func(fault *kerr.Error) {
		t.Helper()
		cluster, cfg := fakeCluster(t)
		p, _ := newTestProducer(t, cfg)
		o := newOracle()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 20 {
					if i%5 == 0 {
						cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: 1})
					}
					if err := o.write(t.Context(), t, p, []sink.Ack{sink.Replicated, sink.Enqueued}[i%2], 1+i*7, 2, 100); err != nil {
						t.Errorf("%v: %v", fault, err)
					}
				}
			})
		}
		wg.Wait()
		closeProducer(t, p)
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
	f(kerr.NotEnoughReplicasAfterAppend)
	f(kerr.RequestTimedOut)
}

// Three requests share a chunk; the one in the middle gives up. Its batch is
// used again at once, which must not reach the topic.
func TestProducer_ARequestsDeadlineFailsNoOther(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	fault := faulty(cluster, kerr.NotEnoughReplicas)
	var wg sync.WaitGroup
	write := func(d time.Duration, want error) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			b, ids := o.batch(t, 3, 1, 200)
			err := p.Write(ctx, b, sink.Replicated)
			if !errors.Is(err, want) {
				t.Errorf("a request with %v: %v", d, err)
			}
			other, _ := newOracle().batch(t, 3, 1, 200)
			b.Reset()
			b.AppendLines(other.Lines(other.Runs()[0]), codec.Limits{}, nil) // numbers 1 to 3 again, over the old bytes
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, id := range ids {
				if err == nil {
					o.acked[id] = true
				} else {
					o.unknown[id] = true
				}
			}
		})
	}
	write(time.Minute, nil)
	until(t, "the first is on its way", func() bool { return fault.Hits() > 0 })
	write(time.Minute, nil)
	write(50*time.Millisecond, sink.ErrUnavailable)
	write(time.Minute, nil)
	until(t, "one has given up", func() bool { return p.writerErrors.Get() == 1 })
	fault.Remove()
	wg.Wait()
	closeProducer(t, p)
	o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	if acked, unknown, _ := o.counts(); acked != 9 || unknown != 3 {
		t.Errorf("%d acknowledged, %d unknown", acked, unknown)
	}
}

func TestProducer_ABatchWithoutRoomIsRefusedWholeAndTheBufferKeepsItsBound(t *testing.T) {
	f := func(recordBytes config.Bytes) {
		t.Helper()
		cluster, cfg := fakeCluster(t)
		cfg.Kafka.MaxBufferedBytes, cfg.Kafka.RecordBytes = 4*config.MiB, recordBytes
		cfg.Server.WaitForRoom = 20 * time.Millisecond
		p, _ := newTestProducer(t, cfg)
		o := newOracle()
		fault := faulty(cluster, kerr.NotEnoughReplicas)
		before := heap()
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for range 50 {
					n := []int{1, 30, 700}[w%3]
					if err := o.write(t.Context(), t, p, sink.Enqueued, n, 1+w%2*9, 170); err != nil && !errors.Is(err, sink.ErrFull) {
						t.Error(err)
					}
					if used := p.used.Load(); used > p.roomSize {
						t.Errorf("%d bytes are used of %d", used, p.roomSize)
					}
				}
			})
		}
		wg.Wait()
		acked, _, refused := o.counts()
		if refused == 0 || acked == 0 {
			t.Errorf("%d acknowledged, %d refused", acked, refused)
		}
		// The oracle's own numbers are about 100 bytes a line.
		if grown := heap() - before - 100*(acked+refused); grown > 2*int(cfg.Kafka.MaxBufferedBytes)+8<<20 {
			t.Errorf("%d lines in a buffer of %s took %d bytes", acked, cfg.Kafka.MaxBufferedBytes, grown)
		}
		fault.Remove()
		until(t, "there is room again", func() bool { return p.used.Load() == 0 })
		if err := o.write(t.Context(), t, p, sink.Replicated, 10, 1, 100); err != nil {
			t.Error(err)
		}
		closeProducer(t, p)
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
	f(256 * config.KiB)
	f(1)
}

func heap() int {
	runtime.GC()
	runtime.GC() // what is pooled goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func TestProducer_ABatchLargerThanTheWholeBufferIsTaken(t *testing.T) {
	_, cfg := fakeCluster(t)
	cfg.Kafka.MaxBufferedBytes = 256 * config.KiB
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := o.write(t.Context(), t, p, sink.Replicated, 3000, 3, 200); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	closeProducer(t, p)
	o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
}

// A cluster that answers and acknowledges nothing: not ready, nothing more is
// buffered for requests that wait, and it goes on by itself.
func TestProducer_ACollapsedClusterIsNotReadyUntilItAcknowledges(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = 300*time.Millisecond, 50*time.Millisecond
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	fault := faulty(cluster, kerr.NotEnoughReplicas)
	ctx, cancel := context.WithTimeout(t.Context(), cfg.Server.RequestTimeout)
	defer cancel()
	if err := o.write(ctx, t, p, sink.Replicated, 5, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
		t.Error(err)
	}
	until(t, "not ready", func() bool { return p.Ready() != nil })
	used := p.used.Load()
	if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
		t.Error(err)
	}
	if got := p.used.Load(); got != used {
		t.Errorf("a batch was buffered for a request that was refused: %d bytes, then %d", used, got)
	}
	fault.Remove()
	until(t, "ready again", func() bool { return p.Ready() == nil })
	if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); err != nil {
		t.Error(err)
	}
	closeProducer(t, p)
	o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
}

func TestProducer_ARefusalIsNotCalledUnavailableAndIsNamed(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	fault := faulty(cluster, kerr.TopicAuthorizationFailed)
	defer fault.Remove()
	err := newOracle().write(t.Context(), t, p, sink.Replicated, 5, 1, 100)
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, sink.ErrUnavailable) || !errors.Is(err, sink.ErrRefused) {
		t.Error(err)
	}
	if err := p.Ready(); !errors.Is(err, sink.ErrRefused) || !strings.Contains(err.Error(), "Write and Describe") {
		t.Errorf("ready: %v", err)
	}
	fault.Remove()
	if err := newOracle().write(t.Context(), t, p, sink.Replicated, 5, 1, 100); err != nil {
		t.Error(err)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("after a batch was taken: %v", err)
	}
}

// A cluster that is not there at the start, comes, goes and comes again.
func TestProducer_AClusterThatIsAwayIsWaitedFor(t *testing.T) {
	port, err := kafkatest.FreePorts()
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	cfg := testConfig(t, addr, "logs")
	cfg.Server.WaitForRoom = 50 * time.Millisecond
	set := metrics.NewSet()
	up := set.GetOrCreateGauge("kafka_up", nil)
	p, err := NewProducer(cfg, sink.Replicated, quietLog(), set)
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle()
	away := func() {
		t.Helper()
		until(t, "kafka_up is 0", func() bool { return up.Get() == 0 && p.Ready() != nil })
		used := p.used.Load()
		if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
			t.Errorf("replicated while the cluster is away: %v", err)
		}
		if got := p.used.Load(); got != used {
			t.Errorf("it was buffered: %d bytes, then %d", used, got)
		}
		if err := o.write(t.Context(), t, p, sink.Enqueued, 5, 1, 100); err != nil {
			t.Errorf("enqueued while the cluster is away: %v", err)
		}
	}
	away()
	data := t.TempDir()
	for range 2 {
		// The topic is not there at first: the client makes it.
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(data))
		if err != nil {
			t.Fatal(err)
		}
		until(t, "kafka_up is 1 and all is delivered", func() bool { return up.Get() == 1 && p.Ready() == nil && p.used.Load() == 0 })
		if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); err != nil {
			t.Error(err)
		}
		cluster.Close()
		away()
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(data))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	awaitReady(t, p)
	closeProducer(t, p)
	records := kafkatest.Drain(t, addr, "logs")
	o.check(t, records)
	if acked, _, _ := o.counts(); acked != 25 {
		t.Errorf("%d lines acknowledged", acked)
	}
}

// A broker that dies while it starts ends a connection at its first request,
// which franz-go takes for missing SASL if it is not told otherwise.
func TestProducer_AConnectionThatEndsAtItsFirstRequestIsNoFinalFailure(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, _ := newTestProducer(t, cfg)
	var ended atomic.Int32
	cluster.ControlKey(kmsg.InitProducerID.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		if ended.Add(1) > 6 {
			return nil, nil, false
		}
		cluster.KeepControl()
		return nil, errors.New("the connection ends"), true
	})
	o := newOracle()
	if err := o.write(t.Context(), t, p, sink.Enqueued, 5, 1, 100); err != nil {
		t.Fatal(err)
	}
	until(t, "all is delivered", func() bool { return p.used.Load() == 0 })
	closeProducer(t, p)
	if lines, reasons := deadLetterFiles(t, DeadLetterDir(cfg.Kafka, cfg.Storage)); len(lines) != 0 {
		t.Errorf("%d lines are dead letters: %q", len(lines), reasons)
	}
	if n := ended.Load(); n <= 6 {
		t.Errorf("only %d connections ended", n)
	}
	o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
}

// deadLetterFiles returns the lines and the reasons in dir.
func deadLetterFiles(t testing.TB, dir string) (lines, reasons []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(e.Name(), ".") {
			continue // the lock, and what a replay notes
		}
		switch filepath.Ext(e.Name()) {
		case linesSuffix:
			for line := range strings.Lines(string(text)) {
				lines = append(lines, line)
			}
		case reasonSuffix:
			reasons = append(reasons, string(text))
		default:
			t.Errorf("%s holds %s", dir, e.Name())
		}
	}
	return lines, reasons
}

func counter(set *metrics.Set, name string) string {
	return strconv.FormatUint(set.GetOrCreateCounter(name).Get(), 10)
}
