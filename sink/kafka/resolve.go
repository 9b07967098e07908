package kafka

// What became of a transaction that was prepared and whose commit has no known
// outcome: this process crashed, or no answer came. Asked only once a commit
// that is still on its way can no longer be applied (see commit.go).

import (
	"errors"
	"fmt"
	"strings"

	"logforge/sink/hourly"
)

// verdict is what became of a transaction.
type verdict uint8

const (
	undecidable verdict = iota // what the group says does not tell
	committed                  // the group has its offsets: its lines count
	dropped                    // the group has not: its records are consumed again, by whoever
)

func (v verdict) String() string { return [...]string{"undecidable", "committed", "dropped"}[v] }

// standing is what the group has committed for one partition.
type standing struct {
	offset   int64 // -1 when there is nothing
	metadata string
}

// ErrUndecidable is returned when it cannot be told whether a transaction was
// committed: only a person can, by setting the group's offsets.
var ErrUndecidable = errors.New("cannot tell what became of a transaction")

// resolve says what became of transaction tx, asking the group's standing for
// each of its partitions (a missing one reads as nothing committed). The
// partitions of one transaction are committed by one request, so all must agree;
// otherwise the error wraps ErrUndecidable and tells what a person has to know.
func resolve(tx hourly.TxID, p *position, group map[int32]standing) (verdict, error) {
	var whys []string
	counts := [3]int{}
	for _, s := range p.spans {
		at, ok := group[s.partition]
		if !ok {
			at.offset = -1
		}
		v, why := judge(tx, p, s, at)
		counts[v]++
		whys = append(whys, fmt.Sprintf("partition %d [%d,%d): %s", s.partition, s.base, s.next, why))
	}
	switch len(p.spans) {
	case counts[committed]:
		return committed, nil
	case counts[dropped]:
		return dropped, nil
	}
	return undecidable, fmt.Errorf("%w: %v of group %s, topic %s: %s. "+
		"Stop every consumer of the group; then either set its offsets of all these partitions back to the first of the two numbers, "+
		"and the records are consumed again, or to the second, and the lines already in this directory count. "+
		"Where another consumer has gone on past the second number, its directory begins there or at the first: choose what fits it",
		ErrUndecidable, tx, p.group, p.topic, strings.Join(whys, "; "))
}

// judge says what became of tx in one partition, and why.
func judge(tx hourly.TxID, p *position, s span, at standing) (verdict, string) {
	if at.offset < 0 {
		return undecidable, "the group has no offset (expired, or the topic or the group was deleted)"
	}
	st, ours := parseStamp(at.metadata)
	switch {
	case !ours && at.offset == s.base:
		return dropped, "set to where it began by hand"
	case !ours && at.metadata == "" && at.offset == s.next:
		return committed, "set to where it ended by hand"
	case !ours:
		return undecidable, fmt.Sprintf("offset %d was committed by something else (metadata %q)", at.offset, at.metadata)
	case st.topicID != p.topicID:
		return undecidable, fmt.Sprintf("the topic was made again: id %v, then %v", p.topicID, st.topicID)
	case st.tx == tx && at.offset == s.next:
		return committed, "its own commit stands"
	case st.tx == tx:
		return undecidable, fmt.Sprintf("its own commit stands, but at offset %d", at.offset)
	case at.offset == s.base:
		return dropped, "nothing committed since"
	case at.offset < s.base:
		return undecidable, fmt.Sprintf("the offset was set back to %d", at.offset)
	}
	// Others have committed since. The tenure at base is either ours, and then
	// the next one begins where we ended. Or it is not: then our commit was never
	// applied, for it would have made it ours. It need not begin at base: an owner
	// from before us, who gets the partition back, goes on with its old one.
	t, after, known, more := st.at(s.base)
	switch {
	case !known:
		return undecidable, fmt.Sprintf("now at offset %d, with more changes of owner since than the history holds", at.offset)
	case t.owner == p.owner && more && after.start == s.next:
		return committed, fmt.Sprintf("%v went on from where it ended", after.owner)
	case t.owner != p.owner:
		return dropped, fmt.Sprintf("%v went on from where it began", t.owner)
	}
	return undecidable, fmt.Sprintf("now at offset %d, and the history contradicts it: %v had it from %d", at.offset, t.owner, t.start)
}
