package kafka

// What the consumer's tests share: a topic filled with numbered lines, consumers
// with a directory each, and a count of every line in all directories, up to the
// length that counts.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
	"logforge/sink/kafka/kafkatest"
)

// stream is a topic that a test fills. It knows every line it has put there.
type stream struct {
	t      testing.TB
	addr   string
	topic  string
	client *kgo.Client

	mu   sync.Mutex
	next int
	sent map[int]bool // acknowledged
}

func newStream(t testing.TB, addr, topic string) *stream {
	t.Helper()
	s := &stream{t: t, addr: addr, topic: topic, sent: map[int]bool{}}
	s.renew()
	t.Cleanup(func() { s.client.Close() })
	return s
}

// newStreamAndSite returns a stream into a new topic of broker, and the site of a
// new group that consumes it.
func newStreamAndSite(t testing.TB, broker *kafkatest.Broker, partitions int) (*stream, *site) {
	t.Helper()
	s := newStream(t, broker.Addr, broker.Topic(t, partitions))
	return s, newSite(t, s, groupName())
}

// storedBefore has n records of partition 0 stored by a consumer that has stopped
// since.
func storedBefore(t testing.TB, s *stream, site *site, n int) {
	t.Helper()
	s.put(n, 1, 0)
	r := site.start(t)
	reached(t, n, r)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// renew gives the stream a new client. franz-go takes a connection that breaks at
// a bad moment for one that lacks SASL, and such a client does not recover.
func (s *stream) renew() {
	s.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.MetadataMinAge(50*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	old := s.client
	s.client = client
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

// line is numbered line n, in one of 5 hours.
func line(n int) string {
	return fmt.Sprintf(`{"timestamp":"2026-02-09T%02d:00:00Z","path":"/%d","userAgent":"test"}`+"\n", n%5, n)
}

// put produces records of lines numbered lines each, in turn to partitions, and
// waits until they are acknowledged.
func (s *stream) put(records, lines int, partitions ...int32) {
	s.t.Helper()
	if err := s.try(context.Background(), records, lines, partitions...); err != nil {
		s.t.Fatal(err)
	}
}

// try is put for a cluster that may fail. Only what is acknowledged is expected;
// the client sends the rest again until ctx ends.
func (s *stream) try(ctx context.Context, records, lines int, partitions ...int32) error {
	var batch []*kgo.Record
	var ids [][]int
	s.mu.Lock()
	for i := range records {
		var value strings.Builder
		var mine []int
		for range lines {
			value.WriteString(line(s.next))
			mine = append(mine, s.next)
			s.next++
		}
		batch = append(batch, &kgo.Record{Topic: s.topic, Partition: partitions[i%len(partitions)], Value: []byte(value.String())})
		ids = append(ids, mine)
	}
	client := s.client
	s.mu.Unlock()
	var failed error
	var wg sync.WaitGroup
	wg.Add(len(batch))
	for i, r := range batch {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			defer wg.Done()
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil {
				failed = errors.Join(failed, err)
				return
			}
			for _, n := range ids[i] {
				s.sent[n] = true
			}
		})
	}
	wg.Wait()
	return failed
}

func (s *stream) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sent)
}

// site is a logs directory with its configuration.
type site struct {
	cfg config.Config
}

// newSite is a directory of the test's own, for the stream's topic. Sites of one
// test share the group.
func newSite(t testing.TB, s *stream, group string) *site {
	cfg := config.Default()
	cfg.Kafka.Brokers = []string{s.addr}
	cfg.Kafka.Topic, cfg.Kafka.GroupID = s.topic, group
	cfg.Kafka.SessionTimeout, cfg.Kafka.RebalanceTimeout = 6*time.Second, 10*time.Second
	cfg.Kafka.Partitions = 4
	cfg.Consumer.FlushInterval = 5 * time.Millisecond
	cfg.Storage.LogsDir = filepath.Join(t.TempDir(), "logs")
	return &site{cfg}
}

func groupName() string { return fmt.Sprintf("group-%016x", rand.Uint64()) }

// running is a Consumer at work.
type running struct {
	t        testing.TB
	files    *hourly.Files
	consumer *Consumer
	set      *metrics.Set
	dir      string
	cancel   context.CancelFunc
	done     chan struct{}
	err      error // of Run, once done is closed
	closed   bool  // the files are
}

