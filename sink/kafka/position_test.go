package kafka

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"logforge/sink/hourly"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var unexported = cmp.AllowUnexported(position{}, span{}, extent{}, stamp{}, tenure{})

func drawPosition(t *rapid.T) *position {
	p := &position{
		group:      rapid.String().Draw(t, "group"),
		topic:      rapid.String().Draw(t, "topic"),
		generation: rapid.Int32().Draw(t, "generation"),
	}
	copy(p.topicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic id"))
	copy(p.owner[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "owner"))
	partition := int32(-1)
	for range rapid.IntRange(0, 5).Draw(t, "spans") {
		partition += rapid.Int32Range(1, 1000).Draw(t, "step")
		base := rapid.Int64Range(0, math.MaxInt64-1).Draw(t, "base")
		p.spans = append(p.spans, span{partition, base, base + rapid.Int64Range(1, math.MaxInt64-base).Draw(t, "size")})
	}
	partition = -1
	for range rapid.IntRange(0, 5).Draw(t, "held") {
		partition += rapid.Int32Range(1, 1000).Draw(t, "step")
		p.held = append(p.held, extent{partition, rapid.Int64Range(0, math.MaxInt64).Draw(t, "next")})
	}
	return p
}

func TestAPositionReadsAsItWasWritten(t *testing.T) {
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

func TestAPositionThatIsCutShortOrOfAnotherVersionIsRefused(t *testing.T) {
	p := &position{group: "g", topic: "t", spans: []span{{3, 100, 120}, {7, 5, 9}}, held: []extent{{3, 100}}}
	whole := p.encode()
	for n := range whole {
		if _, err := decodePosition(whole[:n]); !errors.Is(err, errPosition) {
			t.Errorf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for _, bad := range [][]byte{append(bytes.Clone(whole), 0), append([]byte{2}, whole[1:]...)} {
		if _, err := decodePosition(bad); !errors.Is(err, errPosition) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzPosition(f *testing.F) {
	f.Add((&position{}).encode())
	f.Add((&position{group: "g", topic: "logs", generation: -1, spans: []span{{0, 0, 1}, {9, math.MaxInt64 - 1, math.MaxInt64}}, held: []extent{{2, 3}}}).encode())
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
		for _, s := range p.spans {
			if s.partition <= last || s.base < 0 || s.next <= s.base {
				t.Fatalf("span %+v", s)
			}
			last = s.partition
		}
	})
}

func TestHeldReachesToTheEndOfWhatWasDecidedLast(t *testing.T) {
	p := &position{spans: []span{{1, 10, 20}, {4, 0, 5}}, held: []extent{{0, 7}, {1, 10}, {9, 3}}}
	want := []extent{{0, 7}, {1, 20}, {4, 5}, {9, 3}}
	if d := cmp.Diff(want, p.after(), unexported); d != "" {
		t.Error(d)
	}
	if p.held[1].next != 10 {
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
		var o owner
		copy(o[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "owner"))
		s.owners = append(s.owners, tenure{o, start})
	}
	return s
}

func TestAStampReadsAsItWasWritten(t *testing.T) {
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
	f.Add((&stamp{owners: []tenure{{owner{1}, 0}, {owner{2}, math.MaxInt64}}}).encode())
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

func TestTheHistoryNeverOutgrowsTheBrokersLimitAndForgetsTheOldest(t *testing.T) {
	const limit = 4096 // offset.metadata.max.bytes
	var s stamp
	step := int64(math.MaxInt64 / 1000)
	for i := range 500 {
		s = s.follow(owner{byte(i), byte(i >> 8)}, int64(i)*step, hourly.NewTxID(), topicID{1})
		if n := len(s.encode()); n > limit {
			t.Fatalf("after %d owners: %d bytes", i+1, n)
		}
	}
	if n := len(s.owners); n != maxTenures {
		t.Errorf("%d tenures, want %d", n, maxTenures)
	}
	if _, _, ok, _ := s.at(10 * step); ok {
		t.Error("knows an offset from before its history")
	}
	if got, _, ok, more := s.at(499*step + 1); !ok || more || got.start != 499*step {
		t.Errorf("the last tenure: %+v %v %v", got, ok, more)
	}
}

func TestFollowingAStampLeavesItAsItIs(t *testing.T) {
	s := stamp{owners: make([]tenure, 0, 8)}
	s.owners = append(s.owners, tenure{owner{1}, 0})
	a := s.follow(owner{2}, 10, hourly.TxID{1}, topicID{})
	b := s.follow(owner{3}, 20, hourly.TxID{2}, topicID{})
	if a.owners[1].owner != (owner{2}) || b.owners[1].owner != (owner{3}) || len(s.owners) != 1 {
		t.Errorf("%+v, %+v, from %+v", a, b, s)
	}
	if c := a.follow(owner{2}, 30, hourly.TxID{3}, topicID{}); len(c.owners) != 2 {
		t.Errorf("the same owner twice in a row: %+v", c)
	}
}
