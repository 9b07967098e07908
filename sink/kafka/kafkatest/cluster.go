package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is a real cluster of brokers that are controllers as well: topics have
// a replica on each of three, and two of them have to be in sync.
type Cluster struct {
	Brokers []*Broker
}

// OwnCluster starts a cluster of three brokers for this test alone, and stops it
// at the test's end.
func OwnCluster(t testing.TB) *Cluster {
	t.Helper()
	return OwnClusterOn(t, nil)
}

// OwnClusterOn is OwnCluster on a node of a Network, all three brokers on the same
// one; all other nodes reach their addresses.
func OwnClusterOn(t testing.TB, on *Node) *Cluster {
	t.Helper()
	if what := missing(); what != "" {
		leftOut(t, what, "left out")
		t.Skip("needs real brokers: ", what)
	}
	reap()
	c := new(Cluster)
	t.Cleanup(func() {
		for _, b := range c.Brokers {
			if t.Failed() {
				log, _ := os.ReadFile(filepath.Join(b.dir, "broker.log"))
				t.Logf("log of the broker on %s, its end:\n%s", b.Addr, log[max(0, len(log)-2000):])
			}
			if err := b.remove(); err != nil {
				t.Error(err)
			}
		}
	})
	var voters []string
	taken := map[int]bool{}
	for len(c.Brokers) < 3 {
		port, err := FreePorts()
		if err != nil {
			t.Fatal(err)
		}
		if taken[port] || taken[port+1] || taken[port-1] {
			continue
		}
		taken[port] = true
		dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", len(c.Brokers)+1, port+1))
		c.Brokers = append(c.Brokers, &Broker{Addr: on.addr(port), Real: true,
			port: strconv.Itoa(port), dir: dir, pidFile: filepath.Join(dir, "broker.pid"), on: on})
	}
	for i, b := range c.Brokers {
		port, err := strconv.Atoi(b.port)
		if err != nil {
			t.Fatal(err)
		}
		b.env = []string{fmt.Sprint("KAFKA_NODE=", i+1), "KAFKA_VOTERS=" + strings.Join(voters, ","), "KAFKA_CLUSTER_ID=" + clusterID,
			"KAFKA_WAIT=120", "KAFKA_PROPERTIES=" + quickProperties + clusterProperties + on.listenOn(port)}
	}
	if err := c.up(c.Brokers...); err != nil {
		t.Fatal(err)
	}
	return c
}

// clusterID is the one of every cluster of tests: each has ports of its own.
const clusterID = "AAAAAAAAQACAAAAAAAAAAA"

// clusterProperties let a cluster notice within two seconds what is gone.
const clusterProperties = `
replica.lag.time.max.ms=2000
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
leader.imbalance.check.interval.seconds=2`

// up starts brokers side by side: one alone does not answer.
func (c *Cluster) up(brokers ...*Broker) error {
	var wg sync.WaitGroup
	errs := make([]error, len(brokers))
	for i, b := range brokers {
		wg.Go(func() { errs[i] = b.run("up") })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Restart starts killed brokers again, with their data.
func (c *Cluster) Restart(t testing.TB, brokers ...*Broker) {
	t.Helper()
	if err := c.up(brokers...); err != nil {
		t.Fatal(err)
	}
}

// Addrs returns the addresses of all brokers.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, b := range c.Brokers {
		addrs = append(addrs, b.Addr)
	}
	return addrs
}

// Admin returns a client of all brokers, closed at the test's end.
func (c *Cluster) Admin(t testing.TB) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// AwaitInSync waits until every partition of the topic has n replicas in sync,
// up to two minutes.
func (c *Cluster) AwaitInSync(t testing.TB, admin *kadm.Client, topic string, n int) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		topics, err := admin.ListTopics(ctx, topic)
		cancel()
		good := err == nil && topics[topic].Err == nil && len(topics[topic].Partitions) > 0
		for _, p := range topics[topic].Partitions {
			good = good && p.Err == nil && p.Leader >= 0 && len(p.ISR) >= n
		}
		if good {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("two minutes, and topic %s has no %d replicas in sync: %v, %v", topic, n, topics, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
