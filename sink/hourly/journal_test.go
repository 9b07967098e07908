package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/sink"
)

// Ensure that a position which is JSON is in the journal as it came, so that the
// journal can be read, that any other does not get lost, and that what versions
// before this one wrote is read.
func TestJournal_APositionOfJSONStandsAsItIsAndAnyOtherInBase64(t *testing.T) {
	for _, p := range []string{`{"topic":"logs","spans":[{"base":1}]}`, `{not JSON`, "\x01\x00\xff", "[1]", `{"a":1} {`} {
		line := entry{Kind: kindPrepare, Position: []byte(p)}.line()
		e, ok := parseEntry(bytes.TrimSuffix(line, []byte{'\n'}))
		if !ok || string(e.Position) != p {
			t.Errorf("%q reads as %q, %v", p, e.Position, ok)
		}
		if plain := strings.HasPrefix(p, `{"topic`); strings.Contains(string(line), p) != plain {
			t.Errorf("%q is written as %s", p, line)
		}
	}
	body := []byte(`{"kind":"position","position":"AQNncnA="}`)
	e, ok := parseEntry(fmt.Appendf(nil, "%08x %s", crc32.Checksum(body, castagnoli), body))
	if !ok || string(e.Position) != "\x01\x03grp" {
		t.Errorf("the older form reads as %q, %v", e.Position, ok)
	}
}

// What may be in a journal that did not come to be as it should, and what is made
// of each: it is cut off, or it stops the start with what there is to do.
func TestJournal_EveryKindOfDamageHasAnOutcome(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	write(t, f, line(1, 1))
	whole := string(d.names["logs/"+journalName].data)
	entries := strings.SplitAfter(whole, "\n")
	const torn, damaged = "cut off", "damaged"
	for what, c := range map[string]struct{ text, outcome string }{
		"empty":                      {"", ""},
		"half an entry":              {whole + entries[0][:20], torn},
		"NUL bytes":                  {whole + strings.Repeat("\x00", 100_000), torn},
		"NUL bytes, and an end":      {whole + "\x00\x00\n", torn},
		"an entry that turned NUL":   {whole + strings.Repeat("\x00", 30) + "\n" + entries[0][:5], torn},
		"NUL bytes in a synced one":  {strings.Repeat("\x00", len(entries[0])-1) + "\n" + whole[len(entries[0]):], damaged},
		"text":                       {"a note\n" + whole, damaged},
		"text behind":                {whole + "a note\n", damaged},
		"an end of line by Windows":  {strings.ReplaceAll(whole, "\n", "\r\n"), damaged},
		"an entry of a newer one":    {whole + string(entry{Kind: "merge"}.line()), damaged},
		"a decision about nothing":   {whole + string(entry{Kind: kindDecide, Tx: "1"}.line()), damaged},
		"a line longer than entries": {whole + strings.Repeat("x", maxEntry+1), damaged},
	} {
		n := d.killed()
		n.names["logs/"+journalName].data = []byte(c.text)
		_, _, size, err := readJournal(strings.NewReader(c.text))
		if c.outcome == damaged {
			_, err := openOn(testConfig(), sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), n)
			if !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), "restore "+journalName) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		if err != nil || size != int64(len(c.text)) {
			t.Errorf("%s: %d bytes of %d read, %v", what, size, len(c.text), err)
		}
		f := openMem(t, n)
		write(t, f, line(1, 2))
		if got := contents(t, n, day0(1)); got != line(1, 1)+line(1, 2) {
			t.Errorf("%s: the hour holds %q", what, got)
		}
	}
}

func TestJournal_IsReadInBoundedMemory(t *testing.T) {
	whole := string(entry{Kind: kindHours, Newest: 7}.line())
	const zeros = 300 << 20
	least := uint64(math.MaxUint64) // what goes on beside counts as well
	for range 5 {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h, good, size, err := readJournal(io.MultiReader(strings.NewReader(whole), io.LimitReader(nulReader{}, zeros)))
		runtime.ReadMemStats(&after)
		if err != nil || h.newest != 7 || good != int64(len(whole)) || size != good+zeros {
			t.Fatalf("%d good of %d, newest %d, %v", good, size, h.newest, err)
		}
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= 1<<20 {
			return
		}
	}
	t.Fatalf("reading %d bytes took %d bytes of memory", zeros, least)
}

type nulReader struct{}

func (nulReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// However many hours there are, none of the entries that name them is large.
func TestJournal_NamesManyHoursInSeveralEntries(t *testing.T) {
	hours := map[codec.Hour]stream{}
	for i := range 3*hoursPerEntry + 1 {
		hours[codec.Hour(i)] = stream{Generation: uint64(i + 1)}
	}
	var text []byte
	for _, e := range hourEntries(hours, 99_999) {
		l := e.line()
		if len(l) > 2<<20 {
			t.Errorf("an entry of %d bytes", len(l))
		}
		text = append(text, l...)
	}
	h, _, _, err := readJournal(bytes.NewReader(text))
	if err != nil || len(h.files) != len(hours) || h.newest != 99_999 || h.files[5].Generation != 6 {
		t.Fatalf("%d hours, newest %d, %v", len(h.files), h.newest, err)
	}
}
