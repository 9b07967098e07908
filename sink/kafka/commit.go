package kafka

// The exactly-once protocol, between the files and the group. Each transaction
// goes through
//
//	append    lines behind the files' committed lengths
//	prepare   files on disk; then, in the journal, their lengths and the position
//	commit    OffsetCommit to the group's coordinator: the decision
//	decide    in the journal: the new lengths count
//
// The coordinator is the fence: it takes commits of the group's members only, and
// when a process joins with a group instance id that is in the group already, it
// gets a new member id and the old one is refused from then on. So
//
//   - a refusal means the offsets have not moved: roll back;
//   - an unknown outcome (no answer, or an error that can be reported after the
//     offsets were written) ends the session, and the next one joins anew before
//     it asks the group: by then a commit that is still on its way can only be
//     refused, and what the group says stays true.
//
// For the same reason a commit is sent once. A client that sends it again, as
// kgo.CommitOffsetsSync does after a lost connection, leaves the first one on its
// way; it could arrive after the next transaction's commit, from a member that is
// still in the group, and set the offsets back.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout is how long a commit may take before its outcome is unknown.
const commitTimeout = 10 * time.Second

// outcome is what is known of a commit after it was sent.
type outcome uint8

const (
	unknown outcome = iota // it may have been applied, or yet be
	applied                // the group has the offsets
	refused                // the group has not, and never will
	split                  // it has for some partitions only; must not happen
)

func (o outcome) String() string { return [...]string{"unknown", "committed", "refused", "split"}[o] }

// refusals are the answers that a coordinator gives before it writes anything.
// Every other error leaves the outcome unknown, also those that look harmless:
// COORDINATOR_NOT_AVAILABLE can stand for "written, but not replicated in time".
var refusals = []error{
	kerr.IllegalGeneration,
	kerr.UnknownMemberID,
	kerr.FencedInstanceID,
	kerr.RebalanceInProgress,
	kerr.StaleMemberEpoch,
	kerr.GroupAuthorizationFailed,
	kerr.TopicAuthorizationFailed,
	kerr.OffsetMetadataTooLarge,
}

// offer is what is to be committed for one partition.
type offer struct {
	partition int32
	offset    int64
	epoch     int32 // the leader epoch of the last record before offset; -1 when there is none
	stamp     stamp
}

// member is a membership of the group.
type member struct {
	id         string
	generation int32
}

// send commits offers as m, once. The error says why the outcome is not applied.
func (s *session) send(ctx context.Context, m member, offers []offer) (outcome, error) {
	node, err := s.coordinatorNode(ctx)
	if err != nil {
		return refused, fmt.Errorf("looking for the group's coordinator: %w", err) // nothing was sent
	}
	instance := s.c.instance
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID, req.InstanceID = s.c.cfg.GroupID, m.generation, m.id, &instance
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = s.c.cfg.Topic, s.topicID
	for _, o := range offers {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = o.partition, o.offset, o.epoch
		metadata := o.stamp.encode()
		p.Metadata = &metadata
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)

	ctx, cancel := context.WithTimeout(ctx, s.c.commitTimeout)
	defer cancel()
	resp, err := s.c.request(ctx, s.cl.Broker(int(node)), req)
	if err != nil {
		return unknown, err
	}
	return classify(offers, resp.(*kmsg.OffsetCommitResponse))
}

// classify reads the coordinator's answer to offers.
func classify(offers []offer, resp *kmsg.OffsetCommitResponse) (outcome, error) {
	answered := map[int32]error{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			answered[p.Partition] = kerr.ErrorForCode(p.ErrorCode)
		}
	}
	var counts [split]int
	var first error
	for _, o := range offers {
		err, there := answered[o.partition]
		if !there {
			err = errors.New("not in the answer")
		}
		counts[classifyOne(err)]++
		if err != nil && first == nil {
			first = fmt.Errorf("partition %d: %w", o.partition, err)
		}
	}
	switch {
	case counts[applied] == len(offers):
		return applied, nil
	case counts[refused] == len(offers):
		return refused, first
	case counts[applied] > 0 && counts[refused] > 0:
		return split, first
	default:
		return unknown, first
	}
}

func classifyOne(err error) outcome {
	if err == nil {
		return applied
	}
	for _, r := range refusals {
		if errors.Is(err, r) {
			return refused
		}
	}
	return unknown
}

// coordinatorNode returns the broker that coordinates the group, asked for once
// a session: when it moves, the commit is refused there, and the next session asks
// again.
func (s *session) coordinatorNode(ctx context.Context) (int32, error) {
	s.mu.Lock()
	node := s.coordinator
	s.mu.Unlock()
	if node >= 0 {
		return node, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = s.c.cfg.GroupID, []string{s.c.cfg.GroupID}
	resp, err := req.RequestWith(ctx, s.cl)
	if err != nil {
		return 0, err
	}
	code := resp.ErrorCode
	node = resp.NodeID
	if len(resp.Coordinators) > 0 {
		node, code = resp.Coordinators[0].NodeID, resp.Coordinators[0].ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.coordinator = node
	s.mu.Unlock()
	return node, nil
}
