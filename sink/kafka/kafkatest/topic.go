package kafkatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicName returns a topic name that no other test uses. The topic, if the
// test makes it, and its dead-letter topic are deleted at the test's end.
func (b *Broker) TopicName(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test-%016x", rand.Uint64())
	t.Cleanup(func() {
		if !answers(b.Addr) {
			return
		}
		client := b.Client(t)
		defer client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := kadm.NewClient(client).DeleteTopics(ctx, name, name+".dlq"); err != nil {
			t.Logf("delete topic %s: %v", name, err)
		}
	})
	return name
}

// Topic creates a topic of the test's own, deleted at its end, and returns its
// name.
func (b *Broker) Topic(t testing.TB, partitions int) string {
	t.Helper()
	name := b.TopicName(t)
	client := b.Client(t)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	largest := "8388608"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, int32(partitions), 1, map[string]*string{"max.message.bytes": &largest}, name); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	return name
}

// Client returns a plain client of the broker; the caller closes it.
func (b *Broker) Client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	// A client keeps what it knows of topics for five seconds otherwise.
	common := []kgo.Opt{kgo.SeedBrokers(b.Addr), kgo.MetadataMinAge(50 * time.Millisecond)}
	client, err := kgo.NewClient(append(common, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Drain returns every record that is in the topic at the time of the call, in
// order within each partition.
func (b *Broker) Drain(t testing.TB, topic string) []*kgo.Record {
	t.Helper()
	return Drain(t, b.Addr, topic)
}

// Drain is Broker.Drain for any broker at addr.
func Drain(t testing.TB, addr, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("end offsets of %s: %v", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v; left: %v", topic, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if end, ok := left[r.Partition]; ok && r.Offset < end {
				records = append(records, r)
				if r.Offset == end-1 {
					delete(left, r.Partition)
				}
			}
		})
	}
	return records
}

// until waits for ok, up to half a minute.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("half a minute and still not: %s", what)
		}
	}
}
