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
		defer s.c.setReady(nil) // a member to spare; otherwise place says when
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
	for id := range s.parts {
		s.c.hideLag(id)
	}
	s.parts = map[int32]*part{}
}

// fetched takes note of what the group has committed, metadata included.
func (s *session) fetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standing = map[int32]standing{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				at := standing{offset: p.Offset}
				if p.Metadata != nil {
					at.metadata = *p.Metadata
				}
				s.standing[p.Partition] = at
			}
		}
	}
	return nil
}

// bounds are a partition's first offset, and the one after its last.
type bounds struct{ start, end int64 }

// place gives every newly assigned partition the offset to begin at. Where that
// is not what the group has committed, it is committed first: an offset with
// nothing behind it would be found anew after a crash, elsewhere.
func (s *session) place(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	topic := s.c.cfg.Topic
	id, limits, err := s.survey(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	standings := s.standing
	s.mu.Unlock()
	ground := ground{cfg: s.c.cfg, topicID: id}
	if held, of := s.c.holds(); len(held) == 0 || of == id {
		ground.held = held
	} else {
		gap := s.gap("the topic was made again: this directory holds records of id %v, now it is %v", of, id)
		if errors.Is(gap, ErrGap) {
			s.end(gap)
			return nil, gap
		}
		s.c.hold(nil, id)
	}
	parts := map[int32]*part{}
	var pins []offer
	var gaps error
	for partition, offset := range offsets[topic] {
		b, ok := limits[partition]
		if !ok {
			return nil, fmt.Errorf("partition %d of topic %s has no offsets", partition, topic)
		}
		at := standings[partition]
		begin, history, gap := ground.begin(partition, at, b)
		if gap != nil {
			gap = s.gap("partition %d: %w", partition, gap)
			gaps = errors.Join(gaps, gap)
		}
		p := &part{id: partition, committed: begin, next: begin, epoch: -1, stamp: history}
		p.lag.end.Store(b.end)
		p.lag.next.Store(begin)
		parts[partition] = p
		if begin != at.offset {
			history.tx, history.topicID = [16]byte{}, id
			p.stamp = history
			pins = append(pins, offer{partition: partition, offset: begin, epoch: -1, stamp: history})
			offset = kgo.NewOffset().At(begin)
		}
		if s.c.cfg.OnGap == "continue" {
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
	if err := s.pin(ctx, pins); err != nil {
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

// pin commits where partitions begin.
func (s *session) pin(ctx context.Context, pins []offer) error {
	if len(pins) == 0 {
		return nil
	}
	var m member
	m.id, m.generation = s.cl.GroupMetadata()
	out, err := s.send(ctx, m, pins)
	if out == applied {
		return nil
	}
	err = fmt.Errorf("committing where to begin: %s: %w", out, err)
	if out != refused {
		s.end(err) // it may yet be applied: only a new membership is safe from it
	}
	return err
}

// survey asks for the topic's id and what its partitions hold.
func (s *session) survey(ctx context.Context) (topicID, map[int32]bounds, error) {
	topic := s.c.cfg.Topic
	topics, err := s.admin.ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	if err != nil {
		return topicID{}, nil, fmt.Errorf("asking for topic %s: %w", topic, err)
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
	return topicID(topics[topic].ID), limits, nil
}

// ground is what where to begin depends on, beside the partition itself.
type ground struct {
	cfg     config.Kafka
	topicID topicID
	held    []extent // of this topic
}

// begin returns where to begin with partition, and the history up to there. When
// the group's offset does not fit, the error says how, and the offset is the one
// at which to go on if that is wanted all the same.
func (g *ground) begin(partition int32, at standing, b bounds) (int64, stamp, error) {
	history, _ := parseStamp(at.metadata)
	holds := int64(-1)
	for _, m := range g.held {
		if m.partition == partition {
			holds = m.next
		}
	}
	oldest := max(b.start, min(holds, b.end)) // that this directory does not hold
	switch {
	case at.offset < 0 && holds >= 0:
		return oldest, stamp{}, fmt.Errorf("this directory holds its records up to offset %d, but the group has no offset for it any more: it has expired, or the topic or the group was deleted", holds)
	case at.offset < 0 && g.cfg.StartOffset == "latest":
		return b.end, stamp{}, nil
	case at.offset < 0:
		return b.start, stamp{}, nil
	case history.topicID != (topicID{}) && history.topicID != g.topicID:
		return b.start, stamp{}, fmt.Errorf("the topic was made again since offset %d was committed: its id was %v, now it is %v", at.offset, history.topicID, g.topicID)
	case at.offset < b.start:
		return oldest, history, fmt.Errorf("the group is at offset %d, but the oldest record is %d: %d were removed before they were consumed", at.offset, b.start, b.start-at.offset)
	case at.offset > b.end:
		return oldest, history, fmt.Errorf("the group is at offset %d, but the topic ends at %d: it was truncated or made again", at.offset, b.end)
	case at.offset < holds:
		return oldest, history, fmt.Errorf("the group is at offset %d, but this directory holds its records up to %d: the group was set back, and they would be stored twice", at.offset, holds)
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
