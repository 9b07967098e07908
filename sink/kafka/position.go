package kafka

// The position: what the journal of the files keeps beside a transaction's file
// lengths. It says which records are in those lengths, and whose commit to the
// group decides about them. Opaque to sink; read again after a crash.

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// owner names one session of one consumer: from joining the group to leaving
// it, or to the first commit whose outcome is unknown. Random; never used again.
type owner [8]byte

func (o owner) String() string { return hex.EncodeToString(o[:]) }

// topicID is the cluster's id of a topic; a topic made again has another.
type topicID [16]byte

func (id topicID) String() string { return hex.EncodeToString(id[:]) }

// span is the part of one partition that a transaction has consumed: the offsets
// from base up to, not including, next. The group's committed offset is base
// before the transaction and next after it.
type span struct {
	partition  int32
	base, next int64
}

// extent is how far into a partition this directory's files reach.
type extent struct {
	partition int32
	next      int64
}

// position is everything there is to know of one transaction.
type position struct {
	group, topic string
	topicID      topicID
	owner        owner
	generation   int32 // of the group, for whoever reads the message of a stop
	spans        []span
	// held are the ends of what earlier transactions of this directory brought
	// in, for every partition that it ever consumed. By them a group whose
	// offsets were lost or set back is told from a new one.
	held []extent
}

// after returns held as it is once the transaction has been decided.
func (p *position) after() []extent {
	held := slices.Clone(p.held)
	for _, s := range p.spans {
		held = reach(held, s.partition, s.next)
	}
	return held
}

// reach sets how far partition is held. The extents stay in ascending order.
func reach(held []extent, partition int32, next int64) []extent {
	i, found := slices.BinarySearchFunc(held, partition, func(m extent, p int32) int { return int(m.partition) - int(p) })
	if found {
		held[i].next = next
		return held
	}
	return slices.Insert(held, i, extent{partition, next})
}

// String names the spans: "3 [100,120), 7 [5,9)".
func (p *position) String() string {
	parts := make([]string, len(p.spans))
	for i, s := range p.spans {
		parts[i] = fmt.Sprintf("%d [%d,%d)", s.partition, s.base, s.next)
	}
	return strings.Join(parts, ", ")
}

// positionVersion is the first byte of an encoded position. The rest: group and
// topic (length, bytes), topic id, owner, generation, then spans (count;
// partition as the distance from the one before, base, next-base) and held
// (count; partition likewise, next). Numbers are uvarints.
const positionVersion = 1

var errPosition = errors.New("position does not read")

func (p *position) encode() []byte {
	b := []byte{positionVersion}
	for _, s := range []string{p.group, p.topic} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = append(b, p.topicID[:]...)
	b = append(b, p.owner[:]...)
	b = binary.AppendUvarint(b, uint64(uint32(p.generation)))
	b = binary.AppendUvarint(b, uint64(len(p.spans)))
	last := int32(-1)
	for _, s := range p.spans {
		b = binary.AppendUvarint(b, uint64(s.partition-last-1))
		b = binary.AppendUvarint(b, uint64(s.base))
		b = binary.AppendUvarint(b, uint64(s.next-s.base))
		last = s.partition
	}
	b = binary.AppendUvarint(b, uint64(len(p.held)))
	last = -1
	for _, m := range p.held {
		b = binary.AppendUvarint(b, uint64(m.partition-last-1))
		b = binary.AppendUvarint(b, uint64(m.next))
		last = m.partition
	}
	return b
}

// decodePosition reads what encode wrote. The error wraps errPosition.
func decodePosition(b []byte) (*position, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", errPosition)
	}
	if b[0] != positionVersion {
		return nil, fmt.Errorf("%w: version %d, this program knows %d", errPosition, b[0], positionVersion)
	}
	r := reader{b: b[1:]}
	p := new(position)
	p.group = string(r.bytes(r.number(math.MaxInt32)))
	p.topic = string(r.bytes(r.number(math.MaxInt32)))
	copy(p.topicID[:], r.bytes(uint64(len(p.topicID))))
	copy(p.owner[:], r.bytes(uint64(len(p.owner))))
	p.generation = int32(uint32(r.number(math.MaxUint32)))
	last := int64(-1)
	for range r.number(uint64(len(b))) {
		last += 1 + int64(r.number(math.MaxInt32))
		base := r.number(math.MaxInt64)
		size := r.number(math.MaxInt64 - base)
		if last > math.MaxInt32 || size == 0 {
			r.bad = true
		}
		if r.bad {
			break
		}
		p.spans = append(p.spans, span{int32(last), int64(base), int64(base + size)})
	}
	last = -1
	for range r.number(uint64(len(b))) {
		last += 1 + int64(r.number(math.MaxInt32))
		next := r.number(math.MaxInt64)
		if last > math.MaxInt32 {
			r.bad = true
		}
		if r.bad {
			break
		}
		p.held = append(p.held, extent{int32(last), int64(next)})
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %x", errPosition, b)
	}
	return p, nil
}

// reader takes numbers and bytes off the front of b. After the first that does
// not fit, bad is set and everything reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most || r.bad {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
