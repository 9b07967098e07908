package kafka

// Where to begin: what the group has committed, and whether that fits the topic
// and what this directory holds. Never a reset policy.

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/config"
)

// assigned is called when the group has been joined, before offsets are asked
// for. At the first time it waits until recovery is done.
func (s *session) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	s.c.log.Info("partitions assigned", "group", s.c.cfg.GroupID, "partitions", parts[s.c.cfg.Topic])
	if len(parts[s.c.cfg.Topic]) == 0 {
		defer s.c.setReady(nil) // a member to spare; otherwise startOffsets says when
	}
	if s.joined {
		return
	}
	done := make(chan struct{})
	select {
	case s.join <- done:
		s.joined = true
		select {
		case <-done:
		case <-s.ctx.Done():
		}
	case <-s.ctx.Done():
	}
}

// revoked is called when partitions are given up, and when they are lost. No
// transaction is open then: every one ends before rebalances are allowed.
func (s *session) revoked(context.Context, *kgo.Client, map[string][]int32) { s.drop() }

// drop forgets the assignment.
func (s *session) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := true
	for id, p := range s.parts {
		s.c.hideLag(id)
		all = all && p.committed >= p.lag.end.Load()
	}
	if len(s.parts) > 0 {
		s.c.see(s.topicID, all)
	}
	s.parts = map[int32]*part{}
}

// fetched takes note of what the group has committed, metadata included.
func (s *session) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = map[int32]committedOffset{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				at := committedOffset{offset: p.Offset}
				if p.Metadata != nil {
					at.metadata = *p.Metadata
				}
				s.committed[p.Partition] = at
			}
		}
	}
	return nil
}

// bounds are a partition's first offset, and the one after its last.
type bounds struct{ start, end int64 }

// startOffsets gives every newly assigned partition the offset to begin at.
// Where that is not what the group has committed, it is committed first: an
// offset with nothing behind it would be found anew after a crash, elsewhere.
func (s *session) startOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	topic := s.c.cfg.Topic
	id, limits, err := s.topicBounds(ctx)
	if err != nil {
		s.c.setReady(err)
		return nil, err
	}
	s.mu.Lock()
	committed := s.committed
	s.mu.Unlock()
	rule := startRule{cfg: s.c.cfg, topicID: id, directory: directoryName(s.c.instance)}
	if rule.stored, err = s.storedOf(id); err != nil {
		s.end(err)
		return nil, err
	}
	rule.renewed = s.c.renewed(id)
	parts := map[int32]*part{}
	var starts []offer
	var gaps error
	for partition, offset := range offsets[topic] {
		b, ok := limits[partition]
		if !ok {
			return nil, fmt.Errorf("partition %d of topic %s has no offsets", partition, topic)
		}
		at := committed[partition]
		begin, history, gap := rule.begin(partition, at, b)
		if gap != nil {
			s.c.missed.AddInt64(max(0, b.start-max(0, at.offset)))
			gap = s.gap("partition %d: %w", partition, gap)
			gaps = errors.Join(gaps, gap)
		}
		p := &part{id: partition, committed: begin, next: begin, taken: begin, epoch: -1, stamp: history}
		p.lag.end.Store(b.end)
		p.lag.next.Store(begin)
		parts[partition] = p
		if begin != at.offset {
			history.tx, history.topicID = [16]byte{}, id
			p.stamp = history
			starts = append(starts, offer{partition: partition, offset: begin, epoch: -1, stamp: history})
			offset = kgo.NewOffset().At(begin)
		}
		if s.c.cfg.OnGap == "continue" || rule.renewed {
			offset = offset.WithEpoch(-1) // do not look for truncation: it has been accepted
		}
		offsets[topic][partition] = offset
	}
	if errors.Is(gaps, ErrGap) {
		s.end(gaps)
		return nil, gaps
	}
	s.mu.Lock()
	s.topicID = id
	s.mu.Unlock()
	if err := s.commitStarts(ctx, starts); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts = parts
	for _, p := range parts {
		s.c.showLag(p.id, &p.lag)
	}
	s.c.setReady(nil)
	return offsets, nil
}

// storedOf returns how far this directory reaches in the topic with that id. When
// it holds records of the topic before it was made again, the error is a gap,
// unless the whole of that topic had been consumed as far as this consumer could
// see it, or kafka.onGap says to go on.
func (s *session) storedOf(id topicID) ([]extent, error) {
	stored, of := s.c.storedExtents()
	if len(stored) == 0 || of == id {
		return stored, nil
	}
	if s.c.allConsumed(of) {
		s.c.log.Error("the topic was made again; this consumer had consumed the old one to its end as far as it could see, and goes on with the new one from its beginning",
			"topic", s.c.cfg.Topic, "was", of, "is", id)
		s.c.renew(id)
	} else if gap := s.gap("the topic was made again: this directory holds records of id %v, now it is %v", of, id); errors.Is(gap, ErrGap) {
		return nil, gap
	}
	s.c.setStored(nil, id)
	return nil, nil
}

