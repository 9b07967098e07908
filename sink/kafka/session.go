package kafka

// One membership of the group: join, find out about an undecided transaction,
// then poll, decode, append and commit until something ends it.

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
	join chan chan struct{} // the first assignment; its callback waits until the channel sent is closed: recovery has ended

	joined    bool // the first assignment was made; used by its callback only
	inflation *inflation
	hasJoined atomic.Bool // joined and recovered: records are consumed

	mu          sync.Mutex
	coordinator int32 // broker id; -1 until asked
	topicID     topicID
	committed   map[int32]committedOffset // of the group, as fetched last
	parts       map[int32]*part           // assigned
	endPoll     context.CancelFunc        // ends the poll under way
	wanted      bool                      // a rebalance waits for the transaction to end

	tx transaction
	// inDoubt says that the files hold a prepared transaction whose commit may have
	// been taken: only the next session can tell what becomes of it.
	inDoubt bool
}

// part is one assigned partition.
type part struct {
	id        int32
	committed int64 // what the group has
	next      int64 // what comes after the last record in the open transaction
	taken     int64 // what comes after the last record polled
	epoch     int32 // of that record's leader
	stamp     stamp // of the committed offset
	open      bool  // has records in the open transaction
	lag       lag
}

// session runs one session. It returns nil when ctx has ended and everything
// that was polled is decided; otherwise why the session ended.
func (c *Consumer) session(ctx context.Context) (err error) {
	s := &session{c: c, coordinator: -1, owner: newOwner(c.instance), join: make(chan chan struct{}), parts: map[int32]*part{}}
	if s.inflation, err = newInflation(c.maxInflated, c.inflationFull.Inc); err != nil {
		return err
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	defer s.end(nil)
	s.cl, err = newClient(c.cfg, topicNeeds{right: kadm.OpRead}, c.log, c.set, s.options()...)
	if err != nil {
		return err
	}
	s.admin = kadm.NewClient(s.cl.Client)
	c.setCurrent(s)
	defer func() {
		c.setCurrent(nil)
		s.end(err)
		s.cl.AllowRebalance()
		// A member that joins again soon does not leave, and so keeps its
		// place. One that stops, or whose disk is full, leaves: others take over.
		if !errors.Is(err, ErrFenced) && (ctx.Err() != nil || final(err) || isStorage(err)) {
			s.leave()
		}
		s.cl.close()
		s.drop()
	}()
	if err := s.awaitJoin(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	s.hasJoined.Store(true)
	c.fencedJoins.Store(0)
	c.sessions.Inc()
	return s.consume(ctx)
}

// options returns the options of a consumer's client beside clientOptions.
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
		kgo.OnPartitionsCallbackBlocked(func(context.Context, *kgo.Client) { s.endEarly() }),
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.startOffsets),
		kgo.WithHooks(groupErrors{s}),
		// Where to begin is never the client's choice: startOffsets gives every
		// partition an offset, and one that is out of range is an error.
		kgo.ConsumeResetOffset(kgo.NoResetOffset().AtCommitted()),
		kgo.KeepRetryableFetchErrors(), // an unknown topic id is one
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// The offsets go on behind them: one that stays before a transaction's
		// control record falls into a gap when retention removes that.
		kgo.KeepControlRecords(),
		kgo.WithPools(s.inflation),
		kgo.WithDecompressor(s.inflation),
		kgo.WithHooks(s.inflation),
		kgo.FetchMaxBytes(firstFetch),
		kgo.FetchMaxPartitionBytes(firstFetch/2),
		kgo.MaxConcurrentFetches(2),
		kgo.FetchMinBytes(leastFetch),
		kgo.FetchMaxWait(s.c.fetchWait()),
		// For producing the dead letters.
		kgo.ProducerBatchMaxBytes(int32(min(otherTopicBytes, int(cfg.MaxMessageBytes)))),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()),
		kgo.MaxBufferedRecords(math.MaxInt), // a transaction is the bound
	)
}

// groupErrors receives the error that ends the client's membership.
type groupErrors struct{ s *session }

func (g groupErrors) OnGroupManageError(err error) {
	g.s.c.errs.Inc()
	if errors.Is(err, kerr.FencedInstanceID) {
		g.s.end(g.s.fenced(err))
		return
	}
	g.s.c.setReady(named(err))
	g.s.c.log.Warn("the consumer group's session ended", "group", g.s.c.cfg.GroupID, "err", err)
}

// maxFencedJoins is how many sessions in a row may be fenced while they join.
const maxFencedJoins = 5

// fenced returns ErrFenced where err says that another process has this one's group
// instance id. Before the session has joined that need not be so: when the group's coordinator changes, a request to join whose
// answer was lost is sent again, and the second takes the place of the first. The
// session then ends, and another one joins.
func (s *session) fenced(err error) error {
	if !errors.Is(err, kerr.FencedInstanceID) {
		return err
	}
	if !s.hasJoined.Load() && s.c.fencedJoins.Add(1) <= maxFencedJoins {
		return err
	}
	return s.c.fencedError(err)
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
		return s.fenced(s.recover(either))
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
	asked := int32(firstFetch)
	for {
		fetches := s.poll(ctx)
		stop := s.take(fetches, d)
		if stop != nil && !keeps(stop) {
			return s.rollback(s.fenced(stop))
		}
		if err := context.Cause(s.ctx); err != nil {
			return s.rollback(err)
		}
		if s.due(time.Now()) || stop != nil || ctx.Err() != nil {
			if err := s.commit(s.ctx); err != nil {
				return s.fenced(err)
			}
		}
		if stop != nil || ctx.Err() != nil {
			return stop
		}
		// The size of fetches is changed only when it doubles or halves, rather than
		// after every poll.
		if n := s.inflation.fetchBytes(); n >= 2*asked || n <= asked/2 {
			asked = n
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
	s.endPoll = cancel
	s.mu.Unlock()
	return s.cl.PollFetches(ctx)
}

// endEarly makes the open transaction due: a rebalance waits for it.
func (s *session) endEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
	if s.endPoll != nil {
		s.endPoll()
	}
}

// leave takes this process out of the group, so that its partitions go to the
// others now and not after the session time-out: a static member does not leave
// when its client is closed. It is called only once everything is decided.
func (s *session) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	id, _ := s.cl.GroupMetadata()
	if err := s.cl.LeaveGroupContext(ctx); err != nil || id == "" {
		return // not in the group
	}
	instance, reason := s.c.instance, "stopping"
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = s.c.cfg.GroupID
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID, m.Reason = id, &instance, &reason
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, s.cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		s.c.log.Warn("could not leave the group: its other members get these partitions after the session time-out", "group", s.c.cfg.GroupID, "err", err)
	}
}
