package codec_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"logforge/bench/corpus"
	"logforge/codec"
)

// Ensure that all 10,000 lines of a real log are what the oracle makes of them, as
// they are and within JSON, in batches of every size.
func TestShipper_ARealLogIsWhatTheOracleMakesOfIt(t *testing.T) {
	lines, err := corpus.AccessLogLines("../bench/testdata/access.log.gz")
	if err != nil {
		t.Fatal(err)
	}
	want := make([]members, len(lines))
	for i, l := range lines {
		want[i] = lineOracle(l, codec.Auto)
	}
	r := lenient(t, nil)
	var b codec.Batch
	for _, size := range []int{1, 7, 1000, len(lines)} {
		for _, wrapped := range []bool{false, true} {
			for from := 0; from < len(lines) && (size > 1 || from < 500); from += size {
				to := min(from+size, len(lines))
				var body bytes.Buffer
				var stored []members
				for i := from; i < to; i++ {
					if wrapped {
						quoted, err := json.Marshal(lines[i])
						if err != nil {
							t.Fatal(err)
						}
						body.WriteString(`{"date":1.5,"log":` + string(quoted) + "}")
					} else {
						body.WriteString(lines[i])
					}
					body.WriteByte('\n')
					if want[i] != nil {
						stored = append(stored, want[i])
					}
				}
				aside := 0
				if err := b.DecodeWith(body.Bytes(), codec.Auto, r, arrival, func([]byte, codec.RecordError) { aside++ }); err != nil {
					t.Fatal(err)
				}
				if len(stored)+aside != to-from {
					t.Fatalf("lines %d to %d: %d set aside", from, to, aside)
				}
				byHour(stored)
				i := 0
				for l := range strings.Lines(all(&b)) {
					got := decodedLine(t, l)
					if wrapped {
						delete(got, "date")
					}
					if !reflect.DeepEqual(got, stored[i]) {
						t.Fatalf("%v\nand not\n%v", got, stored[i])
					}
					i++
				}
				if i != len(stored) {
					t.Fatalf("lines %d to %d: %d stored, not %d", from, to, i, len(stored))
				}
			}
		}
	}
}

// byHour brings records into the order in which a batch has them.
func byHour(all []members) {
	slices.SortStableFunc(all, func(a, b members) int {
		return strings.Compare(a["timestamp"].(string)[:13], b["timestamp"].(string)[:13])
	})
}
