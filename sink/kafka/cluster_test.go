package kafka

// A real cluster: three brokers, three replicas of everything, two of which have
// to be in sync. Brokers are killed, stopped and started under load; the oracle
// knows what was acknowledged, and the files are counted from outside the process
// that writes them.

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// ingestion is load on a producer whose cluster fails now and then.
type ingestion struct {
	p *Producer
	o *oracle

	mu     sync.Mutex
	last   time.Time     // of the last acknowledgement
	outage time.Duration // the longest time between two
	failed error         // the last answer that was no acknowledgement
}

// ingest writes from four goroutines until stop is called.
func ingest(t *testing.T, p *Producer, o *oracle) (in *ingestion, stop func()) {
	in = &ingestion{p: p, o: o, last: time.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				wait, done := context.WithTimeout(context.Background(), 3*time.Second)
				err := o.write(wait, t, p, sink.Replicated, 20, 3, 150)
				done()
				in.heard(err)
				if err != nil {
					if !errors.Is(err, sink.ErrUnavailable) && !errors.Is(err, sink.ErrFull) {
						t.Errorf("answered with %v", err)
					}
					time.Sleep(20 * time.Millisecond) // as a client that comes again
				}
			}
		})
	}
	return in, func() { cancel(); wg.Wait() }
}

func (in *ingestion) heard(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil {
		in.failed = err
		return
	}
	now := time.Now()
	in.outage = max(in.outage, now.Sub(in.last))
	in.last = now
}

// flows waits until something is acknowledged that was sent after the call.
func (in *ingestion) flows(t *testing.T, what string) {
	t.Helper()
	acked, _, _ := in.o.counts()
	until(t, what, func() bool { now, _, _ := in.o.counts(); return now > acked+400 })
}

// longest returns the longest time without an acknowledgement since the last call.
func (in *ingestion) longest() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	d := max(in.outage, time.Since(in.last))
	in.outage = 0
	return d
}

func TestCluster_KeepsEveryRecordOnceWhateverBecomesOfItsBrokers(t *testing.T) {
	cluster := kafkatest.OwnCluster(t)
	random := dice(t)
	admin := cluster.Admin(t)
	rounds := 1
	if *long {
		rounds = 8
	}
	cfg := testConfig(t, "", "logs")
	cfg.Kafka.Brokers, cfg.Kafka.Partitions = cluster.Addrs(), 6
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = 3*time.Second, 500*time.Millisecond
	p, _ := newTestProducer(t, cfg)
	cluster.AwaitInSync(t, admin, "logs", 3)
	if topics, err := admin.ListTopics(t.Context(), "logs"); err != nil || len(topics["logs"].Partitions[0].Replicas) != 3 {
		t.Fatalf("the topic has not three replicas: %v, %v", topics, err)
	}
	consumer := &site{*cfg}
	consumer.cfg.Kafka.GroupID, consumer.cfg.Consumer.FlushInterval = groupName(), 50*time.Millisecond
	consumer.cfg.Kafka.SessionTimeout, consumer.cfg.Kafka.RebalanceTimeout = 6*time.Second, 10*time.Second
	consumer.cfg.Storage.LogsDir = filepath.Join(t.TempDir(), "logs")
	process := consumer.spawn(t)

	o := newOracle()
	in, stop := ingest(t, p, o)
	in.flows(t, "records flow through the whole cluster")
	in.longest()
	for round := range rounds {
		if round > 0 {
			cluster.AwaitInSync(t, admin, "logs", 3)
		}
		first := random.IntN(3)
		gone := []*kafkatest.Broker{cluster.Brokers[first], cluster.Brokers[(first+1)%3]}
		gone[0].Kill(t)
		in.flows(t, "records flow through two brokers of three")
		if d := in.longest(); d > 20*time.Second {
			t.Errorf("a broker was killed, and nothing was acknowledged for %v", d)
		} else {
			t.Logf("a broker was killed: nothing was acknowledged for %v", d.Round(time.Millisecond))
		}
		gone[1].Kill(t)
		until(t, "with one broker of three it is not ready", func() bool { return p.Ready() != nil })
		if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
			t.Errorf("a batch meanwhile: %v", err)
		}
		cluster.Restart(t, gone...)
		in.flows(t, "records flow again by themselves")
		cluster.AwaitInSync(t, admin, "logs", 3)

		moveLeaders(t, admin)
		in.flows(t, "records flow after every leader has moved")

		frozen := cluster.Brokers[random.IntN(3)]
		frozen.Freeze(t)
		in.flows(t, "records flow while a broker is unreachable: its connections stay, and nothing answers")
		frozen.Thaw(t)
		in.flows(t, "records flow when it is back")
	}
	stop()
	closeProducer(t, p)
	acked, unknown, _ := o.counts()
	dir := consumer.cfg.Storage.LogsDir
	until(t, "every acknowledged line is in the files", func() bool {
		if process.ended() {
			t.Fatalf("the consumer has ended:\n%s", process.words())
		}
		return len(missingLines(o, countFiles(t, dir))) == 0
	})
	process.terminate()
	have := countFiles(t, dir)
	twice := 0
	for _, n := range have {
		if n > 1 {
			twice++
		}
	}
	if lost := len(missingLines(o, have)); lost+twice > 0 {
		t.Errorf("of %d acknowledged lines %d are lost, and %d are there more than once", acked, lost, twice)
	}
	t.Logf("%d lines acknowledged, %d of unknown outcome, %d in the files", acked, unknown, len(have))
}

