package kafka

// A logs directory belongs to one consumer of one group, topic and cluster, and
// holds all that it has committed.

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"logforge/config"
	"logforge/sink/kafka/kafkatest"
)

// Ensure that a copied directory, which is a place in the group used twice, ends
// the older process, with a message that says so.
func TestConsumer_ACopiedDirectoryEndsTheOlderProcess(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 2))
	group := groupName()
	a, b := newSite(t, s, group), newSite(t, s, group)
	s.put(30, 1, 0, 1)
	ra := a.start(t)
	reached(t, 30, ra)
	if err := os.CopyFS(b.cfg.Storage.LogsDir, os.DirFS(a.cfg.Storage.LogsDir)); err != nil {
		t.Fatal(err)
	}
	rb := b.start(t)
	err := ra.wait()
	if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "copied") {
		t.Errorf("the older one ends with %v", err)
	}
	s.put(30, 1, 0, 1)
	reached(t, 60, rb)
	if err := rb.stop(); err != nil {
		t.Error(err)
	}
	if err := ra.stop(); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
	s.once(b)
}

// Ensure that a directory that was restored from an older copy does not hide what
// it lacks: what its own sessions have committed is more than it holds.
func TestConsumer_ADirectoryRestoredFromAnOlderCopyIsReported(t *testing.T) {
	broker := kafkatest.Shared(t)
	for _, onGap := range []string{"stop", "continue"} {
		s, site := newStreamAndSite(t, broker, 2)
		s.put(30, 1, 0, 1)
		r := site.start(t)
		reached(t, 30, r)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		older := filepath.Join(t.TempDir(), "older")
		if err := os.CopyFS(older, os.DirFS(site.cfg.Storage.LogsDir)); err != nil {
			t.Fatal(err)
		}
		s.put(30, 1, 0, 1)
		r = site.start(t)
		reached(t, 60, r)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		site.cfg.Storage.LogsDir, site.cfg.Kafka.OnGap = older, onGap
		r = site.start(t)
		if onGap == "stop" {
			if err := r.wait(); !errors.Is(err, ErrGap) || !strings.Contains(err.Error(), "older copy") {
				t.Errorf("Run: %v", err)
			}
			if n := r.metric("logforge_kafka_consumer_stopped"); n != 1 {
				t.Errorf("logforge_kafka_consumer_stopped is %v", n)
			}
			continue
		}
		// What is missing is still in the topic, and nobody else had it.
		reached(t, 60, r)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		s.once(site)
	}
}

// Ensure that a directory is not used for what another group, topic or cluster
// has consumed: the whole topic would be stored a second time.
func TestConsumer_AnotherGroupTopicOrClusterOnTheSameDirectoryIsRefused(t *testing.T) {
	broker := kafkatest.Shared(t)
	s, site := newStreamAndSite(t, broker, 1)
	storedBefore(t, s, site, 10)
	f := func(what string, change func(*config.Kafka)) {
		t.Helper()
		other := *site
		change(&other.cfg.Kafka)
		files, set := other.files(t)
		defer files.Close()
		_, err := NewConsumer(other.cfg.Kafka, other.cfg.Consumer, other.cfg.Ingestion, files, quietLog(), set)
		if !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), site.cfg.Kafka.GroupID) || !strings.Contains(err.Error(), "storage.logsDir of its own") {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("group", func(k *config.Kafka) { k.GroupID = "other" })
	f("topic", func(k *config.Kafka) { k.Topic = "other" })

	cluster, _ := fakeCluster(t, kfake.SeedTopics(1, s.topic))
	site.cfg.Kafka.Brokers = cluster.ListenAddrs()
	r := site.start(t)
	if err := r.wait(); !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), "cluster") {
		t.Errorf("cluster: %v", err)
	}
	if n := r.metric("logforge_kafka_consumer_stopped"); n != 1 {
		t.Errorf("logforge_kafka_consumer_stopped is %v", n)
	}
}
