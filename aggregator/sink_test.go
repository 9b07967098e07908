package aggregator

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"logforge/bench/corpus"
	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
)

var _ Files = (*hourly.Files)(nil)

// The whole way: batches are written by several clients while passes are made,
// also by an Aggregator that has just been started.
func TestWhatTheSinkHasWrittenIsWhatSummariesSay(t *testing.T) {
	s := newStore(t)
	s.cfg.SyncInterval = config.Default().Storage.SyncInterval
	s.cfg.MaxOpenFiles, s.cfg.IdleClose = 2, config.Default().Storage.IdleClose
	files, err := hourly.Open(s.cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	var running *Aggregator
	start := func() *Aggregator {
		if running != nil {
			if err := running.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if running, err = Open(config.Aggregation{MaxKeys: 100_000}, s.cfg.AnalyticsDir, files, slog.New(slog.DiscardHandler), metrics.NewSet()); err != nil {
			t.Fatal(err)
		}
		return running
	}

	const clients = 4
	recs := corpus.Records(11, 8000, 5)
	want := map[codec.Hour]recount{}
	for _, r := range recs {
		h := codec.HourOf(r.Time)
		if _, ok := want[h]; !ok {
			want[h] = newRecount(h)
		}
		w := want[h]
		w.Records++
		w.RequestsPerPath[r.Path]++
		w.RequestsPerUserAgent[r.UserAgent]++
		want[h] = w
	}
	var posting sync.WaitGroup
	for client := range clients {
		posting.Go(func() {
			b := codec.GetBatch()
			defer codec.PutBatch(b)
			for i, part := range slices.Collect(slices.Chunk(recs, 100)) {
				if i%clients != client {
					continue
				}
				if err := b.Decode(corpus.AppendJSON(nil, part), codec.JSON, codec.Limits{}); err != nil {
					t.Error(err)
				}
				if err := files.Write(context.Background(), b, sink.Default); err != nil {
					t.Error(err)
				}
			}
		})
	}
	posted := make(chan struct{})
	go func() { posting.Wait(); close(posted) }()
	a := start()
	for pass, running := 0, true; running; pass++ {
		select {
		case <-posted:
			running = false
		default:
		}
		if pass%3 == 2 {
			a = start()
		}
		s.pass(a)
	}
	if err := files.Close(); err != nil {
		t.Error(err)
	}
	for h, want := range want {
		if diff := cmp.Diff(want, readRecount(t, s.summary(h))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", h, diff)
		}
	}
}
