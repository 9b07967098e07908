package kafka

// The stamp: the metadata string of every offset that a consumer commits. It
// tells whose commit the offset is and, when others have committed since, which
// owner had the partition at which offset.

import (
	"encoding/json"
	"strings"

	"logforge/sink/hourly"
)

// ownership is one owner's time with a partition: from offset start to the next
// ownership's start, or to the committed offset.
type ownership struct {
	owner owner
	start int64
}

// stamp is the metadata of one partition's committed offset.
type stamp struct {
	tx      hourly.TxID // zero for the first commit of a partition, which only says where it begins
	topicID topicID
	owners  []ownership // ascending starts; the last is the owner that committed
}

// maxOwnerships bounds the history, and with it the metadata: less than 120 + 64 ×
// 51 bytes of the 4,096 that a broker allows (offset.metadata.max.bytes). A
// process that comes back with an undecided transaction after more than so many
// changes of a partition's owner can no longer tell what became of it.
const maxOwnerships = 64

// follow returns the stamp for o's commit of tx, whose first offset is base, on
// top of what s says.
func (s *stamp) follow(o owner, base int64, tx hourly.TxID, id topicID) stamp {
	owners := s.owners
	for n := len(owners); n > 0 && owners[n-1].start >= base && owners[n-1].owner != o; n-- {
		owners = owners[:n-1] // the offset was set back: what they had is not in the topic any more, or comes again
	}
	if n := len(owners); n == 0 || owners[n-1].owner != o {
		// A copy: s stays what is committed until the new one is.
		owners = append(owners[:n:n], ownership{o, base})
	}
	if n := len(owners); n > maxOwnerships {
		owners = owners[n-maxOwnerships:]
	}
	return stamp{tx: tx, topicID: id, owners: owners}
}

// at returns the ownership that offset belongs to, and the one after it. ok is
// false when the history does not reach so far back; more is false when the
// ownership is the last one.
func (s *stamp) at(offset int64) (t, after ownership, ok, more bool) {
	for i := len(s.owners) - 1; i >= 0; i-- {
		if s.owners[i].start > offset {
			continue
		}
		if i+1 < len(s.owners) {
			return s.owners[i], s.owners[i+1], true, true
		}
		return s.owners[i], ownership{}, true, false
	}
	return ownership{}, ownership{}, false, false
}

// reached returns the end of what the sessions of a directory have committed, as
// far as the history goes back, when the committed offset is offset; -1 when
// there is nothing. last says that no other directory has committed since.
func (s *stamp) reached(directory string, offset int64) (end int64, last bool) {
	for i := len(s.owners) - 1; i >= 0; i-- {
		if !s.owners[i].owner.of(directory) {
			continue
		}
		if i+1 < len(s.owners) {
			return s.owners[i+1].start, false
		}
		return offset, true
	}
	return -1, false
}

// stampJSON is a stamp as it is written.
type stampJSON struct {
	Version int         `json:"logforge"`
	Tx      string      `json:"tx"`
	TopicID topicID     `json:"topic"`
	Owners  []ownership `json:"owners"`
}

const stampVersion = 2

// MarshalJSON implements json.Marshaler: ["owner",start].
func (o ownership) MarshalJSON() ([]byte, error) { return json.Marshal([]any{o.owner, o.start}) }

// UnmarshalJSON implements json.Unmarshaler.
func (o *ownership) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&o.owner, &o.start})
}

func (s *stamp) encode() string {
	b, err := json.Marshal(stampJSON{stampVersion, s.tx.String(), s.topicID, s.owners})
	if err != nil {
		panic(err) // strings and numbers: cannot fail
	}
	return string(b)
}

// parseStamp reads what encode wrote, in this version or before; false for
// anything else: no metadata, or another program's.
func parseStamp(text string) (stamp, bool) {
	if strings.HasPrefix(text, legacyPrefix) {
		return legacyStamp(text)
	}
	var j stampJSON
	if json.Unmarshal([]byte(text), &j) != nil || j.Version != stampVersion {
		return stamp{}, false
	}
	tx, err := hourly.ParseTxID(j.Tx)
	if err != nil {
		return stamp{}, false
	}
	for i, o := range j.Owners {
		if o.owner == "" || o.start < 0 || i > 0 && o.start <= j.Owners[i-1].start {
			return stamp{}, false // an owner that has committed nothing is not in the history
		}
	}
	return stamp{tx: tx, topicID: j.TopicID, owners: j.Owners}, true
}
