package kafka

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"testing"

	"logforge/sink/hourly"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var unexported = cmp.AllowUnexported(position{}, span{}, extent{}, stamp{}, ownership{})

func drawPosition(t *rapid.T) *position {
	p := &position{
		Cluster:    rapid.String().Draw(t, "cluster"),
		Group:      rapid.String().Draw(t, "group"),
		Topic:      rapid.String().Draw(t, "topic"),
		Owner:      owner(rapid.String().Draw(t, "owner")),
		Generation: rapid.Int32().Draw(t, "generation"),
	}
	copy(p.TopicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic id"))
	partition := int32(-1)
	for range rapid.IntRange(0, 5).Draw(t, "spans") {
		partition += rapid.Int32Range(1, 1000).Draw(t, "step")
		base := rapid.Int64Range(0, math.MaxInt64-1).Draw(t, "base")
		p.Spans = append(p.Spans, span{partition, base, base + rapid.Int64Range(1, math.MaxInt64-base).Draw(t, "size")})
	}
	partition = -1
	for range rapid.IntRange(0, 5).Draw(t, "held") {
		partition += rapid.Int32Range(1, 1000).Draw(t, "step")
		p.Stored = append(p.Stored, extent{partition, rapid.Int64Range(0, math.MaxInt64).Draw(t, "next")})
	}
	return p
}

func TestPosition_ReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPosition(t)
		got, err := decodePosition(p.encode())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, got, unexported); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPosition_OneThatIsCutShortOrOfAnotherVersionIsRefused(t *testing.T) {
	p := &position{Group: "g", Topic: "t", Spans: []span{{3, 100, 120}, {7, 5, 9}}, Stored: []extent{{3, 100}}}
	whole := p.encode()
	for n := range whole {
		if _, err := decodePosition(whole[:n]); !errors.Is(err, errPosition) {
			t.Errorf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for _, bad := range []string{
		`{"version":1}`, `{"version":3}`, `{}`, `[]`, `null`, `{"version":2,"more":1}`,
		`{"version":2,"spans":[{"partition":0,"base":5,"next":5}]}`,
		`{"version":2,"spans":[{"partition":3,"base":0,"next":5},{"partition":3,"base":0,"next":5}]}`,
		`{"version":2,"held":[{"partition":3,"next":-1}]}`,
		`{"version":2,"topicID":"00"}`,
	} {
		if _, err := decodePosition([]byte(bad)); !errors.Is(err, errPosition) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Ensure that what versions with the binary form have left in journals and in
// commits is read, so that an update loses no place.
func TestPosition_TheBinaryFormOfOlderVersionsIsRead(t *testing.T) {
	const text = "0103677270046c6f6773" + // version, group grp, topic logs
		"000102030405060708090a0b0c0d0e0f" + "a1a2a3a4a5a6a7a8" + "07" + // topic id, owner, generation
		"02" + "000a0a" + "030503" + // partition 0 from 10 to 20, partition 4 from 5 to 8
		"01" + "020b" // holds partition 2 up to 11
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	want := &position{Group: "grp", Topic: "logs", TopicID: topicID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		Owner: "a1a2a3a4a5a6a7a8", Generation: 7, Spans: []span{{0, 10, 20}, {4, 5, 8}}, Stored: []extent{{2, 11}}}
	got, err := decodePosition(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, unexported); d != "" {
		t.Error(d)
	}
	for n := 1; n < len(b); n++ {
		if _, err := decodePosition(b[:n]); !errors.Is(err, errPosition) {
			t.Errorf("the first %d of %d bytes: %v", n, len(b), err)
		}
	}

	// Transaction 1, topic id 9, owner 0101… from 5, owner 0202… from 12.
	raw := slices.Concat(make([]byte, 15), []byte{1}, make([]byte, 15), []byte{9},
		bytes.Repeat([]byte{1}, 8), []byte{5}, bytes.Repeat([]byte{2}, 8), []byte{7})
	st, ok := parseStamp("logforge1:" + base64.RawURLEncoding.EncodeToString(raw))
	wantStamp := stamp{tx: hourly.TxID{15: 1}, topicID: topicID{15: 9}, owners: []ownership{{"0101010101010101", 5}, {"0202020202020202", 12}}}
	if d := cmp.Diff(wantStamp, st, unexported); !ok || d != "" {
		t.Error(ok, d)
	}
}

func FuzzPosition(f *testing.F) {
	f.Add((&position{}).encode())
	f.Add((&position{Group: "g", Topic: "logs", Generation: -1, Spans: []span{{0, 0, 1}, {9, math.MaxInt64 - 1, math.MaxInt64}}, Stored: []extent{{2, 3}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePosition(b)
		if err != nil {
			return
		}
		again, err := decodePosition(p.encode())
		if err != nil {
			t.Fatalf("%x reads, but not once more: %v", b, err)
		}
		if d := cmp.Diff(p, again, unexported); d != "" {
			t.Fatal(d)
		}
		last := int32(-1)
		for _, s := range p.Spans {
			if s.Partition <= last || s.Base < 0 || s.Next <= s.Base {
				t.Fatalf("span %+v", s)
			}
			last = s.Partition
		}
	})
}

func TestPosition_HeldReachesToTheEndOfWhatWasDecidedLast(t *testing.T) {
	p := &position{Spans: []span{{1, 10, 20}, {4, 0, 5}}, Stored: []extent{{0, 7}, {1, 10}, {9, 3}}}
	want := []extent{{0, 7}, {1, 20}, {4, 5}, {9, 3}}
	if d := cmp.Diff(want, p.storedAfter(), unexported); d != "" {
		t.Error(d)
	}
	if p.Stored[1].Next != 10 {
		t.Error("after changed the position itself")
	}
}

func drawStamp(t *rapid.T) stamp {
	var s stamp
	copy(s.tx[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tx"))
	copy(s.topicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic id"))
	start := int64(-1)
	for range rapid.IntRange(0, 5).Draw(t, "tenures") {
		start += rapid.Int64Range(1, 1<<40).Draw(t, "step")
		s.owners = append(s.owners, ownership{owner(rapid.StringN(1, 20, 40).Draw(t, "owner")), start})
	}
	return s
}

func TestStamp_ReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawStamp(t)
		got, ok := parseStamp(s.encode())
		if !ok {
			t.Fatal("does not read")
		}
		if d := cmp.Diff(s, got, unexported); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add("")
	f.Add((&stamp{}).encode())
	f.Add((&stamp{owners: []ownership{{"1", 0}, {"2", math.MaxInt64}}}).encode())
	f.Add("logforge1:AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAkBAQEBAQEBAQU")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := parseStamp(text)
		if !ok {
			return
		}
		again, ok := parseStamp(s.encode())
		if !ok || !cmp.Equal(s, again, unexported) {
			t.Fatalf("%q reads as %+v, and that as %+v, %v", text, s, again, ok)
		}
	})
}

func TestStamp_NeverOutgrowsTheBrokersLimitAndForgetsTheOldest(t *testing.T) {
	const limit = 4096 // offset.metadata.max.bytes
	var s stamp
	step := int64(math.MaxInt64 / 1000)
	for i := range 500 {
		s = s.follow(newOwner("0123456789abcdef"), int64(i)*step, hourly.NewTxID(), topicID{1})
		if n := len(s.encode()); n > limit {
			t.Fatalf("after %d owners: %d bytes", i+1, n)
		}
	}
	if n := len(s.owners); n != maxOwnerships {
		t.Errorf("%d tenures, want %d", n, maxOwnerships)
	}
	if _, _, ok, _ := s.at(10 * step); ok {
		t.Error("knows an offset from before its history")
	}
	if got, _, ok, more := s.at(499*step + 1); !ok || more || got.start != 499*step {
		t.Errorf("the last ownership: %+v %v %v", got, ok, more)
	}
}

func TestStamp_FollowingOneLeavesItAsItIs(t *testing.T) {
	s := stamp{owners: make([]ownership, 0, 8)}
	s.owners = append(s.owners, ownership{owner("1"), 0})
	a := s.follow(owner("2"), 10, hourly.TxID{1}, topicID{})
	b := s.follow(owner("3"), 20, hourly.TxID{2}, topicID{})
	if a.owners[1].owner != owner("2") || b.owners[1].owner != owner("3") || len(s.owners) != 1 {
		t.Errorf("%+v, %+v, from %+v", a, b, s)
	}
	if c := a.follow(owner("2"), 30, hourly.TxID{3}, topicID{}); len(c.owners) != 2 {
		t.Errorf("the same owner twice in a row: %+v", c)
	}
}