func (s *site) files(t testing.TB) (*hourly.Files, *metrics.Set) {
	t.Helper()
	set := metrics.NewSet()
	files, err := hourly.Open(s.cfg.Storage, sink.Written, quietLog(), set)
	if err != nil {
		t.Fatal(err)
	}
	return files, set
}

// start runs a Consumer on the site; it ends with stop, or with the test.
func (s *site) start(t testing.TB, more ...func(*Consumer)) *running {
	t.Helper()
	files, set := s.files(t)
	log := newTestLog(t)
	c, err := NewConsumer(s.cfg.Kafka, s.cfg.Consumer, s.cfg.Ingestion, files, log, set)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range more {
		f(c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, files: files, consumer: c, set: set, dir: s.cfg.Storage.LogsDir, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx)
	}()
	t.Cleanup(func() { _ = r.stop() })
	return r
}

// stop ends the Consumer as a process that stops does.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	if !r.closed {
		r.closed = true
		if err := r.files.Close(); err != nil {
			r.t.Error(err)
		}
	}
	return r.err
}

// wait waits for Run to end by itself.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		r.t.Fatal("half a minute, and it still runs")
	}
	return r.err
}

func (r *running) metric(name string) float64 { return metricOf(r.t, r.set, name) }

func metricOf(t testing.TB, set *metrics.Set, name string) float64 {
	t.Helper()
	var b bytes.Buffer
	set.WritePrometheus(&b)
	for text := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(text, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return -1
}

// newTestLog says what happened when a test has failed.
func newTestLog(t testing.TB) *slog.Logger {
	var mu sync.Mutex
	var b bytes.Buffer
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Logf("the consumer's log:\n%s", b.String())
		}
	})
	return slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writerFunc(nil)

// counted counts every numbered line in the files, up to the length that counts.
func counted(t testing.TB, files *hourly.Files, dir string, into map[int]int) {
	t.Helper()
	for _, e := range files.Extents() {
		h, length := e.Hour, e.Length
		text, err := os.ReadFile(filepath.Join(dir, hourly.Path(h)))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(text)) < length {
			t.Fatalf("%s has %d bytes of %d", hourly.Path(h), len(text), length)
		}
		for l := range bytes.Lines(text[:length]) {
			_, rest, ok := bytes.Cut(l, []byte(`"path":"/`))
			number, _, _ := bytes.Cut(rest, []byte(`"`))
			n, err := strconv.Atoi(string(number))
			if !ok || err != nil || string(l) != line(n) {
				t.Fatalf("%s: not a line of the test: %q", hourly.Path(h), l)
			}
			into[n]++
		}
	}
}

// held counts the lines that count in the directories of the sites, which no
// process holds.
func held(t testing.TB, sites ...*site) map[int]int {
	t.Helper()
	into := map[int]int{}
	for _, s := range sites {
		files, _ := s.files(t)
		if tx, ok := files.Pending(); ok {
			t.Errorf("%s: transaction %v is undecided", s.cfg.Storage.LogsDir, tx.ID)
		}
		counted(t, files, s.cfg.Storage.LogsDir, into)
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	}
	return into
}

// once checks that the directories hold every acknowledged line exactly once, and
// no line that was not sent.
func (s *stream) once(sites ...*site) {
	s.t.Helper()
	s.compare(held(s.t, sites...))
}

func (s *stream) compare(have map[int]int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var lost, twice, strange []int
	for n := range s.sent {
		if have[n] == 0 {
			lost = append(lost, n)
		}
	}
	for n, count := range have {
		if count > 1 {
			twice = append(twice, n)
		}
		if n >= s.next {
			strange = append(strange, n)
		}
	}
	if len(lost)+len(twice)+len(strange) > 0 {
		s.t.Errorf("of %d lines: %d lost %v, %d more than once %v, %d never sent %v", len(s.sent),
			len(lost), some(lost), len(twice), some(twice), len(strange), some(strange))
	}
}

func some(ns []int) []int {
	slices.Sort(ns)
	return ns[:min(len(ns), 10)]
}

// reached waits until the running consumers' files hold n lines together.
func reached(t testing.TB, n int, rs ...*running) {
	t.Helper()
	until(t, fmt.Sprintf("%d lines are in the files", n), func() bool {
		sum := 0
		for _, r := range rs {
			select {
			case <-r.done:
				t.Fatalf("the consumer has ended: %v", r.err)
			default:
			}
			into := map[int]int{}
			counted(t, r.files, r.dir, into)
			for n := range maps.Values(into) {
				sum += n
			}
		}
		return sum >= n
	})
}
