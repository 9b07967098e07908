package aggregator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// countsOf returns what c has counted, by way of the order of a summary.
func countsOf(c *counter) map[string]uint64 {
	m := map[string]uint64{}
	for _, e := range c.sorted() {
		m[e.key] = e.n
	}
	return m
}

// countInMap is the slow, obvious counter.
func countInMap(keys []string, maxKeys int) map[string]uint64 {
	m := map[string]uint64{}
	named, bytes := 0, 0
	for _, key := range keys {
		_, known := m[key]
		switch {
		case known || key == Other:
		case named == maxKeys || bytes+len(key) > maxKeys*keyBytes:
			key = Other
		default:
			named++
			bytes += len(key)
		}
		m[key]++
	}
	return m
}

func TestACounterCountsLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(
			rapid.StringMatching(`[ab]{1,4}`),
			rapid.Just(Other),
			rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return fmt.Sprint("/", n) }),
			rapid.Map(rapid.IntRange(100, 1000), func(n int) string { return strings.Repeat("x", n) }),
		)
		maxKeys := rapid.SampledFrom([]int{1, 2, 7, 100, 100_000}).Draw(t, "maxKeys")
		c := newCounter(maxKeys)
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			keys := rapid.SliceOfN(key, 0, 300).Draw(t, "keys")
			for _, k := range keys {
				c.add([]byte(k), 1)
			}
			if diff := cmp.Diff(countInMap(keys, maxKeys), countsOf(c)); diff != "" {
				t.Fatal(diff)
			}
			c.reset()
		}
	})
}

func TestACounterGrowsToItsBoundAndNotPast(t *testing.T) {
	const maxKeys = 50_000
	c := newCounter(maxKeys)
	for i := range 3 * maxKeys {
		c.add(fmt.Appendf(nil, "/path/%d", i%(2*maxKeys)), 1)
	}
	got := countsOf(c)
	if len(got) != maxKeys+1 || got[Other] != maxKeys || got["/path/49999"] != 2 || got["/path/50000"] != 0 {
		t.Errorf("%d keys, %d under %s", len(got), got[Other], Other)
	}
}

func TestLongKeysCannotTakeMoreThanTheirShareOfMemory(t *testing.T) {
	const maxKeys = 10_000
	c := newCounter(maxKeys)
	long := strings.Repeat("x", 100<<10)
	for i := range 1000 {
		c.add(fmt.Appendf(nil, "%s%d", long, i), 1)
	}
	if limit := maxKeys * keyBytes; c.bytes > limit {
		t.Errorf("the keys have %d bytes, over %d", c.bytes, limit)
	}
	total := 0
	for _, n := range countsOf(c) {
		total += int(n)
	}
	if total != 1000 || countsOf(c)[Other] == 0 {
		t.Errorf("counted %d of 1000, %d under %s", total, countsOf(c)[Other], Other)
	}
}

func TestCountingKnownKeysAllocatesNothing(t *testing.T) {
	hour, lines := corpusLines(5000)
	tally := newTally(100_000)
	tally.count(lines, hour)
	if n := testing.AllocsPerRun(10, func() { tally.count(lines, hour) }); n != 0 {
		t.Errorf("%v allocations for 5000 records", n)
	}
	if tally.malformed != 0 {
		t.Errorf("%d malformed", tally.malformed)
	}
}

func TestEqualCountsAreInTheOrderOfTheirKeys(t *testing.T) {
	c := newCounter(10)
	for _, k := range []string{"/b", "/c", "/a", "/c"} {
		c.add([]byte(k), 1)
	}
	var got []string
	for _, e := range c.sorted() {
		got = append(got, e.key)
	}
	if diff := cmp.Diff([]string{"/c", "/a", "/b"}, got); diff != "" {
		t.Error(diff)
	}
}
