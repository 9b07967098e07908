package aggregator

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzSummary: whatever a summary file holds, reading it ends in an error or in
// what any JSON parser reads there. It was a wrong type of a number that
// panicked before.
func FuzzSummary(f *testing.F) {
	t, form := newTally(10), newLineForm(testHour)
	var summary bytes.Buffer
	var e summaryEncoder
	for _, lines := range []string{"", line(testHour, 1, "/a", "x"), line(testHour, 1, "/\"\\\t\x01é", "y") + "bad\n"} {
		t.count([]byte(lines), &form)
		summary.Reset()
		if err := e.summary(&summary, testHour, position{offset: 9, fingerprint: "00"}, t); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(summary.Bytes()))
	}
	var in summaryReader
	f.Fuzz(func(t *testing.T, text []byte) {
		in.reset(bytes.NewReader(text))
		head, err := in.head(testHour)
		if err != nil {
			return
		}
		sums := map[string]map[string]uint64{namePaths: {}, nameAgents: {}}
		for _, name := range []string{namePaths, nameAgents} {
			err := in.counts(name, func(key []byte, n uint64) {
				sums[name][string(unquoted(key))] = n
			})
			if err != nil {
				return
			}
		}
		if in.end() != nil {
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
