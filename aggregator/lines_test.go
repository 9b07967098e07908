package aggregator

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// readAll puts together what next gives out; a line that is too long is
// replaced by its length in tildes.
func readAll(t failer, l *lineReader, text string, offset, end int64) (lines string, next int64) {
	t.Helper()
	var out strings.Builder
	l.reset(iotest.HalfReader(io.NewSectionReader(strings.NewReader(text), offset, end-offset)))
	for {
		piece, skipped, err := l.next()
		if err == io.EOF {
			return out.String(), offset
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(piece) > 0 && skipped > 0 || len(piece) > 0 && piece[len(piece)-1] != '\n' {
			t.Fatalf("lines %q and skipped %d", piece, skipped)
		}
		out.Write(piece)
		out.WriteString(strings.Repeat("~", int(skipped)))
		offset += int64(len(piece)) + skipped
	}
}

func TestLinesAreReadWholeAndInOrder(t *testing.T) {
	const longest = 2 * readSize
	length := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(readSize-2, readSize+2),
		rapid.IntRange(longest-2, longest+2), rapid.IntRange(longest, 3*longest))
	l := &lineReader{max: longest}
	rapid.Check(t, func(t *rapid.T) {
		var text, want strings.Builder
		for i, n := range rapid.SliceOfN(length, 0, 6).Draw(t, "lengths") {
			line := strings.Repeat(string(rune('a'+i)), n) + "\n"
			text.WriteString(line)
			if len(line) > longest {
				line = strings.Repeat("~", len(line))
			}
			want.WriteString(line)
		}
		whole := int64(text.Len())
		text.WriteString(strings.Repeat("z", length.Draw(t, "tail"))) // no newline
		got, next := readAll(t, l, text.String(), 0, int64(text.Len()))
		if got != want.String() || next != whole {
			t.Fatalf("read %d bytes up to %d, want %d", len(got), next, whole)
		}
		l.reset(nil)
		if len(l.buf) > readSize {
			t.Fatal("the memory of a long line was kept")
		}
	})
}

func TestNoLineIsReadThatEndsAfterTheEnd(t *testing.T) {
	const text = "one\ntwo\nthree\n"
	l := &lineReader{max: maxLine}
	for end := range len(text) + 1 {
		want := text[:strings.LastIndexByte(text[:end], '\n')+1]
		if got, next := readAll(t, l, text, 0, int64(end)); got != want || next != int64(len(want)) {
			t.Errorf("end %d: read %q up to %d", end, got, next)
		}
	}
}
