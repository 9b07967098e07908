package archive

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"logforge/codec"
	"logforge/sink/hourly"
)

// progress is how far a destination is with one generation of one hour.
type progress struct {
	extent hourly.Extent // as last seen
	asked  bool          // the destination has said which parts it has
	next   int64         // everything before it is stored
	ahead  []Part        // stored as well, beyond a gap; in order

	checked time.Time // when the destination last said which parts it has
	lacking int       // how often in a row it then lacked some that were stored

	grown time.Time // when the extent was last seen to grow
	since time.Time // when the oldest byte that is not stored was first seen

	slot  int // of the part under way, or of one that a crash has left; -1 if none
	part  Part
	tries int       // failures in a row
	retry time.Time // not before
	err   error     // of the last of them
}

func newProgress(e hourly.Extent, now time.Time) *progress {
	return &progress{extent: e, grown: now, since: now, slot: -1}
}

// partRule says when a part is begun, and how large it is.
type partRule struct {
	after    time.Duration // the hour has been quiet for this long
	bytes    int64         // or so much is waiting
	look     time.Duration // how often the files are looked at
	parallel int           // parts stored at the same time
	growing  bool          // also while the hour grows
}

// patience is how long a line may wait in an hour that never becomes quiet,
// because a late line comes to it again and again: longer than an hour that is
// written from its beginning to its end.
func (r partRule) patience() time.Duration { return time.Hour + 2*r.after }

// pending returns how many bytes are not stored.
func (p *progress) pending() int64 {
	n := max(0, p.extent.Length-p.next)
	for _, a := range p.ahead {
		n -= a.To - a.From
	}
	return max(0, n)
}

// due reports whether a part is to be begun now.
func (p *progress) due(r partRule, now time.Time) bool {
	switch {
	case !p.asked || p.next >= p.extent.Length:
		return false
	case len(p.ahead) > 0, p.extent.Length-p.next >= r.bytes: // a gap is not waited for
		return true
	}
	return r.growing || now.Sub(p.grown) >= r.after || now.Sub(p.since) >= r.patience()
}

// nextRange returns the range of the next part: from next to at most end, and to where the line ends
// that holds the byte before from+bytes, if that is shorter; search says that the caller has to look for it.
func (p *progress) nextRange(r partRule, end int64) (from, to int64, search bool) {
	if len(p.ahead) > 0 {
		end = min(end, p.ahead[0].From)
	}
	if end-p.next > r.bytes {
		return p.next, p.next + r.bytes, true
	}
	return p.next, end, false
}

// add notes that the destination has part [from, to). Parts that overlap are an
// error: one of them was not made by this program from these lines.
func (p *progress) add(part Part) error {
	i, found := slices.BinarySearchFunc(p.ahead, part, func(a, b Part) int { return cmp.Compare(a.From, b.From) })
	switch {
	case found && p.ahead[i].To == part.To:
		return nil // again
	case found, part.From < p.next,
		i > 0 && p.ahead[i-1].To > part.From,
		i < len(p.ahead) && part.To > p.ahead[i].From:
		return fmt.Errorf("%v: overlaps with another part that is stored already: %w", part, errDamaged)
	}
	p.ahead = slices.Insert(p.ahead, i, part)
	for len(p.ahead) > 0 && p.ahead[0].From == p.next {
		p.next = p.ahead[0].To
		p.ahead = slices.Delete(p.ahead, 0, 1)
	}
	return nil
}

// has reports whether the whole of part is stored.
func (p *progress) has(part Part) bool {
	return part.To <= p.next || slices.ContainsFunc(p.ahead, func(a Part) bool { return a.From <= part.From && part.To <= a.To })
}

// table is progress by hour.
type table map[codec.Hour]*progress
