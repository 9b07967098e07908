package proof

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"logforge/bench/child"
	"logforge/sink/kafka/kafkatest"
)

// consumer is one process of version 2 with its own directory.
type consumer struct {
	*child.Process
	dir, addr, config string
}

// Ensure that the same holds with version 2 and three processes, each with a
// directory of its own and the same destinations, whichever of them are killed
// or leave the group, and however often the partitions change hands.
func TestArchive_OfThreeConsumersKilledAtAnyMomentHasEachRecordOnce(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./bench/proof -run Archive_OfThree -archive.kills %d -seed %d", *archiveKills, *seed)
	a, o := newArchives(t), &oracle{log: realLog(t)}
	broker := kafkatest.Shared(t)
	topic := broker.Topic(t, 6)
	r := rand.New(rand.NewPCG(*seed, 2))
	launch := func(c *consumer) {
		c.Process = start(t, c.dir, c.addr, "-config", c.config, "-version", "2", "-brokers", broker.Addr, "-topic", topic, "-group", topic)
	}
	var all []*consumer
	for i := range 3 {
		dir, more := t.TempDir(), "consumer: {flushInterval: 50ms}\n"
		if i > 0 {
			more += "storage: {compressAfter: 20ms, syncInterval: 10ms}\n"
		}
		all = append(all, &consumer{dir: dir, addr: freeAddr(t), config: a.config(t, dir, more)})
	}
	for _, c := range all {
		launch(c)
		waitReady(t, c.Process)
	}
	kills, leaves := 0, 0
	for k := range max(3, *archiveKills*3/8) {
		i := r.IntN(3)
		victim, other := all[i], all[(i+1+r.IntN(2))%3]
		doomed := victim.Process
		a.mischief(rand.New(rand.NewPCG(*seed, uint64(k))), func() { doomed.Kill() })
		l := load{oracle: o, addr: victim.addr, enough: make(chan struct{}), answers: 1 + r.IntN(20), unlessKilled: victim.Exited(), plain: true}
		l.run(t, r.Uint64(), func() string {
			select { // let the archive get somewhere, or be killed within
			case <-victim.Exited():
			case <-time.After(time.Duration(r.IntN(1000)) * time.Millisecond):
			}
			return victim.Kill()
		})
		kills++
		switch r.IntN(3) {
		case 0: // a second one dies while the group deals with the first
			other.Kill()
			kills++
		case 1: // or leaves as it should
			// While the group deals with the first, leaving it may take longer
			// than server.shutdownTimeout; the process then ends at once.
			if err := other.Stop(2 * patience); err != nil {
				t.Logf("round %d: %.300s", k, err)
				kills++
			} else {
				leaves++
			}
		}
		if t.Failed() {
			t.Fatalf("round %d; the server said:\n%s", k, tail(victim.Kill()))
		}
		a.calm()
		for _, c := range all {
			select {
			case <-c.Exited():
				launch(c)
			default:
			}
		}
		for _, c := range all {
			waitReady(t, c.Process)
		}
	}
	t.Logf("%d kills, %d that left the group", kills, leaves)
	filled(t, o, all)
	for _, c := range all {
		drained(t, c.Process)
		if err := c.Stop(patience); err != nil {
			t.Fatal(err)
		}
		verified(t, c.dir, c.config)
	}
	a.compare(t, o)
}

// filled waits until what was acknowledged is in the files: until then Kafka
// has it.
func filled(t *testing.T, o *oracle, all []*consumer) {
	t.Helper()
	var want int64
	for _, b := range o.batches {
		if b.state == acknowledged {
			want += int64(b.n)
		}
	}
	for deadline := time.Now().Add(4 * patience); ; time.Sleep(50 * time.Millisecond) {
		var records int64
		for _, c := range all {
			if err := eachLine(c.dir, func(string, string) error { records++; return nil }); errors.Is(err, fs.ErrNotExist) {
				records = -1 << 62 // compressed at this moment
			} else if err != nil && !strings.Contains(err.Error(), "ends within a line") {
				t.Fatal(err)
			}
		}
		if records >= want && want > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records are in the files", records, want)
		}
	}
}
