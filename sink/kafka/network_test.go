package kafka

// Real partitions: the brokers, the consumer and this process each have a network
// namespace, and packets between them vanish, both ways or one way only, for
// longer than the session and the commit time-outs. The oracle knows what was
// acknowledged, and the files are counted from outside.

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

func TestCluster_APartitionLosesAndRepeatsNothing(t *testing.T) {
	network := kafkatest.NewNetwork(t)
	var addrs []string
	if *long {
		addrs = kafkatest.OwnClusterOn(t, network.Node(t)).Addrs()
	} else {
		addrs = []string{kafkatest.OwnOn(t, network.Node(t)).Addr}
	}
	cfg := testConfig(t, "", "logs")
	cfg.Kafka.Brokers, cfg.Kafka.Partitions = addrs, 4
	cfg.Server.RequestTimeout, cfg.Server.WaitForRoom = 3*time.Second, 500*time.Millisecond
	p, _ := newTestProducer(t, cfg)

	consumer := &site{*cfg}
	consumer.cfg.Kafka.GroupID, consumer.cfg.Consumer.FlushInterval = groupName(), 50*time.Millisecond
	consumer.cfg.Kafka.SessionTimeout, consumer.cfg.Kafka.RebalanceTimeout = 6*time.Second, 6*time.Second
	consumer.cfg.Storage.LogsDir = filepath.Join(t.TempDir(), "logs")
	dir, node := consumer.cfg.Storage.LogsDir, network.Node(t)
	process := consumer.spawnOn(t, node)

	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	members := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		groups, err := admin.DescribeGroups(ctx, consumer.cfg.Kafka.GroupID)
		if err != nil || groups.Error() != nil {
			return -1
		}
		return len(groups[consumer.cfg.Kafka.GroupID].Members)
	}
	o := newOracle()
	stored := func(what string) {
		t.Helper()
		missing := map[int64]bool{} // acknowledged by now
		for _, n := range missingLines(o, countFiles(t, dir)) {
			missing[n] = true
		}
		until(t, what, func() bool {
			if process.ended() {
				t.Fatalf("the consumer has ended:\n%s", process.words())
			}
			for n := range countFiles(t, dir) {
				delete(missing, n)
			}
			return len(missing) == 0
		})
	}
	in, stop := ingest(t, p, o)
	in.flows(t, "records flow")
	stored("records are stored")

	faults := []struct {
		name        string
		begin, heal func(*kafkatest.Node)
	}{
		{"nothing passes", func(n *kafkatest.Node) { n.Isolate(t) }, func(n *kafkatest.Node) { n.Rejoin(t) }},
		{"what it asks arrives, no answer does", func(n *kafkatest.Node) { n.Deafen(t) }, func(n *kafkatest.Node) { n.Hear(t) }},
		{"nothing that it sends arrives", func(n *kafkatest.Node) { n.Mute(t) }, func(n *kafkatest.Node) { n.Speak(t) }},
	}
	rounds := 1
	if *long {
		rounds = 5
	} else {
		faults = faults[:2] // the third one is like the first to the other side
	}
	for range rounds {
		for _, c := range faults {
			c.begin(node)
			until(t, "consumer, "+c.name+": it is thrown out of the group", func() bool { return members() == 0 })
			if *long {
				time.Sleep(2 * commitTimeout) // beyond every time-out of its own
			}
			c.heal(node)
			stored("consumer, " + c.name + ": it goes on by itself")

			in.flows(t, "records flow")
			c.begin(network.Host)
			until(t, "producer, "+c.name+": it is not ready", func() bool { return p.Ready() != nil })
			if err := o.write(t.Context(), t, p, sink.Replicated, 5, 1, 100); !errors.Is(err, sink.ErrUnavailable) {
				t.Errorf("producer, %s: a batch: %v", c.name, err)
			}
			if *long {
				time.Sleep(20 * time.Second) // beyond every time-out of its own
			}
			c.heal(network.Host)
			in.flows(t, "producer, "+c.name+": records flow again by themselves")
		}
		network.Host.Flap(t, 3*time.Second)
		node.Flap(t, 3*time.Second)
		if node.Slow(4000) {
			in.flows(t, "records flow while the consumer's line is slow and loses packets")
			node.Slow(0)
		}
		in.flows(t, "records flow over lines that are good again")
		stored("and are stored")
	}
	stop()
	closeProducer(t, p)
	stored("every acknowledged line is in the files")
	process.terminate()
	acked, unknown, _ := o.counts()
	have, twice := countFiles(t, dir), 0
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
