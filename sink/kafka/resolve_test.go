package kafka

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/config"
	"logforge/sink/hourly"
)

func TestResolve_WhatBecameOfATransactionIsReadFromTheGroup(t *testing.T) {
	me, b, c := owner("1"), owner("2"), owner("3")
	id := topicID{9}
	tx, other := hourly.TxID{1}, hourly.TxID{2}
	mine := &position{Group: "g", Topic: "logs", TopicID: id, Owner: me, Spans: []span{{0, 100, 120}}}

	metadata := func(tx hourly.TxID, of topicID, owners ...ownership) string {
		s := stamp{tx: tx, topicID: of, owners: owners}
		return s.encode()
	}
	f := func(name string, offset int64, metadata string, want verdict) {
		t.Helper()
		got, err := resolve(tx, mine, map[int32]committedOffset{0: {offset, metadata}})
		if got != want {
			t.Errorf("%s: %v (%v), want %v", name, got, err, want)
		}
		if (err != nil) != (want == undecidable) || err != nil && !errors.Is(err, ErrUndecidable) {
			t.Errorf("%s: error %v", name, err)
		}
	}

	f("its own commit is the last one", 120, metadata(tx, id, ownership{me, 0}), committed)
	f("its own commit is the last one, the first of its ownership", 120, metadata(tx, id, ownership{b, 0}, ownership{me, 100}), committed)
	f("its own commit is the last one elsewhere", 130, metadata(tx, id, ownership{me, 0}), undecidable)

	f("still at the base, its own earlier commit", 100, metadata(other, id, ownership{me, 0}), dropped)
	f("still at the base, somebody's", 100, metadata(other, id, ownership{b, 50}), dropped)
	f("still at the base, only pinned", 100, metadata(hourly.TxID{}, id), dropped)

	f("somebody went on from its end", 200, metadata(other, id, ownership{me, 0}, ownership{b, 120}), committed)
	f("somebody went on from its end, it had just begun", 200, metadata(other, id, ownership{b, 0}, ownership{me, 100}, ownership{b, 120}), committed)
	f("many went on from its end", 900, metadata(other, id, ownership{me, 0}, ownership{b, 120}, ownership{c, 121}, ownership{b, 300}), committed)
	f("somebody took over at its base", 200, metadata(other, id, ownership{me, 0}, ownership{b, 100}), dropped)
	f("somebody took over at its base, and another began where it would have ended", 200, metadata(other, id, ownership{me, 0}, ownership{b, 100}, ownership{c, 120}), dropped)
	f("somebody took over at its base, it had just begun", 110, metadata(other, id, ownership{b, 0}, ownership{c, 100}), dropped)
	f("somebody took over at its base with its own end", 120, metadata(other, id, ownership{me, 0}, ownership{b, 100}), dropped)

	f("its owner from before got it back", 200, metadata(other, id, ownership{b, 50}), dropped)

	f("the history begins later", 900, metadata(other, id, ownership{b, 120}, ownership{c, 300}), undecidable)
	f("somebody went on from elsewhere", 200, metadata(other, id, ownership{me, 0}, ownership{b, 130}), undecidable)
	f("it went on itself", 200, metadata(other, id, ownership{me, 0}), undecidable)
	f("set back", 50, metadata(other, id, ownership{b, 0}), undecidable)
	f("nothing committed", -1, "", undecidable)
	f("the topic was made again", 100, metadata(other, topicID{8}), undecidable)
	f("the topic was made again, and its offsets look right", 120, metadata(tx, topicID{8}), undecidable)

	f("set to the base by hand", 100, "", dropped)
	f("set to the end by hand", 120, "", committed)
	f("set elsewhere by hand", 110, "", undecidable)
	f("another program's at the end", 120, "theirs", undecidable)
}

