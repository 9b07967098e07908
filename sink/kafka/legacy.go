package kafka

// What versions before this one wrote into journals and commits: the same
// contents in a binary form. It is read, so that an update loses no place, and
// never written.

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

// legacyOwner is an owner of those versions: eight random bytes.
func legacyOwner(b []byte) owner { return owner(hex.EncodeToString(b)) }

// legacyPosition reads a position that begins with the byte 1. Behind it are
// group and topic (length, bytes), topic id, owner, generation, then spans
// (count; partition as the distance from the one before, base, next-base) and
// held (count; partition likewise, next). Numbers are uvarints. The error wraps
// errPosition.
func legacyPosition(b []byte) (*position, error) {
	r := reader{b: b[1:]}
	p := new(position)
	p.Group = string(r.bytes(r.number(math.MaxInt32)))
	p.Topic = string(r.bytes(r.number(math.MaxInt32)))
	copy(p.TopicID[:], r.bytes(uint64(len(p.TopicID))))
	p.Owner = legacyOwner(r.bytes(8))
	p.Generation = int32(uint32(r.number(math.MaxUint32)))
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
		p.Spans = append(p.Spans, span{int32(last), int64(base), int64(base + size)})
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
		p.Stored = append(p.Stored, extent{int32(last), int64(next)})
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %x", errPosition, b)
	}
	return p, nil
}

// legacyPrefix begins a stamp of those versions. Behind it is base64 of
// transaction, topic id, and for each ownership its owner and its start as a
// uvarint distance from the one before.
const legacyPrefix = "logforge1:"

func legacyStamp(text string) (stamp, bool) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, legacyPrefix))
	if err != nil {
		return stamp{}, false
	}
	r := reader{b: b}
	var s stamp
	copy(s.tx[:], r.bytes(uint64(len(s.tx))))
	copy(s.topicID[:], r.bytes(uint64(len(s.topicID))))
	last := uint64(0)
	for len(r.b) > 0 && !r.bad {
		o := ownership{owner: legacyOwner(r.bytes(8))}
		step := r.number(math.MaxInt64 - last)
		if step == 0 && len(s.owners) > 0 {
			r.bad = true // an owner that has committed nothing is not in the history
		}
		last += step
		o.start = int64(last)
		s.owners = append(s.owners, o)
	}
	if r.bad {
		return stamp{}, false
	}
	return s, true
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
