package kafka

// A transaction: from what was polled to what the group has committed and the
// files show. commit.go says what each step is for.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink/hourly"
)

// transaction is what was taken since the last commit.
type transaction struct {
	member    member
	parts     []*part // with records in it, in ascending order once proposed
	records   int
	bytes     int64 // of the records' values
	dead      []*kgo.Record
	deadBytes int
	due       time.Time
}

func (t *transaction) empty() bool { return len(t.parts) == 0 }

func (t *transaction) reset() {
	*t = transaction{parts: t.parts[:0]}
}

// due reports whether the open transaction is to be committed.
func (s *session) due(now time.Time) bool {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = false
	s.mu.Unlock()
	return wanted || s.full(now)
}

// full reports whether the open transaction takes nothing more.
func (s *session) full(now time.Time) bool {
	t := &s.tx
	return !now.Before(t.due) || t.bytes >= int64(s.c.flush.FlushBytes) || len(t.dead) >= s.c.deadLimit || t.deadBytes >= maxDeadBytes
}

// take decodes and appends what was polled, and commits in between where that is
// more than a transaction takes. After an error that keeps the open transaction
// it is to be committed, after any other to be rolled back.
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
		if first.Offset < p.taken {
			bad = fmt.Errorf("partition %d: offset %d was polled, but %d was expected", f.Partition, first.Offset, p.taken)
			return
		}
		p.taken = last.Offset + 1
		p.lag.end.Store(f.HighWatermark)
		work = splitPieces(work, p, f.Records, s.c.deadLimit)
	})
	if bad != nil {
		return bad
	}
	if len(work) > 0 {
		crashPoint("polled")
		polled := time.Now()
		if err := d.run(work, func(r *result) error { return s.put(r, polled) }); err != nil {
			return err
		}
		crashPoint("appended")
	}
	return stop
}

// errTooLong ends a session whose poll takes so long to be stored that a
// rebalance waits for it.
var errTooLong = errors.New("a rebalance waits, and storing what was polled takes long: joining again")

// put appends one decoded piece, polled at a time.
func (s *session) put(r *result, polled time.Time) error {
	now := time.Now()
	if !s.tx.empty() && s.full(now) {
		if err := s.commit(s.ctx); err != nil {
			return err
		}
		s.mu.Lock()
		wanted := s.wanted
		s.mu.Unlock()
		if wanted && now.Sub(polled) > s.c.cfg.RebalanceTimeout/4 {
			return errTooLong
		}
	}
	if s.tx.empty() {
		s.tx.member.id, s.tx.member.generation = s.cl.GroupMetadata()
		s.tx.due = now.Add(s.c.flush.FlushInterval)
	}
	p := r.piece.part
	if !p.open {
		p.open = true
		s.tx.parts = append(s.tx.parts, p)
	}
	p.next, p.epoch = r.piece.next, r.piece.epoch
	p.lag.next.Store(p.next)
	s.tx.records += r.batch.Records()
	s.tx.bytes += r.bytes
	s.tx.dead = append(s.tx.dead, r.dead...)
	for _, l := range r.dead {
		s.tx.deadBytes += letterBytes(l)
	}
	if r.batch.Records() > 0 {
		if err := s.c.files.Append(r.batch); err != nil {
			return fmt.Errorf("appending: %w", err)
		}
	}
	return nil
}

// sendDeadLetters produces the open transaction's dead letters. When the topic
// is too slow for them, the next transaction has fewer: each that comes to its
// end is progress.
func (s *session) sendDeadLetters(ctx context.Context) error {
	if len(s.tx.dead) == 0 {
		return nil
	}
	if err := s.cl.produceDeadLetters(ctx, s.tx.dead, s.c.commitTimeout, new(sync.WaitGroup)); err != nil {
		s.c.deadLetterErrors.Inc()
		if errors.Is(err, errStuck) {
			s.c.deadLimit = max(1, len(s.tx.dead)/2)
		}
		return err
	}
	first := s.tx.dead[0]
	s.c.log.Warn("lines that do not parse went to the dead-letter topic", "topic", DeadLetterTopic(s.c.cfg),
		"letters", len(s.tx.dead), "first", string(first.Key), "reason", headerOf(first, headerReason))
	return nil
}

// fetchError decides about an error of a poll: nil when the client goes on by
// itself.
func (s *session) fetchError(topic string, partition int32, err error) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil // the poll's own
	case errors.As(err, new(*kgo.ErrGroupSession)):
		return nil // groupErrors receives it
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, kerr.FencedInstanceID):
		return err
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &loss):
		return s.outOfRange(partition, err)
	case errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("partition %d: %w", partition, err) // the next session looks whether it was made again
	case errors.Is(err, errInflationFull):
		return nil // it is fetched again
	}
	if !kerr.IsRetriable(err) {
		// Not one that passes: no right to read, or a batch that cannot be
		// inflated. The client may have given the partition up; a new session
		// tries it again, and says so again.
		return fmt.Errorf("%w: topic %s, partition %d: %w", errFetch, topic, partition, named(err))
	}
	s.c.errs.Inc()
	s.c.log.Warn("fetching from kafka", "topic", topic, "partition", partition, "err", err)
	return nil
}

