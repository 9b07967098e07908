package kafka

// One membership of the group: join, find out about an undecided transaction,
// then poll, decode, append and commit until something ends it.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink"
)

// session is one client's time in the group. The group's callbacks run in the
// client's goroutine: while a transaction is open, or a poll has just returned
// records, none of them does (kgo.BlockRebalanceOnPoll).
type session struct {
	c     *Consumer
	cl    *client
	admin *kadm.Client
	owner owner

	ctx  context.Context // ends with the cause that ends the session, or when it is over
	end  context.CancelCauseFunc
	join chan chan struct{} // the first assignment, waiting for recovery

	asked  int32 // bytes of one fetch; see inflation
	joined bool  // the first assignment has been; belongs to the callback

	mu          sync.Mutex
	coordinator int32 // broker id; -1 until asked
	topicID     topicID
	standing    map[int32]standing // fetched, for offsets
	parts       map[int32]*part    // assigned
	hurry       context.CancelFunc // ends the poll under way
	wanted      bool               // a rebalance waits for the transaction to end

	tx transaction
}

// part is one assigned partition.
type part struct {
	id        int32
	committed int64 // what the group has
	next      int64 // what comes after the last record taken
	epoch     int32 // of that record's leader
	stamp     stamp // of the committed offset
	open      bool  // has records in the open transaction
	lag       lag
}

// transaction is what was polled since the last commit.
type transaction struct {
	member  member
	parts   []*part // with records in it, in ascending order once proposed
	records int
	bytes   int64 // polled
	dead    []*kgo.Record
	due     time.Time
}

func (t *transaction) empty() bool { return len(t.parts) == 0 }

func (t *transaction) reset() {
	*t = transaction{parts: t.parts[:0]}
}

// session runs one session. It returns nil when ctx has ended and everything
// that was polled is decided; otherwise why the session ended.
func (c *Consumer) session(ctx context.Context) (err error) {
	s := &session{c: c, coordinator: -1, asked: c.inflation.fetch(), join: make(chan chan struct{}), parts: map[int32]*part{}}
	_, _ = rand.Read(s.owner[:]) // never fails
	s.ctx, s.end = context.WithCancelCause(context.Background())
	defer s.end(nil)
	s.cl, err = newClient(c.cfg, c.log, c.set, s.options()...)
	if err != nil {
		return err
	}
	s.admin = kadm.NewClient(s.cl.Client)
	c.setClient(s.cl)
	defer func() {
		c.setClient(nil)
		s.end(err)
		s.cl.AllowRebalance()
		// Whoever comes back soon keeps its place; with a full disk it is
		// better that others take over.
		if !errors.Is(err, ErrFenced) && (ctx.Err() != nil || final(err) || errors.Is(err, sink.ErrDiskFull)) {
			s.leave()
		}
		s.cl.close()
		s.drop()
	}()
	if err := s.awaitJoin(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	c.sessions.Inc()
	return s.consume(ctx)
}

// options are the client's, beside those that every client has.
func (s *session) options() []kgo.Opt {
	cfg := s.c.cfg
	return append(crashOptions(),
		kgo.ConsumerGroup(cfg.GroupID),
		kgo.ConsumeTopics(cfg.Topic),
		kgo.InstanceID(s.c.instance),
		// The eager protocol: a member gives up everything before it joins
		// again, so no commit ever meets a join. Round robin sorts members by
		// their instance ids, so one that restarts gets what it had.
		kgo.Balancers(kgo.RoundRobinBalancer()),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.RebalanceTimeout(cfg.RebalanceTimeout),
		kgo.HeartbeatInterval(min(time.Second, cfg.SessionTimeout/3)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.revoked),
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { s.hasten() }),
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.place),
		kgo.WithHooks(groupErrors{s}),
		// Where to begin is never the client's choice: place gives every
		// partition an offset, and one that is out of range is an error.
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtCommitted()),
		kgo.KeepRetryableFetchErrors(), // an unknown topic id is one
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.WithPools(s.c.inflation),
		kgo.WithHooks(s.c.inflation),
		kgo.MaxDecompressBatchBytes(s.c.inflation.most),
		kgo.FetchMaxBytes(s.asked),
		kgo.FetchMaxPartitionBytes(s.asked/2),
		kgo.MaxConcurrentFetches(2),
		kgo.FetchMaxWait(time.Second),
		// The dead letters.
		kgo.ProducerBatchMaxBytes(int32(cfg.MaxMessageBytes)),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.MaxBufferedRecords(maxDead),
	)
}

// groupErrors hears what ends the client's membership.
type groupErrors struct{ s *session }

func (g groupErrors) OnGroupManageError(err error) {
	g.s.c.errs.Inc()
	if err := g.s.c.fenced(err); errors.Is(err, ErrFenced) {
		g.s.end(err)
		return
	}
	g.s.c.setReady(err)
	g.s.c.log.Warn("the consumer group's session ended", "group", g.s.c.cfg.GroupID, "err", err)
}

// awaitJoin waits until the group has been joined, and then, before anything is
// consumed, ends the transaction that an earlier session left undecided.
func (s *session) awaitJoin(ctx context.Context) error {
	select {
	case joined := <-s.join:
		defer close(joined)
		either, cancel := context.WithCancel(s.ctx)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		return s.c.fenced(s.recover(either))
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-ctx.Done():
		return nil
	}
}

