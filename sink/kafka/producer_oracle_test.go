package kafka

// What the producer's tests share: batches whose every line has a number, and
// an oracle that knows what became of each.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// testConfig is the default configuration for a topic at addr, with dead
// letters in a directory of the test's.
func testConfig(t testing.TB, addr, topic string) *config.Config {
	cfg := config.Default()
	cfg.Kafka.Brokers = []string{addr}
	cfg.Kafka.Topic = topic
	cfg.Kafka.Partitions = 4
	cfg.Storage.LogsDir = t.TempDir()
	return &cfg
}

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// newTestProducer is a producer that has reached its cluster. The test closes
// it.
func newTestProducer(t testing.TB, cfg *config.Config) (*Producer, *metrics.Set) {
	t.Helper()
	set := metrics.NewSet()
	p, err := NewProducer(cfg, sink.Replicated, quietLog(), set)
	if err != nil {
		t.Fatal(err)
	}
	awaitReady(t, p)
	return p, set
}

func awaitReady(t testing.TB, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.client.await(ctx); err != nil {
		t.Fatal(err)
	}
}

func closeProducer(t testing.TB, p *Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// oracle numbers the lines it makes and knows which were acknowledged.
type oracle struct {
	next atomic.Int64

	mu      sync.Mutex
	acked   map[int64]bool
	unknown map[int64]bool // an error that leaves it open
	refused map[int64]bool // an error that says nothing was stored
}

func newOracle() *oracle {
	return &oracle{acked: map[int64]bool{}, unknown: map[int64]bool{}, refused: map[int64]bool{}}
}

// batch makes n lines, spread over hours hours, padded to about size bytes
// each. The caller gives it back.
func (o *oracle) batch(t testing.TB, n, hours, size int) (*codec.Batch, []int64) {
	t.Helper()
	var text strings.Builder
	ids := make([]int64, n)
	pad := strings.Repeat("x", max(0, size-80))
	for i := range n {
		ids[i] = o.next.Add(1)
		fmt.Fprintf(&text, `{"timestamp":"2026-02-09T%02d:00:00Z","path":"/%d","userAgent":"t%s"}`+"\n", i*hours/n, ids[i], pad)
	}
	b := codec.GetBatch()
	if err := b.Decode([]byte(text.String()), codec.NDJSON, codec.Limits{}); err != nil {
		t.Fatal(err)
	}
	return b, ids
}

// write writes a batch and notes what became of it.
func (o *oracle) write(ctx context.Context, t testing.TB, p *Producer, ack sink.Ack, n, hours, size int) error {
	t.Helper()
	b, ids := o.batch(t, n, hours, size)
	err := p.Write(ctx, b, ack)
	codec.PutBatch(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	into := o.unknown
	switch {
	case err == nil:
		into = o.acked
	case errors.Is(err, sink.ErrFull):
		into = o.refused
	}
	for _, id := range ids {
		into[id] = true
	}
	return err
}

// check compares the topic with what the oracle knows: acknowledged lines are
// there once, refused ones are not, the others at most once; every record is
// whole lines of the hour its header names.
func (o *oracle) check(t testing.TB, records []*kgo.Record) {
	t.Helper()
	seen := map[int64]int{}
	for _, r := range records {
		hour := header(r, "hour")
		for line := range strings.Lines(string(r.Value)) {
			ts, rest, ok := strings.Cut(strings.TrimPrefix(line, `{"timestamp":"`), `:00:00Z","path":"/`)
			if !ok || ts != hour {
				t.Fatalf("record of hour %q holds the line %q", hour, line)
			}
			id, _, _ := strings.Cut(rest, `"`)
			n, err := strconv.ParseInt(id, 10, 64)
			if err != nil || !strings.HasSuffix(strings.TrimSuffix(line, "\n"), `"}`) {
				t.Fatalf("torn line %q", line)
			}
			seen[n]++
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	lost, twice, refused := 0, 0, 0
	for id := range o.acked {
		if seen[id] == 0 {
			lost++
		}
	}
	for id, n := range seen {
		if n > 1 {
			twice++
		}
		if o.refused[id] {
			refused++
		}
		if !o.acked[id] && !o.unknown[id] && !o.refused[id] {
			t.Errorf("line %d was never sent", id)
		}
	}
	if lost > 0 || twice > 0 || refused > 0 {
		t.Errorf("of %d acknowledged, %d unknown, %d refused: %d lost, %d more than once, %d refused but there",
			len(o.acked), len(o.unknown), len(o.refused), lost, twice, refused)
	}
}

func (o *oracle) counts() (acked, unknown, refused int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked), len(o.unknown), len(o.refused)
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// until waits for ok.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("half a minute, and still not: ", what)
		}
	}
}
