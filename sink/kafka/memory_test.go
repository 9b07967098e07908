package kafka

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink/kafka/kafkatest"
)

// Ensure that no topic makes a consumer take more than 300 MB: batches that
// inflate a thousandfold, records of many megabytes, millions of records of a few
// bytes, compressed and not, garbage and lines.
func TestConsumer_AHostileTopicDoesNotTakeItsMemory(t *testing.T) {
	broker := kafkatest.Shared(t)
	s := newStream(t, broker.Addr, broker.Topic(t, 6))
	send := func(compression kgo.CompressionCodec, n int, value func(i int) []byte) {
		t.Helper()
		client := broker.Client(t, kgo.ProducerBatchCompression(compression), kgo.ProducerBatchMaxBytes(8<<20), kgo.MaxBufferedRecords(1<<20),
			kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		defer client.Close()
		for i := range n {
			client.Produce(context.Background(), &kgo.Record{Topic: s.topic, Value: value(i)}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := client.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	}
	blank := bytes.Repeat([]byte(" "), 7<<20)
	lines := []byte(strings.Repeat(line(1), 7<<20/len(line(1))))
	s.next = 2
	zstd, none := kgo.ZstdCompression(), kgo.NoCompression()
	send(zstd, 30, func(int) []byte { return blank })
	send(zstd, 12, func(int) []byte { return lines })
	send(none, 6, func(int) []byte { return lines })
	send(none, 300_000, func(int) []byte { return nil })
	send(zstd, 300_000, func(int) []byte { return nil })
	send(none, 20_000, func(i int) []byte { return fmt.Appendf(nil, "garbage %d", i) })
	send(zstd, 4, func(int) []byte { return bytes.Repeat([]byte("garbage\n"), 7<<20/8) })

	site := newSite(t, s, groupName())
	p := site.spawn(t, "GOMEMLIMIT=220MiB") // as the server sets it by default
	admin := adminOf(t, broker.Addr)
	until(t, "everything is consumed", func() bool {
		if p.ended() {
			t.Fatalf("the consumer has ended:\n%s", p.words())
		}
		lags, err := admin.Lag(t.Context(), site.cfg.Kafka.GroupID)
		l := lags[site.cfg.Kafka.GroupID]
		return err == nil && l.Error() == nil && len(l.Lag) > 0 && l.Lag.Total() == 0
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("this system does not tell how much memory a process takes: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	peak, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	p.terminate()
	t.Logf("at most %d MB", peak/1000)
	if peak > 300_000 {
		t.Errorf("it took %d MB", peak/1000)
	}
}
