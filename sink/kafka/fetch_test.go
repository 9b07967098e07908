package kafka

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ensure that records which trickle in are fetched together and not one by one,
// and that none of them waits for more to come.
func TestConsumer_RecordsThatTrickleInAreFetchedTogether(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "logs", "logs.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := newStream(t, cluster.ListenAddrs()[0], "logs")
	site := newSite(t, s, groupName())
	site.cfg.Consumer.FlushInterval = 2 * time.Second
	r := site.start(t)
	s.put(1, 1, 0)
	reached(t, 1, r)
	var fetches atomic.Int64
	cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		fetches.Add(1)
		return nil, nil, false
	})
	const records = 200
	for range records {
		s.put(1, 1, 0)
	}
	reached(t, records+1, r)
	if n := fetches.Load(); n > records/4 {
		t.Errorf("%d fetches for %d records", n, records)
	}
}

// Ensure that every interval that the configuration takes is one that the client
// library takes.
func TestConsumer_ConsumesWithAnyFlushInterval(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "logs", "logs.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for _, interval := range []time.Duration{1, 30 * time.Millisecond, time.Hour} {
		s := newStream(t, cluster.ListenAddrs()[0], "logs")
		site := newSite(t, s, groupName())
		site.cfg.Consumer.FlushInterval, site.cfg.Consumer.FlushBytes = interval, 1
		s.put(1, 1, 0)
		r := site.start(t)
		reached(t, 1, r)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}
