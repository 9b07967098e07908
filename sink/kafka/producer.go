package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// Producer is the sink in front of the topic.
//
// Each hour's lines are copied into that hour's open chunk, which other
// requests' lines join, and which becomes one Kafka record (or one a line, see
// kafka.recordBytes). The copy makes the batch the caller's again, whatever
// becomes of the chunk: a request that gives up takes nothing with it. What all
// chunks take together is bounded by kafka.maxBufferedBytes.
//
//	Write ──copy──▶ open chunk ──send──▶ franz-go ──▶ partition
//	  ▲                                     │
//	  └──────── done (replicated) ◀─promise─┴─failed, enqueued──▶ dead letters
type Producer struct {
	cfg    config.Kafka
	server config.Server
	ack    sink.Ack // what Default means
	log    *slog.Logger
	client *client
	dead   *deadLetters

	chunkBytes int // lines of one chunk, at most; one longer line is its own
	roomSize   int64
	room       *semaphore.Weighted // bytes
	used       atomic.Int64        // of room, for the gauge
	next       atomic.Int32        // number of the next chunk, for the partitioner

	mu       sync.Mutex
	open     map[chunkKey]*chunk // not sent yet; lines may still join
	held     []*chunk            // not sent yet, because the cluster is away
	flying   int                 // sent, and not settled
	grouped  int                 // of those, sent as a group
	lastTake time.Time           // when a group was last sent
	moved    time.Time           // when a chunk was last settled, or the first took off
	closed   bool

	stopTend context.CancelFunc
	tending  sync.WaitGroup
	settling sync.WaitGroup // chunks that exist

	writerErrors *metrics.Counter
	lines        *metrics.Counter
	latency      *metrics.PrometheusHistogram
}

