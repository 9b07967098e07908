package kafka

// One limit on both sides: what the endpoint accepts is stored, whatever the limits
// of whoever consumes it.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
	"logforge/sink/kafka/kafkatest"
)

// Ensure that every line that was accepted ends in the files, byte for byte:
// lines at the limit, of characters that become longer, with members beyond the
// three; also as one line a Kafka record, and when ingestion.maxRecordBytes and
// maxDepth are lowered between producing and consuming.
func TestConsumer_EveryLineThatWasAcceptedIsStoredAsItIs(t *testing.T) {
	broker := kafkatest.Shared(t)
	const limit = 200_000
	limits := codec.Limits{RecordBytes: limit, SentBytes: codec.SentPerStored * limit}
	bodies := []struct {
		format codec.Format
		text   string
	}{
		{codec.CSV, "2026-02-09T15:00:00Z," + strings.Repeat("/", limit-90) + ",agent\n"},
		{codec.CSV, "2026-02-09T15:00:01Z," + strings.Repeat("\x01", limit/6-50) + ",agent\n"},
		{codec.CSV, "2026-02-09T15:00:02Z," + strings.Repeat("\xe9", limit/3-50) + ",agent\n"}, // Latin-1: U+FFFD, three bytes each
		{codec.NDJSON, `{"timestamp":"2026-02-09T15:00:03Z","path":"` + strings.Repeat(`\u0001`, limit/6-50) + `","userAgent":"agent"}` + "\n"},
		{codec.NDJSON, `{"timestamp":"2026-02-09T15:00:04Z","path":"` + strings.Repeat(`\"`, limit/2-50) + `","userAgent":"agent"}` + "\n"},
	}
	// As another producer writes it, or an endpoint that keeps what is more than the three.
	extra := `{"timestamp":"2026-02-09T15:00:05Z","path":"/x","userAgent":"agent","status":200,"deep":` +
		strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"referer":"https://example.org/"}` + "\n"
	for _, recordBytes := range []config.Bytes{1, 256 * config.KiB} {
		cfg := testConfig(t, broker.Addr, broker.TopicName(t))
		cfg.Kafka.RecordBytes = recordBytes
		p, _ := newTestProducer(t, cfg)
		var want []byte
		for _, body := range bodies {
			b := codec.GetBatch()
			if err := b.Decode([]byte(body.text), body.format, limits); err != nil {
				t.Fatalf("%.60q: %v", body.text, err)
			}
			want = append(want, b.Lines(b.Runs()[0])...)
			if err := p.Write(t.Context(), b, sink.Replicated); err != nil {
				t.Fatalf("%.60q: %v", body.text, err)
			}
			codec.PutBatch(b)
		}
		if err := p.client.ProduceSync(t.Context(), &kgo.Record{Topic: cfg.Kafka.Topic, Value: []byte(extra)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		want = append(want, extra...)
		closeProducer(t, p)

		s := &stream{t: t, addr: broker.Addr, topic: cfg.Kafka.Topic}
		site := newSite(t, s, groupName())
		site.cfg.Ingestion.MaxRecordBytes, site.cfg.Ingestion.MaxDepth = config.KiB, 8
		r := site.start(t)
		file := filepath.Join(site.cfg.Storage.LogsDir, hourly.Path(hourOf(t, "2026-02-09T15")))
		until(t, "all lines are stored", func() bool { text, _ := os.ReadFile(file); return len(text) >= len(want) })
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		have, lines := map[string]int{}, 0
		for line := range bytes.Lines(text) {
			have[string(line)]++
			lines++
		}
		for line := range bytes.Lines(want) {
			if have[string(line)] != 1 {
				t.Errorf("recordBytes %v: a line of %d bytes is stored %d times: %.80q", recordBytes, len(line), have[string(line)], line)
			}
		}
		if lines != len(bodies)+1 {
			t.Errorf("recordBytes %v: %d lines", recordBytes, lines)
		}
		if n := r.metric("logforge_kafka_dead_letter_topic_records_total"); n != 0 {
			t.Errorf("recordBytes %v: %v dead letters", recordBytes, n)
		}
	}
}

func hourOf(t testing.TB, text string) codec.Hour {
	t.Helper()
	h, err := codec.ParseHour(text)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", text, err))
	}
	return h
}