// consume is the loop. When ctx ends it commits what it has and returns nil.
func (s *session) consume(ctx context.Context) error {
	d := newDecoding(s.c.cfg.Consumers, s.c.limits)
	defer d.close()
	for {
		fetches := s.poll(ctx)
		stop := s.take(fetches, d)
		if stop != nil && !keeps(stop) {
			return s.rollback(s.c.fenced(stop))
		}
		if err := context.Cause(s.ctx); err != nil {
			return s.rollback(err)
		}
		if s.due(time.Now()) || stop != nil || ctx.Err() != nil {
			if err := s.commit(s.ctx); err != nil {
				return s.c.fenced(err)
			}
		}
		if stop != nil || ctx.Err() != nil {
			return stop
		}
		// Twice as much or half as much: not for every batch.
		if n := s.c.inflation.fetch(); n >= 2*s.asked || n <= s.asked/2 {
			s.asked = n
			s.cl.UpdateFetchMaxBytes(n, n/2)
		}
		if s.tx.empty() {
			s.cl.AllowRebalance()
		}
	}
}

// poll returns what has been fetched; with a transaction open, at the latest when
// that is due.
func (s *session) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if !s.tx.empty() {
		ctx, cancel = context.WithDeadline(ctx, s.tx.due)
		defer cancel()
	}
	s.mu.Lock()
	s.hurry = cancel
	s.mu.Unlock()
	return s.cl.PollFetches(ctx)
}

// hasten ends the open transaction early: a rebalance is waiting for it.
func (s *session) hasten() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
	if s.hurry != nil {
		s.hurry()
	}
}

// due reports whether the open transaction is to be committed.
func (s *session) due(now time.Time) bool {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = false
	s.mu.Unlock()
	return wanted || !now.Before(s.tx.due) || s.tx.bytes >= int64(s.c.flush.FlushBytes)
}

// take decodes and appends what was polled. After an error that keeps the open
// transaction it is to be committed, after any other to be rolled back.
func (s *session) take(fetches kgo.Fetches, d *decoding) error {
	var stop error
	fetches.EachError(func(topic string, partition int32, err error) {
		stop = errors.Join(stop, s.fetchError(topic, partition, err))
	})
	if stop != nil && !keeps(stop) {
		return stop
	}
	var work []piece
	var bad error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 || bad != nil {
			return
		}
		s.mu.Lock()
		p := s.parts[f.Partition]
		s.mu.Unlock()
		if p == nil {
			bad = fmt.Errorf("partition %d was polled, but is not assigned", f.Partition)
			return
		}
		first, last := f.Records[0], f.Records[len(f.Records)-1]
		if first.Offset < p.next {
			bad = fmt.Errorf("partition %d: offset %d was polled, but %d was expected", f.Partition, first.Offset, p.next)
			return
		}
		if s.tx.empty() {
			s.tx.member.id, s.tx.member.generation = s.cl.GroupMetadata()
			s.tx.due = time.Now().Add(s.c.flush.FlushInterval)
		}
		if !p.open {
			p.open = true
			s.tx.parts = append(s.tx.parts, p)
		}
		p.next, p.epoch = last.Offset+1, last.LeaderEpoch
		p.lag.end.Store(f.HighWatermark)
		p.lag.next.Store(p.next)
		work = cut(work, f.Records)
	})
	if bad != nil {
		return bad
	}
	if len(work) > 0 {
		crashPoint("polled")
		if err := d.run(work, s.put); err != nil {
			return err
		}
		crashPoint("appended")
	}
	return stop
}

// put appends one decoded piece.
func (s *session) put(r *result) error {
	s.tx.records += r.batch.Records()
	s.tx.bytes += r.bytes
	s.tx.dead = append(s.tx.dead, r.dead...)
	if r.batch.Records() > 0 {
		if err := s.c.files.Append(r.batch); err != nil {
			return fmt.Errorf("appending: %w", err)
		}
	}
	return nil
}

// fetchError decides about an error of a poll: nil when the client goes on by
// itself.
func (s *session) fetchError(topic string, partition int32, err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil // the poll's own
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kerr.FencedInstanceID):
		return err
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &loss):
		return s.gap("partition %d: the offset to consume next is no longer in the topic: %w", partition, err)
	case errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("partition %d: %w", partition, err) // the next session looks whether it was made again
	case errors.As(err, new(*kgo.ErrGroupSession)):
		return nil // heard by groupErrors
	}
	if !kerr.IsRetriable(err) {
		// Not one that passes: no right to read, or a batch that cannot be
		// inflated. The client may have given the partition up; a new session
		// tries it again, and says so again.
		return fmt.Errorf("%w: topic %s, partition %d: %w", errFetch, topic, partition, err)
	}
	s.c.errs.Inc()
	s.c.log.Warn("fetching from kafka", "topic", topic, "partition", partition, "err", err)
	return nil
}

// errFetch is a partition that cannot be read.
var errFetch = errors.New("fetching")

// keeps reports whether the session ends because of one partition, so that what
// was polled of the others is good.
func keeps(err error) bool { return isGap(err) || errors.Is(err, errFetch) }