func TestResolve_PartitionsThatDisagreeStopTheConsumer(t *testing.T) {
	tx := hourly.TxID{1}
	p := &position{Group: "g", Topic: "logs", Owner: owner("1"), Spans: []span{{0, 0, 10}, {1, 5, 9}}}
	at := func(offset int64, tx hourly.TxID) committedOffset {
		s := stamp{tx: tx, owners: []ownership{{owner("1"), 0}}}
		return committedOffset{offset, s.encode()}
	}
	f := func(a, b committedOffset, want verdict) {
		t.Helper()
		got, err := resolve(tx, p, map[int32]committedOffset{0: a, 1: b})
		if got != want || (err != nil) != (want == undecidable) {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
		for _, say := range []string{"group g", "topic logs", "partition 0 [0,10)", "partition 1 [5,9)"} {
			if err != nil && !strings.Contains(err.Error(), say) {
				t.Errorf("%q is not in %q", say, err)
			}
		}
	}
	f(at(10, tx), at(9, tx), committed)
	f(at(0, hourly.TxID{2}), at(5, hourly.TxID{3}), dropped)
	f(at(10, tx), at(5, hourly.TxID{3}), undecidable)
	f(at(0, hourly.TxID{2}), at(9, tx), undecidable)
	f(at(10, tx), committedOffset{-1, ""}, undecidable)
}

func TestCommit_AnAnswerIsRefusalOnlyWhenNothingCanHaveBeenWritten(t *testing.T) {
	f := func(want outcome, errs ...*kerr.Error) {
		t.Helper()
		resp := kmsg.NewPtrOffsetCommitResponse()
		topic := kmsg.NewOffsetCommitResponseTopic()
		var offers []offer
		for i, e := range errs {
			offers = append(offers, offer{partition: int32(i)})
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition = int32(i)
			if e != nil {
				p.ErrorCode = e.Code
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		resp.Topics = append(resp.Topics, topic)
		got, err := classify(offers, resp)
		if got != want || (err == nil) != (want == applied) {
			t.Errorf("%v: %v, %v; want %v", errs, got, err, want)
		}
	}
	f(applied, nil)
	f(applied, nil, nil)
	for _, e := range []*kerr.Error{
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.RebalanceInProgress,
		kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.OffsetMetadataTooLarge, kerr.StaleMemberEpoch,
	} {
		f(refused, e)
		f(refused, e, e)
		f(split, nil, e)
		f(unknown, e, kerr.RequestTimedOut)
	}
	for _, e := range []*kerr.Error{
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RequestTimedOut,
		kerr.UnknownServerError, kerr.NotEnoughReplicasAfterAppend, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID,
	} {
		f(unknown, e)
		f(unknown, nil, e)
	}
	// An answer that leaves a partition out says nothing of it.
	if got, err := classify([]offer{{partition: 0}}, kmsg.NewPtrOffsetCommitResponse()); got != unknown || err == nil {
		t.Errorf("an empty answer: %v, %v", got, err)
	}
}

func TestStartRule_WhereToBegin(t *testing.T) {
	now, before := topicID{1}, topicID{2}
	b := bounds{50, 200}
	stamped := func(id topicID) string { s := stamp{topicID: id}; return s.encode() }
	f := func(name string, g startRule, at committedOffset, b bounds, want int64, says string) {
		t.Helper()
		got, _, err := g.begin(3, at, b)
		if got != want {
			t.Errorf("%s: begins at %d, want %d (%v)", name, got, want, err)
		}
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	fresh := startRule{cfg: config.Kafka{StartOffset: "earliest"}, topicID: now}
	f("never committed", fresh, committedOffset{-1, ""}, b, 50, "")
	f("never committed, from the end", startRule{cfg: config.Kafka{StartOffset: "latest"}, topicID: now}, committedOffset{-1, ""}, b, 200, "")
	f("goes on", fresh, committedOffset{120, stamped(now)}, b, 120, "")
	f("goes on at the first record", fresh, committedOffset{50, stamped(now)}, b, 50, "")
	f("goes on at the end", fresh, committedOffset{200, stamped(now)}, b, 200, "")
	f("set by hand", fresh, committedOffset{120, ""}, b, 120, "")
	f("retention has passed", fresh, committedOffset{40, stamped(now)}, b, 50, "10 were removed")
	f("truncated", fresh, committedOffset{201, stamped(now)}, b, 50, "ends at 200")
	f("made again", fresh, committedOffset{120, stamped(before)}, b, 50, "made again")
	f("emptied", fresh, committedOffset{120, stamped(now)}, bounds{0, 0}, 0, "ends at 0")

	holding := startRule{cfg: config.Kafka{StartOffset: "earliest"}, topicID: now, stored: []extent{{2, 10}, {3, 130}}}
	f("another went on", holding, committedOffset{150, stamped(now)}, b, 150, "")
	f("where it ended", holding, committedOffset{130, stamped(now)}, b, 130, "")
	f("offsets expired", holding, committedOffset{-1, ""}, b, 130, "no offset")
	f("offsets expired, and records with them", holding, committedOffset{-1, ""}, bounds{140, 200}, 140, "no offset")
	f("set back", holding, committedOffset{120, stamped(now)}, b, 130, "stored twice")
	f("set back by hand", holding, committedOffset{120, ""}, b, 130, "stored twice")
	f("truncated below what it holds", holding, committedOffset{130, stamped(now)}, bounds{50, 90}, 90, "ends at 90")
}
