package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
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
	cfg     config.Kafka
	server  config.Server
	ack     sink.Ack // what Default means
	log     *slog.Logger
	client  *client // asks about the cluster, and produces to the dead-letter topic
	dead    *deadLetters
	runID   string // random; what the ids of Kafka records begin with
	needed  int    // bytes of the largest record batch that one line may need
	largest int    // bytes of the largest record batch that the configuration allows

	// toTopic produces to the topic, and to it alone: renew replaces it.
	toTopic    atomic.Pointer[kgo.Client]
	newToTopic func() (*kgo.Client, error)

	roomSize int64
	room     *semaphore.Weighted // bytes
	used     atomic.Int64        // of room, for the gauge
	nextID   atomic.Int64

	batchLimit  atomic.Int32 // bytes of a record batch, before compression
	recordBytes atomic.Int32 // lines of one Kafka record, at most; one longer line is its own

	mu           sync.Mutex
	open         map[chunkKey]*chunk // not sent yet; lines may still join
	unsent       []*chunk            // no line joins them any more; the cluster is away, or renewal is not none
	inFlight     int                 // chunks that were sent and have no outcome
	inGroup      int                 // of those, sent as a group
	lastDispatch time.Time           // when a group was last sent
	lastProgress time.Time           // when a chunk last got its outcome, or the first was sent
	closed       bool
	topicRead    topicState // as the topic was found last; zero before that
	renewal      renewal
	tooLarge     bool // the topic has refused a record batch for its size since its settings were read
	epoch        int  // counts renewals

	wake      chan struct{} // capacity 1; holds a value when tend has something to do
	stopTend  context.CancelFunc
	tending   sync.WaitGroup
	unsettled sync.WaitGroup // chunks that exist

	replayBytes int           // how much of a file Replay sends at a time; a seam for tests
	replaying   chan struct{} // closed when what the last Replay sent has its outcome; nil when there was none

	writerErrors *metrics.Counter
	lines        *metrics.Counter
	latency      *metrics.PrometheusHistogram
	renewals     *metrics.Counter
	rejected     *metrics.Counter
}

// NewProducer connects to cfg.Kafka's cluster, which need not be there yet, and
// starts producing. ack is what sink.Default means: Replicated or Enqueued.
// Close stops it.
func NewProducer(cfg *config.Config, ack sink.Ack, log *slog.Logger, set *metrics.Set) (*Producer, error) {
	k := cfg.Kafka
	dead, err := newDeadLetters(k, cfg.Storage, log, set)
	if err != nil {
		return nil, err
	}
	p := &Producer{
		cfg: k, server: cfg.Server, ack: ack, log: log, dead: dead, runID: rand.Text()[:16],
		needed:   int(cfg.Ingestion.MaxRecordBytes) + batchOverhead,
		largest:  min(max(int(max(k.RecordBytes, cfg.Ingestion.MaxRecordBytes))+batchOverhead, batchBytes), int(k.MaxMessageBytes)),
		roomSize: int64(k.MaxBufferedBytes),
		room:     semaphore.NewWeighted(int64(k.MaxBufferedBytes)),
		open:     make(map[chunkKey]*chunk),
		wake:     make(chan struct{}, 1),

		replayBytes: replayBytes,

		writerErrors: metric.Counter(set, "kafka_writer_errors_total", "Batches that could not be produced."),
		lines:        metric.Counter(set, "logforge_kafka_produced_lines_total", "Lines, and so records of access logs, produced."),
		latency:      metric.Histogram(set, "logforge_kafka_produce_duration_seconds", "Time from a batch's arrival at the producer to its acknowledgement."),
		renewals:     metric.Counter(set, "logforge_kafka_topic_renewals_total", "Times that the producer learned the topic anew: it was made again, or takes smaller batches."),
		rejected:     metric.Counter(set, "logforge_kafka_set_aside_records_total", "Records that routes have set aside and the dead-letter topic has taken."),
	}
	p.limitBatches(p.largest)
	opts, err := producerOptions(cfg, p.batchLimitOf)
	if err != nil {
		_ = dead.close(context.Background()) // it holds nothing yet
		return nil, err
	}
	metric.Gauge(set, "logforge_kafka_buffered_bytes", "Bytes waiting to be produced.", func() float64 { return float64(p.used.Load()) })
	needs := topicNeeds{right: kadm.OpWrite, batchBytes: p.needed, inSync: k.RequireAllAcks, read: p.foundTopic}
	if p.client, err = newClient(k, needs, log, set, opts...); err != nil {
		_ = dead.close(context.Background()) // it holds nothing yet
		return nil, err
	}
	common, err := clientOptions(k, log)
	if err == nil {
		all := slices.Concat(common, []kgo.Opt{kgo.WithHooks(p.client.hooks)}, opts)
		p.newToTopic = func() (*kgo.Client, error) { return kgo.NewClient(all...) }
		var first *kgo.Client
		first, err = p.newToTopic()
		p.toTopic.Store(first)
	}
	if err != nil {
		p.client.close()
		_ = dead.close(context.Background()) // it has nothing to lose
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stopTend = stop
	p.tending.Go(func() { p.tend(ctx) })
	return p, nil
}

// Write implements sink.Sink. Replicated returns when every in-sync replica has
// b, Enqueued when it is in the buffer; where the dead-letter directory has no
// room for it (kafka.maxDeadLetterBytes), Enqueued returns as Replicated does.
//
// It waits up to server.waitForRoom for room in the buffer (then ErrFull) and,
// for Replicated, for the cluster to be reachable (then ErrUnavailable); up to
// there nothing of b was stored. If ctx ends while b is on its way, the error
// is ErrUnavailable as well, and b may still arrive. What the cluster refuses
// until somebody acts is ErrRefused.
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
	if b.Len() == 0 {
		return nil
	}
	if err := p.checkLines(b); err != nil {
		return err
	}
	place := p.dead.room.need(b.Len(), b.Records())
	full := ack == sink.Enqueued && !p.dead.room.take(place)
	if full {
		ack = sink.Replicated // that is: acknowledged when the topic has it
	}
	need := p.charge(b)
	if err := p.admit(ctx, need, ack); err != nil {
		if full {
			return p.dead.room.explain(err)
		}
		p.dead.room.releaseIf(ack, place)
		return err
	}
	var few [4]*chunk
	in, err := p.join(b, need, ack, few[:0])
	if err != nil {
		p.dead.room.releaseIf(ack, place)
		return err
	}
	if ack == sink.Enqueued {
		return nil
	}
	for _, c := range in {
		select {
		case <-c.done:
			if c.err != nil {
				return classified(c.err)
			}
		case <-ctx.Done():
			p.writerErrors.Inc()
			return fmt.Errorf("%w: no acknowledgement in time: %w", sink.ErrUnavailable, ctx.Err())
		}
	}
	return nil
}