// commitStarts commits where partitions begin.
func (s *session) commitStarts(ctx context.Context, starts []offer) error {
	if len(starts) == 0 {
		return nil
	}
	var m member
	m.id, m.generation = s.cl.GroupMetadata()
	out, err := s.send(ctx, m, starts)
	if out == applied {
		return nil
	}
	err = fmt.Errorf("committing where to begin: %s: %w", out, err)
	s.c.setReady(err)
	if out != refused {
		s.end(err) // it may yet be applied: only a new membership is safe from it
	}
	return err
}

// topicBounds asks for the topic's id and what its partitions hold. It is an
// error when the topic is on another cluster than this directory's records.
func (s *session) topicBounds(ctx context.Context) (topicID, map[int32]bounds, error) {
	topic := s.c.cfg.Topic
	md, err := s.admin.Metadata(ctx, topic)
	if err == nil {
		err = md.Topics[topic].Err
	}
	if err != nil {
		return topicID{}, nil, named(fmt.Errorf("asking for topic %s: %w", topic, err))
	}
	if err := s.c.onCluster(md.Cluster); err != nil {
		s.end(err)
		return topicID{}, nil, err
	}
	starts, err := s.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return topicID{}, nil, fmt.Errorf("asking for the first offsets of topic %s: %w", topic, err)
	}
	ends, err := s.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return topicID{}, nil, fmt.Errorf("asking for the last offsets of topic %s: %w", topic, err)
	}
	limits := map[int32]bounds{}
	for partition, start := range starts[topic] {
		end := ends[topic][partition]
		if start.Err == nil && end.Err == nil {
			limits[partition] = bounds{start.Offset, end.Offset}
		}
	}
	return topicID(md.Topics[topic].ID), limits, nil
}

// startRule is what where to begin depends on, beside the partition itself.
type startRule struct {
	cfg       config.Kafka
	topicID   topicID
	directory string   // name of this directory, see owner
	stored    []extent // of this topic
	renewed   bool     // the topic was made again, and nothing of the old one is missed
}

// begin returns where to begin with partition, and the history up to there. When
// the group's offset does not fit, the error says how, and the offset is the one
// at which to go on if that is wanted all the same.
func (r *startRule) begin(partition int32, at committedOffset, b bounds) (int64, stamp, error) {
	history, _ := parseStamp(at.metadata)
	stored := int64(-1)
	for _, m := range r.stored {
		if m.Partition == partition {
			stored = m.Next
		}
	}
	oldest := max(b.start, min(stored, b.end)) // that this directory does not hold
	again := history.topicID != (topicID{}) && history.topicID != r.topicID
	switch {
	case again && r.renewed:
		return b.start, stamp{}, nil
	case at.offset < 0 && stored >= 0:
		return oldest, stamp{}, fmt.Errorf("this directory holds its records up to offset %d, but the group has no offset for it any more: it has expired, or the topic or the group was deleted", stored)
	case at.offset < 0 && r.cfg.StartOffset == "latest" && !r.renewed:
		return b.end, stamp{}, nil
	case at.offset < 0:
		return b.start, stamp{}, nil
	case again:
		return b.start, stamp{}, fmt.Errorf("the topic was made again since offset %d was committed: its id was %v, now it is %v", at.offset, history.topicID, r.topicID)
	}
	if end, last := history.reached(r.directory, at.offset); end > stored {
		// Where no other directory has consumed since, what is missing can be
		// consumed again.
		begin := at.offset
		if n := len(history.owners); last && stored >= max(b.start, history.owners[n-1].start) {
			begin = stored
		}
		return begin, history, fmt.Errorf("this directory has committed its records up to offset %d, but holds them up to %d only: "+
			"it is an older copy, or was restored from one", end, max(stored, 0))
	}
	switch {
	case at.offset < b.start:
		return oldest, history, fmt.Errorf("the group is at offset %d, but the oldest record is %d: %d were removed before they were consumed", at.offset, b.start, b.start-at.offset)
	case at.offset > b.end:
		return oldest, history, fmt.Errorf("the group is at offset %d, but the topic ends at %d: it was truncated or made again", at.offset, b.end)
	case at.offset < stored:
		return oldest, history, fmt.Errorf("the group is at offset %d, but this directory holds its records up to %d: the group was set back, and they would be stored twice", at.offset, stored)
	}
	return at.offset, history, nil
}

// errPassed ends a session at a gap that the next one is to go on over.
var errPassed = errors.New("going on over a gap")

// isGap reports whether err is what gap returns.
func isGap(err error) bool { return errors.Is(err, ErrGap) || errors.Is(err, errPassed) }

// gap counts a gap and returns it: as ErrGap, or as errPassed when kafka.onGap
// says to go on.
func (s *session) gap(format string, args ...any) error {
	s.c.gaps.Inc()
	err := fmt.Errorf("topic %s, group %s: %w", s.c.cfg.Topic, s.c.cfg.GroupID, fmt.Errorf(format, args...))
	if s.c.cfg.OnGap == "continue" {
		s.c.log.Error("going on over a gap, with the oldest record there is", "err", err)
		return fmt.Errorf("%w: %w", errPassed, err)
	}
	return fmt.Errorf("%w: %w. Set kafka.onGap to continue in order to go on with the oldest record there is", ErrGap, err)
}
