package kafka

// The stamp: the metadata string of every offset that a consumer commits. By it
// whoever asks later can tell whose commit stands there, and, when others have
// committed since, who had the partition at which offset.

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"

	"logforge/sink/hourly"
)

// tenure is one owner's time with a partition: from offset start to the next
// tenure's start, or to the committed offset.
type tenure struct {
	owner owner
	start int64
}

// stamp is the metadata of one partition's committed offset.
type stamp struct {
	tx      hourly.TxID // zero for the first commit of a partition, which only pins where it begins
	topicID topicID
	owners  []tenure // ascending starts; the last is whoever committed
}

// maxTenures bounds the history, and with it the metadata: at most 16+16+1+64 ×
// (8+10) bytes, 1,580 in base64, of the 4,096 that a broker allows
// (offset.metadata.max.bytes). A process that comes back with an undecided
// transaction after more than so many changes of a partition's owner cannot
// tell any more what became of it.
const maxTenures = 64

// follow returns the stamp for o's commit of tx, whose first offset is base, on
// top of what s says.
func (s *stamp) follow(o owner, base int64, tx hourly.TxID, id topicID) stamp {
	owners := s.owners
	if n := len(owners); n == 0 || owners[n-1].owner != o {
		// A copy: s stays what is committed until the new one is.
		owners = append(owners[:n:n], tenure{o, base})
	}
	if n := len(owners); n > maxTenures {
		owners = owners[n-maxTenures:]
	}
	return stamp{tx: tx, topicID: id, owners: owners}
}

// at returns the tenure that offset belongs to, and the one after it. ok is
// false when the history does not reach so far back; more is false when the
// tenure is the last one.
func (s *stamp) at(offset int64) (t, after tenure, ok, more bool) {
	for i := len(s.owners) - 1; i >= 0; i-- {
		if s.owners[i].start > offset {
			continue
		}
		if i+1 < len(s.owners) {
			return s.owners[i], s.owners[i+1], true, true
		}
		return s.owners[i], tenure{}, true, false
	}
	return tenure{}, tenure{}, false, false
}

// stampPrefix names the format; behind it base64 of tx, topic id, and for each
// tenure its owner and its start as a uvarint distance from the one before.
const stampPrefix = "logforge1:"

func (s *stamp) encode() string {
	b := append(make([]byte, 0, 256), s.tx[:]...)
	b = append(b, s.topicID[:]...)
	last := int64(0)
	for _, t := range s.owners {
		b = append(b, t.owner[:]...)
		b = binary.AppendUvarint(b, uint64(t.start-last))
		last = t.start
	}
	return stampPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// parseStamp reads what encode wrote; false for anything else: no metadata, or
// another program's.
func parseStamp(text string) (stamp, bool) {
	text, ok := strings.CutPrefix(text, stampPrefix)
	if !ok {
		return stamp{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return stamp{}, false
	}
	r := reader{b: b}
	var s stamp
	copy(s.tx[:], r.bytes(uint64(len(s.tx))))
	copy(s.topicID[:], r.bytes(uint64(len(s.topicID))))
	last := uint64(0)
	for len(r.b) > 0 && !r.bad {
		var t tenure
		copy(t.owner[:], r.bytes(uint64(len(t.owner))))
		step := r.number(math.MaxInt64 - last)
		if step == 0 && len(s.owners) > 0 {
			r.bad = true // an owner that has committed nothing is not in the history
		}
		last += step
		t.start = int64(last)
		s.owners = append(s.owners, t)
	}
	if r.bad {
		return stamp{}, false
	}
	return s, true
}
