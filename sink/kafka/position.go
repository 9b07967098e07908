package kafka

// The position: what the journal of the files keeps beside a transaction's file
// lengths. It says which records are in those lengths, and whose commit to the
// group decides about them. Opaque to the files; read again after a crash.

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// owner names one session of one consumer: from joining the group to leaving
// it, or to the first commit whose outcome is unknown. It begins with the name
// of the consumer's directory; the rest is random and never used again.
type owner string

// directoryName is what the owners of all sessions of one directory begin with,
// given the group instance id that is kept in it.
func directoryName(instance string) string { return instance[:min(len(instance), 8)] }

func newOwner(instance string) owner {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return owner(directoryName(instance) + "-" + hex.EncodeToString(b[:]))
}

// of reports whether o is a session of the directory with that name.
func (o owner) of(directory string) bool { return strings.HasPrefix(string(o), directory+"-") }

// topicID is the cluster's id of a topic; a topic made again has another.
type topicID [16]byte

func (id topicID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id topicID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *topicID) UnmarshalText(text []byte) error {
	if len(text) != 2*len(id) {
		return fmt.Errorf("%q is not a topic id", text)
	}
	_, err := hex.Decode(id[:], text)
	return err
}

// span is the part of one partition that a transaction has consumed: the offsets
// from Base up to, not including, Next. The group's committed offset is Base
// before the transaction and Next after it.
type span struct {
	Partition int32 `json:"partition"`
	Base      int64 `json:"base"`
	Next      int64 `json:"next"`
}

// extent is how far into a partition this directory's files reach.
type extent struct {
	Partition int32 `json:"partition"`
	Next      int64 `json:"next"`
}

// position is everything there is to know of one transaction.
type position struct {
	Cluster    string  `json:"cluster,omitempty"` // cluster id; versions before this one did not note it
	Group      string  `json:"group"`
	Topic      string  `json:"topic"`
	TopicID    topicID `json:"topicID"`
	Owner      owner   `json:"owner"`
	Generation int32   `json:"generation"` // of the group; shown in the message of a stop
	// Spans are in ascending order of their partitions.
	Spans []span `json:"spans"`
	// Stored are the ends of what earlier transactions have stored in this directory,
	// for every partition that it ever consumed. They tell a group
	// whose offsets were lost or set back from a new one. In ascending order.
	Stored []extent `json:"held,omitempty"`
}

// storedAfter returns Stored as it is once the transaction has been decided.
func (p *position) storedAfter() []extent {
	stored := slices.Clone(p.Stored)
	for _, s := range p.Spans {
		stored = setEnd(stored, s.Partition, s.Next)
	}
	return stored
}

// setEnd sets the end of what is stored of partition. The extents stay in ascending
// order.
func setEnd(stored []extent, partition int32, next int64) []extent {
	i, found := slices.BinarySearchFunc(stored, partition, func(m extent, p int32) int { return int(m.Partition) - int(p) })
	if found {
		stored[i].Next = next
		return stored
	}
	return slices.Insert(stored, i, extent{partition, next})
}

// String names the spans: "3 [100,120), 7 [5,9)".
func (p *position) String() string {
	parts := make([]string, len(p.Spans))
	for i, s := range p.Spans {
		parts[i] = fmt.Sprintf("%d [%d,%d)", s.Partition, s.Base, s.Next)
	}
	return strings.Join(parts, ", ")
}

// positionVersion is that of the JSON that encode writes.
const positionVersion = 2

type versionedPosition struct {
	Version int `json:"version"`
	position
}

var errPosition = errors.New("position does not read")

func (p *position) encode() []byte {
	b, err := json.Marshal(versionedPosition{positionVersion, *p})
	if err != nil {
		panic(err) // strings and numbers: cannot fail
	}
	return b
}

// decodePosition reads what encode wrote, in this version or before. The error
// wraps errPosition.
func decodePosition(b []byte) (*position, error) {
	if len(b) > 0 && b[0] == 1 {
		return legacyPosition(b)
	}
	var p versionedPosition
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("%w: %w: %q", errPosition, err, b)
	}
	if p.Version != positionVersion {
		return nil, fmt.Errorf("%w: version %d, this program knows %d", errPosition, p.Version, positionVersion)
	}
	last := int32(-1)
	for _, s := range p.Spans {
		if s.Partition <= last || s.Base < 0 || s.Next <= s.Base {
			return nil, fmt.Errorf("%w: the span %+v cannot be", errPosition, s)
		}
		last = s.Partition
	}
	last = -1
	for _, e := range p.Stored {
		if e.Partition <= last || e.Next < 0 {
			return nil, fmt.Errorf("%w: the extent %+v cannot be", errPosition, e)
		}
		last = e.Partition
	}
	return &p.position, nil
}