// checkLines refuses a batch with a line that the topic cannot take, so that it
// fails alone and not together with those that would share its chunk.
func (p *Producer) checkLines(b *codec.Batch) error {
	limit := int(p.batchLimit.Load()) - batchOverhead
	if b.Len() <= limit {
		return nil
	}
	for _, run := range b.Runs() {
		for lines := b.Lines(run); len(lines) > limit; {
			n := wholeLines(lines, limit)
			if n > limit {
				return fmt.Errorf("%w: a line of %d bytes is more than topic %s takes, %d: raise its max.message.bytes, or lower ingestion.maxRecordBytes",
					sink.ErrRefused, n, p.cfg.Topic, limit)
			}
			lines = lines[n:]
		}
	}
	return nil
}

// admit waits until there is room for need bytes, and takes it.
func (p *Producer) admit(ctx context.Context, need int64, ack sink.Ack) error {
	usable := ack == sink.Enqueued || p.client.usable.Load()
	if usable && p.room.TryAcquire(need) {
		p.used.Add(need)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.server.WaitForRoom)
	defer cancel()
	if !usable {
		// Buffered, it would arrive after its request was answered 503, and
		// a second time when the client tries again.
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
// sink.ErrUnavailable or sink.ErrRefused): the cluster cannot be reached, or it
// can and yet acknowledges nothing, for want of in-sync replicas for example, or
// the dead-letter directory cannot be written.
func (p *Producer) Ready() error {
	if err := p.client.Ready(); err != nil {
		return err
	}
	return p.dead.ready()
}

// Close refuses further batches, delivers what is buffered, and closes the
// connections. What is enqueued and was not delivered when ctx is about to end,
// or at once if the cluster is away, goes to the dead-letter directory; the
// error then says how many bytes. When ctx ends, Close waits for nothing any
// more that the cluster does, and not again for a directory that cannot be
// written.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stopTend()
	p.tending.Wait()
	p.mu.Lock()
	ready := p.takeWaiting(nil, time.Now())
	away := !p.client.usable.Load() || p.renewal != none || ctx.Err() != nil
	if !away {
		p.countDispatched(ready)
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
	flush := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		flush, cancel = context.WithDeadline(flush, end.Add(-min(time.Until(end)/3, 3*time.Second)))
		defer cancel()
	}
	toTopic := p.toTopic.Load()
	err := errors.Join(toTopic.Flush(flush), p.client.Flush(flush))
	if err != nil {
		err = fmt.Errorf("flush: %d bytes not delivered: %w", p.used.Load(), err)
	}
	toTopic.Close() // fails what is left, and so settles it
	p.client.close()
	p.dead.giveUpAfter(ctx)
	p.unsettled.Wait()
	if lost := p.dead.close(ctx); lost != nil {
		return lost
	}
	return err
}
