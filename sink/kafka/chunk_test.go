package kafka

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"logforge/codec"
	"logforge/sink"
)

// Whatever the lines and the record size: nothing is lost, added or torn, and
// only a line that is too long by itself makes a record too long.
func TestChunk_IsSplitAtLinesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 200).Draw(t, "record bytes")
		lengths := rapid.SliceOfN(rapid.IntRange(0, 300), 1, 30).Draw(t, "line lengths")
		c := newChunk(new(Producer), chunkKey{hour: 5, ack: sink.Enqueued})
		var want [][]byte
		for i, n := range lengths {
			line := append(bytes.Repeat([]byte{byte('a' + i%26)}, n+1), '\n')
			c.join(line, codec.Run{Hour: 5, Records: 1}, i%2 == 0)
			want = append(want, line)
		}
		if c.records != len(lengths) || c.batches != len(lengths) {
			t.Fatalf("%d records, %d batches of %d", c.records, c.batches, len(lengths))
		}
		var got [][]byte
		before := size // bytes of the record before
		for _, r := range c.kafkaRecords(size) {
			lines := bytes.SplitAfter(r.Value, newline)
			if len(lines) == 1 { // a single line has no end
				lines = [][]byte{append(slices.Clone(r.Value), '\n')}
			} else {
				if len(r.Value) > size {
					t.Fatalf("%d lines in %d bytes, more than %d", len(lines)-1, len(r.Value), size)
				}
				lines = lines[:len(lines)-1] // what follows the last end
			}
			got = append(got, lines...)
			if before+len(lines[0]) <= size {
				t.Fatalf("a record of %d bytes had room for the line of %d after it", before, len(lines[0]))
			}
			before = 0
			for _, line := range lines {
				before += len(line)
			}
			if header(&r, "hour") != "1970-01-01T05" {
				t.Fatalf("headers %v", r.Headers)
			}
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("split into %q, want %q", got, want)
		}
	})
}

func TestLines_MemoryIsBetweenEnoughAndTwice(t *testing.T) {
	for _, n := range []int{1, 511, 512, 513, 1 << 18, 1<<18 + 1, 1 << 23, 1<<23 + 1} {
		b := getLines(n)
		if len(b) != 0 || cap(b) < n || cap(b) >= 2*max(n, 257) {
			t.Errorf("asked for %d bytes, got %d of %d", n, len(b), cap(b))
		}
		putLines(b)
	}
	putLines(nil)
}