// NewProducer connects to cfg.Kafka's cluster, which need not be there yet, and
// starts producing. ack is what sink.Default means: Replicated or Enqueued.
// Close stops it.
func NewProducer(cfg *config.Config, ack sink.Ack, log *slog.Logger, set *metrics.Set) (*Producer, error) {
	k := cfg.Kafka
	opts, err := producerOptions(cfg)
	if err != nil {
		return nil, err
	}
	dead, err := newDeadLetters(k, cfg.Storage, log, set)
	if err != nil {
		return nil, err
	}
	p := &Producer{
		cfg: k, server: cfg.Server, ack: ack, log: log, dead: dead,
		chunkBytes: max(int(k.RecordBytes), lineChunkBytes),
		roomSize:   int64(k.MaxBufferedBytes),
		room:       semaphore.NewWeighted(int64(k.MaxBufferedBytes)),
		open:       make(map[chunkKey]*chunk),

		writerErrors: set.NewCounter("kafka_writer_errors_total"),
		lines:        set.NewCounter("logforge_kafka_produced_lines_total"),
		latency:      set.NewPrometheusHistogram("logforge_kafka_produce_duration_seconds"),
	}
	set.NewGauge("logforge_kafka_buffered_bytes", func() float64 { return float64(p.used.Load()) })
	if p.client, err = newClient(k, log, set, opts...); err != nil {
		dead.close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stopTend = stop
	p.tending.Go(func() { p.tend(ctx) })
	return p, nil
}

// Write implements sink.Sink. Replicated returns when every in-sync replica has
// b, Enqueued when it is in the buffer.
//
// It waits up to server.waitForRoom for room in the buffer (then ErrFull) and,
// for Replicated, for the cluster to be reachable (then ErrUnavailable); up to
// there nothing of b was stored. If ctx ends while b is on its way, the error
// is ErrUnavailable as well, and b may still arrive.
func (p *Producer) Write(ctx context.Context, b *codec.Batch, ack sink.Ack) error {
	if ack == sink.Default {
		ack = p.ack
	}
	switch {
	case ack == sink.Enqueued:
	case ack == sink.Replicated && p.cfg.RequireAllAcks:
	case ack == sink.Replicated:
		return fmt.Errorf("%w: replicated needs kafka.requireAllAcks", sink.ErrAck)
	default:
		return fmt.Errorf("%w: %s", sink.ErrAck, ack)
	}
	return p.write(ctx, b, ack)
}

func (p *Producer) write(ctx context.Context, b *codec.Batch, ack sink.Ack) error {
	if b.Len() == 0 {
		return nil
	}
	if err := p.admit(ctx, b, ack); err != nil {
		return err
	}
	var few [4]*chunk
	in, err := p.join(b, ack, few[:0])
	if err != nil || ack == sink.Enqueued {
		return err
	}
	for _, c := range in {
		select {
		case <-c.done:
			if c.err != nil {
				return produceError(c.err)
			}
		case <-ctx.Done():
			p.writerErrors.Inc()
			return fmt.Errorf("%w: no acknowledgement in time: %w", sink.ErrUnavailable, ctx.Err())
		}
	}
	return nil
}

// admit waits until there is room for b, and takes it.
func (p *Producer) admit(ctx context.Context, b *codec.Batch, ack sink.Ack) error {
	usable := ack == sink.Enqueued || p.client.usable.Load()
	need := p.charge(b)
	if usable && p.room.TryAcquire(need) {
		p.used.Add(need)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.server.WaitForRoom)
	defer cancel()
	if !usable {
		// Nothing would come of buffering it but a record that arrives after
		// its request was told 503, and once more when the client tries again.
		if err := p.client.await(ctx); err != nil {
			return err
		}
	}
	if p.room.Acquire(ctx, need) != nil {
		return fmt.Errorf("%w: %d of %d bytes wait for kafka", sink.ErrFull, p.used.Load(), p.roomSize)
	}
	p.used.Add(need)
	return nil
}

// charge is the room b takes until its chunks are sent: twice its lines,
// because a chunk's memory grows by doubling, and what surrounds them. A batch
// larger than all the room there is gets it all.
func (p *Producer) charge(b *codec.Batch) int64 {
	n := 2*b.Len() + len(b.Runs())*chunkOverhead
	if p.cfg.RecordBytes < lineChunkBytes {
		n += b.Records() * recordOverhead
	}
	return min(p.roomSize, int64(n))
}

func (p *Producer) release(n int64) {
	p.used.Add(-n)
	p.room.Release(n)
}

// Ready returns nil when a batch would be taken, otherwise why not (wrapping
// sink.ErrUnavailable): the cluster cannot be reached, or it can and yet
// acknowledges nothing, for want of in-sync replicas for example.
func (p *Producer) Ready() error { return p.client.Ready() }

// Close refuses further batches, delivers what is buffered, and closes the
// connections. What is enqueued and was not delivered when ctx is about to end,
// or at once if the cluster is away, goes to the dead-letter directory; the
// error then says how many bytes.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stopTend()
	p.tending.Wait()
	now := time.Now()
	p.mu.Lock()
	ready := p.takeWaiting(nil, now)
	away := !p.client.usable.Load()
	if !away {
		p.takeOff(ready)
	}
	p.mu.Unlock()
	for _, c := range ready {
		if away {
			p.giveUp(c)
		} else {
			p.send(c)
		}
	}
	// The dead letters need some of the time.
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-min(time.Until(end)/3, 3*time.Second)))
		defer cancel()
	}
	err := p.client.Flush(ctx)
	if err != nil {
		err = fmt.Errorf("flush: %d bytes not delivered: %w", p.used.Load(), err)
	}
	p.client.close() // fails what is left, which settles it
	p.settling.Wait()
	p.dead.close()
	return err
}

// produceError turns franz-go's final error into what a caller decides on.
func produceError(err error) error {
	var ke *kerr.Error
	if errors.As(err, &ke) && !ke.Retriable {
		return fmt.Errorf("produce: %w", err)
	}
	if errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("%w: %w: %w", sink.ErrUnavailable, sink.ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", sink.ErrUnavailable, err)
}
