package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// replayAsChild replays a directory into the topic of cfg. It is the main
// function of a child process that a test kills.
func replayAsChild(cfg config.Config, dir string) error {
	p, err := NewProducer(&cfg, sink.Replicated, quietLog(), metrics.NewSet())
	if err != nil {
		return err
	}
	p.replayBytes = 64 << 10 // many pieces
	_, err = p.Replay(context.Background(), dir)
	return errors.Join(err, p.Close(context.Background()))
}

// deadFile writes a file of n numbered lines, of some hours, for a replay. Some
// lines do not parse.
func deadFile(t testing.TB, dir, name string, from, n int) {
	t.Helper()
	var text strings.Builder
	for i := range n {
		text.WriteString(line(from + i))
		if i%1000 == 500 {
			fmt.Fprintf(&text, "garbage %d\n", from+i)
		}
	}
	write(t, filepath.Join(dir, name+linesSuffix), text.String())
}

// Ensure that a replay which is killed at any moment, and repeated, stores every
// line once: files of many pieces, one line a record or many, and a topic whose
// timestamps are the broker's.
func TestReplay_KilledAtAnyMomentAndRepeatedStoresEveryLineOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	random := dice(t)
	for _, recordBytes := range []config.Bytes{1, 64 * config.KiB} {
		cfg := topicWith(t, broker, 3, map[string]string{"message.timestamp.type": "LogAppendTime"})
		cfg.Kafka.RecordBytes = recordBytes
		dir := t.TempDir()
		const files, lines = 3, 20_000
		for i := range files {
			deadFile(t, dir, fmt.Sprint("f", i), i*lines, lines)
		}
		s := &site{*cfg}
		kills := 0
		for done := false; !done; {
			p := s.spawn(t, replayEnv+"="+dir)
			if kills >= 8 {
				<-p.done
				if code := p.cmd.ProcessState.ExitCode(); code != 0 {
					t.Fatalf("the replay ends with %d:\n%s", code, p.words())
				}
				break
			}
			until(t, "it sends", func() bool {
				begun, _ := filepath.Glob(filepath.Join(dir, ".f*.replay"))
				return len(begun) > 0 || p.ended()
			})
			time.Sleep(pick(random, 200*time.Millisecond))
			done = p.ended()
			p.kill()
			kills++
		}
		seen := map[string]int{}
		for _, r := range broker.Drain(t, cfg.Kafka.Topic) {
			for l := range strings.Lines(string(r.Value)) {
				seen[strings.TrimSuffix(l, "\n")]++
			}
		}
		twice, lost := 0, 0
		for n := range files * lines {
			switch seen[strings.TrimSuffix(line(n), "\n")] {
			case 0:
				lost++
			case 1:
			default:
				twice++
			}
		}
		if lost+twice > 0 || len(seen) != files*lines {
			t.Errorf("recordBytes %v, %d kills: of %d lines %d are lost, %d there more than once; %d different ones", recordBytes, kills, files*lines, lost, twice, len(seen))
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() == ".lock" {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if filepath.Ext(e.Name()) != rejectedSuffix || err != nil || strings.Count(string(text), "garbage") != lines/1000 {
				t.Errorf("left: %s, %d bytes, %v", e.Name(), len(text), err)
			}
		}
		t.Logf("recordBytes %v: %d kills", recordBytes, kills)
	}
}

// Ensure that a file whose replay has begun is not sent to another topic, and
// that a topic made again gets all of it.
func TestReplay_AFileThatWasBegunBelongsToItsTopic(t *testing.T) {
	_, cfg := fakeCluster(t)
	dir := t.TempDir()
	deadFile(t, dir, "a", 0, 10)
	write(t, filepath.Join(dir, ".a.replay"), `{"id":"0123456789abcdef","topic":"other","topicID":"00000000000000000000000000000001","recordBytes":1000,"done":0,"from":{}}`)
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	if _, err := p.Replay(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "-topic other") {
		t.Errorf("%v", err)
	}
	write(t, filepath.Join(dir, ".a.replay"), `{"id":"0123456789abcdef","topic":"logs","topicID":"00000000000000000000000000000001","recordBytes":1000,"done":0,"from":{"0":5}}`)
	if n, err := p.Replay(t.Context(), dir); err != nil || n != 10 {
		t.Errorf("%d, %v", n, err)
	}
	write(t, filepath.Join(dir, "b.ndjson"), line(1))
	write(t, filepath.Join(dir, ".b.replay"), "{")
	if _, err := p.Replay(t.Context(), dir); err == nil || !strings.Contains(err.Error(), ".b.replay") {
		t.Errorf("%v", err)
	}
}

// Ensure that a directory's other inhabitants are passed over.
func TestReplay_PassesOverWhatIsNoDeadLetter(t *testing.T) {
	_, cfg := fakeCluster(t)
	dir := t.TempDir()
	p, _ := newTestProducer(t, cfg)
	defer closeProducer(t, p)
	if err := os.Mkdir(filepath.Join(dir, "d.ndjson"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "l.ndjson")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "notes.txt"), "hello")
	write(t, filepath.Join(dir, "e.ndjson"), "")
	if n, err := p.Replay(t.Context(), dir); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "e.ndjson")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty file is left: %v", err)
	}
}

// Ensure that what only a transaction's control records and its aborted records
// have filled, and retention then removed, is no gap.
func TestConsumer_ControlRecordsAndAbortedOnesThatAreRemovedAreNoGap(t *testing.T) {
	broker := kafkatest.Shared(t)
	if !broker.Real {
		t.Skip("needs transactions")
	}
	s, site := newStreamAndSite(t, broker, 1)
	s.put(10, 1, 0)
	tx := broker.Client(t, kgo.TransactionalID(s.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer tx.Close()
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		n := s.next
		s.next++
		if commit {
			s.sent[n] = true
		}
		if err := tx.ProduceSync(t.Context(), &kgo.Record{Topic: s.topic, Value: []byte(line(n))}).FirstErr(); err != nil {
			t.Fatal(i, err)
		}
		if err := tx.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(i, err)
		}
	}
	r := site.start(t)
	reached(t, s.total(), r)
	admin := adminOf(t, broker.Addr)
	var end int64
	until(t, "everything up to the end is committed", func() bool {
		ends, err := admin.ListEndOffsets(t.Context(), s.topic)
		offsets, err2 := admin.FetchOffsets(t.Context(), site.cfg.Kafka.GroupID)
		if err != nil || err2 != nil {
			return false
		}
		e, _ := ends.Lookup(s.topic, 0)
		o, _ := offsets.Lookup(s.topic, 0)
		end = e.Offset
		return e.Offset > 10 && o.At == e.Offset
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	removeBefore(t, admin, s.topic, end)
	r = site.start(t)
	s.put(10, 1, 0)
	reached(t, s.total(), r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	s.once(site)
}
