package aggregator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// readSummary reads a whole summary of testHour.
func readSummary(text string) error {
	var in summaryReader
	in.reset(context.Background(), strings.NewReader(text))
	head, err := in.head(testHour)
	if err != nil {
		return err
	}
	ignore := func([]byte, uint64) {}
	if err := in.counts(namePaths, ignore); err != nil {
		return err
	}
	if err := in.counts(nameAgents, ignore); err != nil {
		return err
	}
	return in.rest(head, newTally(10))
}

func TestASummaryIsReadOnlyAsItIsWritten(t *testing.T) {
	tally := newTally(10)
	tally.count([]byte(line(testHour, 1, "/a", "x")+line(testHour, 1, "/a", "x")+line(testHour, 1, "/b", "x")), testHour)
	var written bytes.Buffer
	var e summaryEncoder
	if err := e.summary(&written, testHour, position{generation: 7, offset: 9, fingerprint: "00"}, tally, newTally(10)); err != nil {
		t.Fatal(err)
	}
	if err := readSummary(written.String()); err != nil {
		t.Fatal(err)
	}
	f := func(old, changed string) {
		t.Helper()
		text := strings.Replace(written.String(), old, changed, 1)
		if text == written.String() {
			t.Fatalf("there is no %s in %s", old, text)
		}
		if err := readSummary(text); !errors.Is(err, errDamaged) {
			t.Errorf("%s for %s: %v", changed, old, err)
		}
	}
	f("T15:00:00Z", "T16:00:00Z")
	f("T15:00:00Z", "T15:00:00+00:00")
	f(`"records": 3`, `"records": "3"`)
	f(`"records": 3`, `"records": 3.5`)
	f(`"records": 3`, `"records": -3`)
	f(`"records": 3`, `"records": 9223372036854775808`)
	f(`"records"`, `"record"`)
	f(`"offset": 9`, `"offset": null`)
	f(`"fingerprint": "00"`, `"fingerprint": 0`)
	f(`"requestsPerPath": {`, `"requestsPerPath": 7, "x": {`)
	f(`"/a": 2`, `"\u002fa": 2`)
	f(`"/a": 2`, `" ": 2`)
	f(`"/a": 2`, `"/a": 0`) // the largest count comes first
	f(`"/a": 2`, `"/a": "2"`)
	f(`"x": 3`, `"x": 3}, "more": {`)
}

// FuzzSummary: whatever a summary file holds, reading it ends in an error or in
// what any JSON parser reads there. It was a wrong type of a number that
// panicked before.
func FuzzSummary(f *testing.F) {
	t := newTally(10)
	var summary bytes.Buffer
	var e summaryEncoder
	for _, lines := range []string{"", line(testHour, 1, "/a", "x"), line(testHour, 1, "/\"\\\t\x01é", "y") + "bad\n"} {
		t.count([]byte(lines), testHour)
		summary.Reset()
		if err := e.summary(&summary, testHour, position{generation: 7, offset: 9, fingerprint: "00"}, t, newTally(10)); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(summary.Bytes()))
	}
	var in summaryReader
	f.Fuzz(func(t *testing.T, text []byte) {
		in.reset(context.Background(), bytes.NewReader(text))
		head, err := in.head(testHour)
		if err != nil {
			return
		}
		sums := map[string]map[string]uint64{namePaths: {}, nameAgents: {}}
		for _, name := range []string{namePaths, nameAgents} {
			err := in.counts(name, func(key []byte, n uint64) {
				sums[name][unescaped(key)] = n
			})
			if err != nil {
				return
			}
		}
		if in.rest(head, newTally(10)) != nil {
			return
		}
		var want struct {
			Records, Malformed uint64
			Offset             int64
			Fingerprint        string
			RequestsPerPath    map[string]uint64
			RequestsPerAgent   map[string]uint64 `json:"requestsPerUserAgent"`
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("read without an error, but %v", err)
		}
		if want.Records != head.records || want.Malformed != head.malformed || want.Offset != head.offset || want.Fingerprint != head.fingerprint {
			t.Errorf("read %+v of %+v", head, want)
		}
		for _, m := range []struct{ got, want map[string]uint64 }{
			{sums[namePaths], want.RequestsPerPath}, {sums[nameAgents], want.RequestsPerAgent},
		} {
			for k, n := range m.want {
				if m.got[k] != n {
					t.Errorf("%q: %d, want %d", k, m.got[k], n)
				}
			}
			if len(m.got) != len(m.want) {
				t.Errorf("%d keys, want %d", len(m.got), len(m.want))
			}
		}
	})
}