// outOfRange says which records of a partition are gone: those to be consumed next
// were removed, or the partition ends before them.
func (s *session) outOfRange(partition int32, err error) error {
	next := int64(-1)
	s.mu.Lock()
	if p := s.parts[partition]; p != nil {
		next = p.taken
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, s.c.commitTimeout)
	defer cancel()
	_, limits, failed := s.topicBounds(ctx)
	b, known := limits[partition]
	switch {
	case failed != nil, !known, next < 0:
	case next < b.start:
		if s.c.cfg.OnGap != "continue" { // otherwise the next session counts them
			s.c.missed.AddInt64(b.start - next)
		}
		return s.gap("partition %d: the offset to consume next is %d, but the oldest record is %d: %d were removed before they were consumed: %w", partition, next, b.start, b.start-next, err)
	case next > b.end:
		return s.gap("partition %d: the offset to consume next is %d, but the topic ends at %d: it was truncated, as by an unclean election of a leader: %w", partition, next, b.end, err)
	}
	return s.gap("partition %d: the offset to consume next is no longer in the topic: %w", partition, err)
}

// errFetch is a partition that cannot be read.
var errFetch = errors.New("fetching")

// keeps reports whether the session ends because of one partition, so that what
// was polled of the others is good.
func keeps(err error) bool { return isGap(err) || errors.Is(err, errFetch) }

// commit brings the open transaction to its end. Any error ends the session; the
// files are then back at the committed lengths, or hold a prepared transaction
// for the next session to resolve.
func (s *session) commit(ctx context.Context) error {
	tx := &s.tx
	if tx.empty() {
		return nil
	}
	start := time.Now()
	// What can fail without leaving anything in doubt comes first.
	if err := s.beforehand(ctx); err != nil {
		return s.rollback(err)
	}
	id := hourly.NewTxID()
	p, offers := s.propose(id)
	if err := s.c.files.Prepare(id, p.encode()); err != nil {
		return s.rollback(fmt.Errorf("preparing: %w", err))
	}
	crashPoint("prepared")
	s.inDoubt = true
	out, err := s.send(ctx, tx.member, offers)
	crashPoint("answered")
	s.c.commits[out].Inc()
	switch out {
	case applied:
		if err := s.c.files.Decide(id); err != nil {
			return fmt.Errorf("deciding: %w", err) // committed, and still prepared here: the next session finds out
		}
	case refused:
		s.inDoubt = false
		return s.rollback(fmt.Errorf("commit refused: %w", err))
	case split:
		return fmt.Errorf("%w: the commit of %v was taken for some of %v only: %w", ErrUndecidable, id, p, err)
	default:
		return fmt.Errorf("commit without a known outcome: %w", err)
	}
	s.inDoubt = false
	crashPoint("decided")
	s.decided(p, offers)
	s.c.commitSeconds.UpdateDuration(start)
	return nil
}

// beforehand produces the dead letters and finds the coordinator.
func (s *session) beforehand(ctx context.Context) error {
	if err := s.sendDeadLetters(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.commitTimeout)
	defer cancel()
	if _, err := s.coordinatorNode(ctx); err != nil {
		return fmt.Errorf("looking for the group's coordinator: %w", err)
	}
	return nil
}

// propose returns the open transaction as the journal is to have it, and as the
// group is.
func (s *session) propose(id hourly.TxID) (*position, []offer) {
	slices.SortFunc(s.tx.parts, func(a, b *part) int { return cmp.Compare(a.id, b.id) })
	stored, _ := s.c.storedExtents()
	p := &position{
		Cluster: s.c.cluster(), Group: s.c.cfg.GroupID, Topic: s.c.cfg.Topic, TopicID: s.topicID,
		Owner: s.owner, Generation: s.tx.member.generation,
		Stored: stored,
	}
	var offers []offer
	for _, part := range s.tx.parts {
		p.Spans = append(p.Spans, span{part.id, part.committed, part.next})
		offers = append(offers, offer{
			partition: part.id, offset: part.next, epoch: part.epoch,
			stamp: part.stamp.follow(s.owner, part.committed, id, s.topicID),
		})
	}
	return p, offers
}

// decided takes note of a decided transaction.
func (s *session) decided(p *position, offers []offer) {
	for i, part := range s.tx.parts {
		part.committed = part.next
		part.stamp = offers[i].stamp
		part.open = false
	}
	s.c.setStored(p.storedAfter(), p.TopicID)
	s.c.records.Add(s.tx.records)
	s.c.bytes.AddInt64(s.tx.bytes)
	s.c.deadLetters.Add(len(s.tx.dead))
	s.c.deadLimit = min(maxDead, 2*s.c.deadLimit)
	s.tx.reset()
}

// rollback takes the files back to the committed lengths and returns why, or
// what went wrong at that. A transaction in doubt stays prepared.
func (s *session) rollback(why error) error {
	s.tx.reset()
	if s.inDoubt {
		return why
	}
	if err := s.c.files.Rollback(); err != nil {
		return errors.Join(why, fmt.Errorf("rolling back: %w", err))
	}
	return why
}