// moveLeaders makes the second replica of every partition its leader.
func moveLeaders(t *testing.T, admin *kadm.Client) {
	t.Helper()
	topics, err := admin.ListTopics(t.Context(), "logs")
	if err != nil {
		t.Fatal(err)
	}
	var assign kadm.AlterPartitionAssignmentsReq
	elect := kadm.TopicsSet{}
	for _, p := range topics["logs"].Partitions {
		r := p.Replicas
		assign.Assign("logs", p.Partition, []int32{r[1], r[2], r[0]})
		elect.Add("logs", p.Partition)
	}
	if _, err := admin.AlterPartitionAssignments(t.Context(), assign); err != nil {
		t.Fatal(err)
	}
	until(t, "the replicas have their new order", func() bool {
		now, err := admin.ListTopics(t.Context(), "logs")
		if err != nil {
			return false
		}
		for _, p := range now["logs"].Partitions {
			if p.Replicas[0] != topics["logs"].Partitions[p.Partition].Replicas[1] {
				return false
			}
		}
		return true
	})
	if _, err := admin.ElectLeaders(t.Context(), kadm.ElectPreferredReplica, elect); err != nil {
		t.Fatal(err)
	}
	until(t, "every leader has moved", func() bool {
		now, err := admin.ListTopics(t.Context(), "logs")
		if err != nil {
			return false
		}
		for _, p := range now["logs"].Partitions {
			if p.Leader != p.Replicas[0] {
				return false
			}
		}
		return true
	})
}

// countFiles counts the oracle's numbered lines in the hourly files of dir.
func countFiles(t *testing.T, dir string) map[int64]int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "????-??-??", "??.log.json"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[int64]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for l := range bytes.Lines(text) {
			_, rest, _ := bytes.Cut(l, []byte(`"path":"/`))
			number, _, _ := bytes.Cut(rest, []byte(`"`))
			if n, err := strconv.ParseInt(string(number), 10, 64); err == nil && l[len(l)-1] == '\n' {
				have[n]++
			}
		}
	}
	return have
}

// missingLines returns the acknowledged lines that are not there.
func missingLines(o *oracle, have map[int64]int) []int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lost []int64
	for n := range o.acked {
		if have[n] == 0 {
			lost = append(lost, n)
		}
	}
	return lost
}
