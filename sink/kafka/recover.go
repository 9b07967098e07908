package kafka

// The two ends of a session: what an earlier one left undecided, and leaving the
// group.

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// recover finds out what became of the transaction that the files hold prepared,
// if there is one, and ends it. Called when the group has been joined, before
// anything is consumed.
func (s *session) recover(ctx context.Context) error {
	tx, ok := s.c.files.Pending()
	if !ok {
		return nil
	}
	p, err := decodePosition(tx.Position)
	if err != nil {
		return fmt.Errorf("%w: %v: %w", ErrUndecidable, tx.ID, err)
	}
	if p.group != s.c.cfg.GroupID || p.topic != s.c.cfg.Topic {
		return fmt.Errorf("%w: %v is of group %s, topic %s: start once with these, so that it can be ended", ErrUndecidable, tx.ID, p.group, p.topic)
	}
	crashPoint("resolving")
	group, err := s.standings(ctx)
	if err != nil {
		return err
	}
	v, err := resolve(tx.ID, p, group)
	crashPoint("resolved")
	s.c.resolved[v].Inc()
	switch v {
	case committed:
		err = s.c.files.Decide(tx.ID)
		s.c.hold(p.after(), p.topicID)
	case dropped:
		err = s.c.files.Rollback()
	}
	if err != nil {
		return err
	}
	crashPoint("recovered")
	s.c.log.Info("found out what became of an undecided transaction", "tx", tx.ID, "verdict", v, "generation", p.generation, "partitions", p)
	return nil
}

// standings asks the group what it has committed for the topic.
func (s *session) standings(ctx context.Context) (map[int32]standing, error) {
	all, err := s.admin.FetchOffsets(ctx, s.c.cfg.GroupID)
	if err == nil {
		err = all.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking group %s for its offsets: %w", s.c.cfg.GroupID, err)
	}
	group := map[int32]standing{}
	for _, o := range all[s.c.cfg.Topic] {
		group[o.Partition] = standing{o.At, o.Metadata}
	}
	return group, nil
}

// leave takes this process out of the group, so that its partitions go to the
// others now and not after the session time-out: a static member does not leave
// when its client is closed. Only after everything was decided.
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
