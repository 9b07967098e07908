package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/durable"
	"logforge/sink/kafka/kafkatest"
)

// What was acknowledged as enqueued and cannot be delivered is kept, and
// nothing else is; replayed, it is in the topic once.
func TestReplay_PutsEachDeadLetterIntoTheTopicOnce(t *testing.T) {
	f := func(recordBytes config.Bytes) {
		t.Helper()
		cluster, cfg := fakeCluster(t)
		cfg.Kafka.DeliveryTimeout, cfg.Kafka.RecordBytes = 500*time.Millisecond, recordBytes
		cfg.Server.RequestTimeout = 100 * time.Millisecond
		dir := DeadLetterDir(cfg.Kafka, cfg.Storage)
		p, set := newTestProducer(t, cfg)
		o := newOracle()
		if err := o.write(t.Context(), t, p, sink.Replicated, 7, 2, 100); err != nil {
			t.Error(err)
		}
		fault := faulty(cluster, kerr.NotEnoughReplicas)
		ctx, cancel := context.WithTimeout(t.Context(), cfg.Server.RequestTimeout)
		defer cancel()
		if err := o.write(ctx, t, p, sink.Replicated, 10, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
			t.Errorf("replicated, not acknowledged: %v", err)
		}
		until(t, "it is noticed", func() bool { return p.Ready() != nil })
		sentBefore := p.used.Load()
		for range 5 {
			if err := o.write(t.Context(), t, p, sink.Enqueued, 200, 2, 100); err != nil {
				t.Error(err)
			}
		}
		until(t, "it is given up", func() bool { return p.used.Load() == sentBefore })
		fault.Remove()
		until(t, "what was sent before has arrived", func() bool { return p.used.Load() == 0 })
		lines, reasons := deadLetterFiles(t, dir)
		if len(lines) != 1000 || len(reasons) == 0 {
			t.Errorf("%d lines, %d reasons", len(lines), len(reasons))
		}
		records := 0
		for _, text := range reasons {
			var r reason
			if err := json.Unmarshal([]byte(text), &r); err != nil || r.Reason == "" || r.Topic != "logs" || r.At.IsZero() {
				t.Errorf("reason %s: %v", text, err)
			}
			records += r.Records
		}
		if records != 1000 {
			t.Errorf("the reasons speak of %d records", records)
		}
		if got := counter(set, "logforge_kafka_dead_letter_records_total"); got != "1000" {
			t.Errorf("counted %s records", got)
		}
		if got := counter(set, "logforge_kafka_dead_letter_batches_total"); got != "10" { // each of two hours
			t.Errorf("counted %s batches", got)
		}

		n, err := p.Replay(t.Context(), dir)
		if err != nil || n != 1000 {
			t.Errorf("replayed %d: %v", n, err)
		}
		if n, err := p.Replay(t.Context(), dir); err != nil || n != 0 {
			t.Errorf("replayed again: %d, %v", n, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 1 || len(left) == 1 && left[0].Name() != ".lock" {
			t.Errorf("left in %s: %v, %v", dir, left, err)
		}
		closeProducer(t, p)
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
	f(256 * config.KiB)
	f(1)
}

func TestReplay_OneThatFailsKeepsTheFile(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	dir := t.TempDir()
	line := `{"timestamp":"2026-02-09T00:00:00Z","path":"/1","userAgent":"t"}` + "\n"
	write(t, filepath.Join(dir, "a.ndjson"), line+"garbage\n")
	write(t, filepath.Join(dir, "a.reason"), "{}\n")
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	fault := faulty(cluster, kerr.NotEnoughReplicas)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n, err := p.Replay(ctx, dir); !errors.Is(err, sink.ErrUnavailable) || n != 0 {
		t.Errorf("replayed %d: %v", n, err)
	}
	if lines, _ := deadLetterFiles(t, dir); len(lines) != 2 {
		t.Errorf("the file has %d lines left", len(lines))
	}
	fault.Remove()
	if n, err := p.Replay(t.Context(), dir); err != nil || n != 1 {
		t.Errorf("replayed %d: %v", n, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "a.rejected"))
	if err != nil || string(text) != "garbage\n" {
		t.Errorf("what does not parse: %q, %v", text, err)
	}
}

func TestReplay_TwoOfOneDirectoryAreRefused(t *testing.T) {
	_, cfg := fakeCluster(t)
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	dir := t.TempDir()
	locked, err := durable.OpenDir(dir)
	if err == nil {
		err = locked.Lock()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Replay(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "another replay") {
		t.Error(err)
	}
	if err := locked.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Replay(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// The cluster is gone when the process has to stop: what was acknowledged as
// enqueued is kept, what was not is not.
func TestProducer_CloseWithoutAClusterKeepsWhatWasEnqueued(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, _ := newTestProducer(t, cfg)
	o := newOracle()
	fault := faulty(cluster, kerr.NotEnoughReplicas)
	if err := o.write(t.Context(), t, p, sink.Enqueued, 100, 1, 100); err != nil {
		t.Error(err)
	}
	replicated := make(chan error)
	go func() { replicated <- o.write(t.Context(), t, p, sink.Replicated, 10, 1, 100) }()
	until(t, "both are on their way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.inFlight+len(p.open) == 2 && fault.Hits() > 0
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	if err := <-replicated; !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("replicated: %v", err)
	}
	lines, _ := deadLetterFiles(t, DeadLetterDir(cfg.Kafka, cfg.Storage))
	if len(lines) != 100 {
		t.Errorf("%d lines are kept", len(lines))
	}
}

// The broker has them, and the process ends before it learns that.
func TestReplay_OfWhatTheTopicHasAlreadyIsNoDuplicate(t *testing.T) {
	f := func(recordBytes config.Bytes) {
		t.Helper()
		cluster, cfg := fakeCluster(t)
		cfg.Kafka.RecordBytes = recordBytes
		dir := DeadLetterDir(cfg.Kafka, cfg.Storage)
		o := newOracle()
		for _, fault := range []*kerr.Error{kerr.NotEnoughReplicasAfterAppend, kerr.NotEnoughReplicas} {
			p, _ := newTestProducer(t, cfg)
			handle := faulty(cluster, fault)
			for range 3 {
				if err := o.write(t.Context(), t, p, sink.Enqueued, 100, 2, 100); err != nil {
					t.Error(err)
				}
			}
			until(t, "it was sent", func() bool { return handle.Hits() > 2 })
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if err := p.Close(ctx); err == nil {
				t.Error("all was delivered")
			}
			cancel()
			handle.Remove()
		}
		p, _ := newTestProducer(t, cfg)
		n, err := p.Replay(t.Context(), dir)
		if err != nil {
			t.Error(err)
		}
		if n < 300 || n >= 600 {
			t.Errorf("%d of 600 lines were sent again, about 300 were in the topic", n)
		}
		closeProducer(t, p)
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
	f(256 * config.KiB)
	f(1)
}

// Ensure that a dead letter is not given up because its directory cannot be
// written at present: it waits in memory, Ready says so, and it is written once
// that is possible.
func TestProducer_ADeadLetterWaitsUntilItsDirectoryCanBeWritten(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, set := newTestProducer(t, cfg)
	dir := DeadLetterDir(cfg.Kafka, cfg.Storage)
	blockDir(t, dir)
	fault := faulty(cluster, kerr.InvalidRecord)
	defer fault.Remove()
	if err := newOracle().write(t.Context(), t, p, sink.Enqueued, 100, 1, 100); err != nil {
		t.Error(err)
	}
	until(t, "it is not ready, and says why", func() bool {
		err := p.dead.ready()
		return errors.Is(err, sink.ErrUnavailable) && strings.Contains(err.Error(), "deadLetterDir") && p.Ready() != nil
	})
	until(t, "it has tried more than once", func() bool {
		n, _ := strconv.Atoi(counter(set, "logforge_kafka_dead_letter_errors_total"))
		return n > 1
	})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	until(t, "it is written", func() bool { return counter(set, "logforge_kafka_dead_letter_records_total") == "100" })
	if err := p.dead.ready(); err != nil {
		t.Error(err)
	}
	closeProducer(t, p)
	if lines, _ := deadLetterFiles(t, dir); len(lines) != 100 {
		t.Errorf("%d lines are kept", len(lines))
	}
	if lost := counter(set, "logforge_kafka_lost_records_total"); lost != "0" {
		t.Errorf("%s records are called lost", lost)
	}
}

// Ensure that what could be written nowhere by the end of the process is counted,
// and is an error of Close, so that the process does not exit with 0.
func TestProducer_DeadLettersThatAreLostAtTheEndAreAnErrorOfClose(t *testing.T) {
	cluster, cfg := fakeCluster(t)
	p, set := newTestProducer(t, cfg)
	blockDir(t, DeadLetterDir(cfg.Kafka, cfg.Storage))
	fault := faulty(cluster, kerr.InvalidRecord)
	defer fault.Remove()
	if err := newOracle().write(t.Context(), t, p, sink.Enqueued, 100, 1, 100); err != nil {
		t.Error(err)
	}
	until(t, "it cannot be written", func() bool { return p.dead.ready() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Close(ctx); err == nil || !strings.Contains(err.Error(), "100 records are LOST") {
		t.Errorf("close: %v", err)
	}
	if lost := counter(set, "logforge_kafka_lost_records_total"); lost != "100" {
		t.Errorf("%s records are counted as lost", lost)
	}
}

// blockDir puts a file where the directory was.
func blockDir(t testing.TB, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a file where the directory was")
}

// Ensure that a process that has to end at once keeps what was enqueued: Close
// waits for a cluster that hangs no longer than its context lasts.
func TestProducer_ACloseThatIsHurriedKeepsWhatWasEnqueued(t *testing.T) {
	for _, before := range []bool{false, true} {
		cluster, cfg := fakeCluster(t)
		p, _ := newTestProducer(t, cfg)
		o := newOracle()
		fault := faulty(cluster, kerr.NotEnoughReplicas)
		for range 3 {
			if err := o.write(t.Context(), t, p, sink.Enqueued, 100, 2, 100); err != nil {
				t.Error(err)
			}
		}
		until(t, "some are on their way", func() bool { return fault.Hits() > 0 })
		ctx, hurry := context.WithCancel(t.Context())
		if before {
			hurry()
		}
		closed := make(chan error, 1)
		go func() { closed <- p.Close(ctx) }()
		until(t, "it is closing", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.closed })
		hurry()
		select {
		case err := <-closed:
			if err == nil {
				t.Error("close says that all was delivered")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("half a minute, and it still closes")
		}
		dir := DeadLetterDir(cfg.Kafka, cfg.Storage)
		if lines, _ := deadLetterFiles(t, dir); len(lines) != 300 {
			t.Errorf("%d of 300 lines are kept", len(lines))
		}
		fault.Remove()
		again, _ := newTestProducer(t, cfg)
		if n, err := again.Replay(t.Context(), dir); err != nil || n != 300 {
			t.Errorf("replayed %d, %v", n, err)
		}
		closeProducer(t, again)
		o.check(t, kafkatest.Drain(t, cfg.Kafka.Brokers[0], "logs"))
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
