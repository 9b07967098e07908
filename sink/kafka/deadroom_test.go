package kafka

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kerr"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// Ensure that the dead-letter directory keeps its bound however long the cluster
// is away, that no acknowledged line is without a place for that, and that
// enqueued batches are taken all the same while the cluster is there.
func TestProducer_DeadLettersKeepTheirBoundAndNothingIsLostForIt(t *testing.T) {
	for _, recordBytes := range []config.Bytes{256 * config.KiB, 1} {
		cluster, cfg := fakeCluster(t)
		cfg.Kafka.DeliveryTimeout, cfg.Kafka.RecordBytes = 100*time.Millisecond, recordBytes
		cfg.Kafka.MaxDeadLetterBytes = 300_000
		cfg.Server.WaitForRoom, cfg.Server.RequestTimeout = 50*time.Millisecond, 100*time.Millisecond
		dir := DeadLetterDir(cfg.Kafka, cfg.Storage)
		var said lockedBuffer
		set := metrics.NewSet()
		p, err := NewProducer(cfg, sink.Replicated, slog.New(slog.NewTextHandler(&said, nil)), set)
		if err != nil {
			t.Fatal(err)
		}
		awaitReady(t, p)
		o := newOracle()
		fault := faulty(cluster, kerr.NotEnoughReplicas)
		soon, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_ = o.write(soon, t, p, sink.Replicated, 1, 1, 100) // to be noticed: whatever comes of it
		cancel()
		until(t, "it is noticed", func() bool { return p.Ready() != nil })
		refused := 0
		for range 400 {
			switch err := o.write(t.Context(), t, p, sink.Enqueued, 20, 2, 100); {
			case err == nil:
			case errors.Is(err, sink.ErrUnavailable) && strings.Contains(err.Error(), "kafka.maxDeadLetterBytes"):
				refused++
			default:
				t.Fatal(err)
			}
			if refused > 3 {
				break
			}
		}
		if refused == 0 {
			t.Errorf("recordBytes %v: nothing was refused", recordBytes)
		}
		acked, _, _ := o.counts()
		if acked == 0 {
			t.Errorf("recordBytes %v: nothing was taken", recordBytes)
		}
		if metricOf(t, set, "logforge_kafka_dead_letter_directory_full") != 1 || !strings.Contains(said.String(), "the dead-letter directory is full") {
			t.Errorf("recordBytes %v: it does not say that it is full", recordBytes)
		}
		fault.Remove()
		until(t, "the cluster is there again", func() bool { return p.Ready() == nil })
		until(t, "every chunk that was given up is written", func() bool { return p.dead.room.reserved.Load() == 0 })
		p.dead.room.reserved.Add(300_000) // whatever was over
		before := p.lines.Get()
		for range 5 {
			if err := o.write(t.Context(), t, p, sink.Enqueued, 20, 2, 100); err != nil {
				t.Error(err)
			}
		}
		if p.lines.Get() < before+100 {
			t.Errorf("recordBytes %v: a batch without a place was acknowledged before the topic had it", recordBytes)
		}
		p.dead.room.reserved.Add(-300_000)
		closeProducer(t, p)
		var size int64
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			info, err := f.Info()
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if size > 300_000+300_000/5 {
			t.Errorf("recordBytes %v: the directory holds %d bytes", recordBytes, size)
		}

		// The next process finds it full, and has room once it was replayed.
		p, set = newTestProducer(t, cfg)
		if metricOf(t, set, "logforge_kafka_dead_letter_directory_bytes") == 0 {
			t.Errorf("recordBytes %v: the directory is counted as empty", recordBytes)
		}
		if _, err := p.Replay(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		until(t, "only the lock file is left", func() bool { return metricOf(t, set, "logforge_kafka_dead_letter_directory_bytes") <= blockBytes })
		if err := o.write(t.Context(), t, p, sink.Enqueued, 20, 2, 100); err != nil {
			t.Error(err)
		}
		closeProducer(t, p)
		if n := p.dead.room.reserved.Load(); n != 0 {
			t.Errorf("recordBytes %v: %d bytes are reserved for nothing", recordBytes, n)
		}
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
}

// Ensure that many small files are bounded as well: they take more on disk than
// they hold.
func TestDeadRoom_CountsWhatFilesTakeOnDisk(t *testing.T) {
	dir := t.TempDir()
	r := deadRoom{dir: dir, most: config.Bytes(10 * blockBytes), again: "server replay", log: quietLog()}
	for i := range 10 {
		write(t, filepath.Join(dir, string(rune('a'+i))), "x")
	}
	r.measure()
	if r.take(1) {
		t.Error("ten blocks are taken, and there is room")
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	r.measured = time.Time{}
	if !r.changed(time.Now()) {
		t.Error("a removed file is no change")
	}
	r.measure()
	if !r.take(blockBytes) || r.take(1) || r.full.Load() != true {
		t.Error("one block has room, and no more")
	}
	r.release(blockBytes)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.measure()
	if r.stored.Load() != 0 || r.full.Load() {
		t.Error("a directory that is gone holds nothing")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
