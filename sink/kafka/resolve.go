package kafka

// What became of a transaction that was prepared and whose commit has no known
// outcome: this process crashed, or no answer came. Asked only once a commit
// that is still on its way can no longer be applied (see commit.go).

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"logforge/sink/hourly"
)

// verdict is what became of a transaction.
type verdict uint8

const (
	undecidable verdict = iota // what the group says does not tell
	committed                  // the group has its offsets: its lines are valid
	dropped                    // the group does not have them: its records are consumed again, here or elsewhere
)

func (v verdict) String() string { return [...]string{"undecidable", "committed", "dropped"}[v] }

// committedOffset is what the group has committed for one partition.
type committedOffset struct {
	offset   int64 // -1 when there is nothing
	metadata string
}

// ErrUndecidable is returned when it cannot be told whether a transaction was
// committed: only a person can, by setting the group's offsets.
var ErrUndecidable = errors.New("cannot tell what became of a transaction")

// resolve says what became of transaction tx, given what the group has committed for
// each of its partitions (a missing one reads as nothing committed). The
// partitions of one transaction are committed by one request, so all must agree;
// otherwise the error wraps ErrUndecidable and tells what a person has to know.
func resolve(tx hourly.TxID, p *position, group map[int32]committedOffset) (verdict, error) {
	var whys []string
	counts := [3]int{}
	for _, s := range p.Spans {
		at, ok := group[s.Partition]
		if !ok {
			at.offset = -1
		}
		v, why := verdictIn(tx, p, s, at)
		counts[v]++
		whys = append(whys, fmt.Sprintf("partition %d [%d,%d): %s", s.Partition, s.Base, s.Next, why))
	}
	switch len(p.Spans) {
	case counts[committed]:
		return committed, nil
	case counts[dropped]:
		return dropped, nil
	}
	return undecidable, fmt.Errorf("%w: %v of group %s, topic %s: %s. "+
		"Stop every consumer of the group; then either set its offsets of all these partitions back to the first of the two numbers, "+
		"and the records are consumed again, or to the second, and the lines already in this directory count. "+
		"Where another consumer has gone on past the second number, its directory begins there or at the first: choose what fits it",
		ErrUndecidable, tx, p.Group, p.Topic, strings.Join(whys, "; "))
}

// verdictIn says what became of tx in one partition, and why.
func verdictIn(tx hourly.TxID, p *position, s span, at committedOffset) (verdict, string) {
	if at.offset < 0 {
		return undecidable, "the group has no offset (expired, or the topic or the group was deleted)"
	}
	st, ours := parseStamp(at.metadata)
	switch {
	case !ours && at.offset == s.Base:
		return dropped, "set to where it began by hand"
	case !ours && at.metadata == "" && at.offset == s.Next:
		return committed, "set to where it ended by hand"
	case !ours:
		return undecidable, fmt.Sprintf("offset %d was committed by something else (metadata %q)", at.offset, at.metadata)
	case st.topicID != p.TopicID:
		return undecidable, fmt.Sprintf("the topic was made again: id %v, then %v", p.TopicID, st.topicID)
	case st.tx == tx && at.offset == s.Next:
		return committed, "its own commit is the last one"
	case st.tx == tx:
		return undecidable, fmt.Sprintf("its own commit is the last one, but at offset %d", at.offset)
	case at.offset == s.Base:
		return dropped, "nothing committed since"
	case at.offset < s.Base:
		return undecidable, fmt.Sprintf("the offset was set back to %d", at.offset)
	}
	// Others have committed since. If our commit was applied, the ownership at base
	// is ours, and the next one begins where we ended. If that ownership is another
	// owner's, our commit was never applied. Such an ownership need not begin at
	// base: an earlier owner that gets the partition back continues its old one.
	t, after, known, more := st.at(s.Base)
	switch {
	case !known:
		return undecidable, fmt.Sprintf("now at offset %d, with more changes of owner since than the history holds", at.offset)
	case t.owner == p.Owner && more && after.start == s.Next:
		return committed, fmt.Sprintf("%v went on from where it ended", after.owner)
	case t.owner != p.Owner:
		return dropped, fmt.Sprintf("%v went on from where it began", t.owner)
	}
	return undecidable, fmt.Sprintf("now at offset %d, and the history contradicts it: %v had it from %d", at.offset, t.owner, t.start)
}

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
	if p.Group != s.c.cfg.GroupID || p.Topic != s.c.cfg.Topic {
		return s.c.elsewhere(p, "")
	}
	crashPoint("resolving")
	group, err := s.committedOffsets(ctx)
	if err != nil {
		return err
	}
	v, err := resolve(tx.ID, p, group)
	crashPoint("resolved")
	s.c.resolved[v].Inc()
	switch v {
	case committed:
		err = s.c.files.Decide(tx.ID)
		s.c.setStored(p.storedAfter(), p.TopicID)
	case dropped:
		err = s.c.files.Rollback()
	}
	if err != nil {
		return err
	}
	crashPoint("recovered")
	s.c.log.Info("found out what became of an undecided transaction", "tx", tx.ID, "verdict", v, "generation", p.Generation, "partitions", p)
	return nil
}

// committedOffsets asks the group what it has committed for the topic.
func (s *session) committedOffsets(ctx context.Context) (map[int32]committedOffset, error) {
	all, err := s.admin.FetchOffsets(ctx, s.c.cfg.GroupID)
	if err == nil {
		err = all.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking group %s for its offsets: %w", s.c.cfg.GroupID, err)
	}
	group := map[int32]committedOffset{}
	for _, o := range all[s.c.cfg.Topic] {
		group[o.Partition] = committedOffset{o.At, o.Metadata}
	}
	return group, nil
}
