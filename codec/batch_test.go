package codec_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"logforge/bench/corpus"
	"logforge/codec"
)

func formatOf(f corpus.Form) codec.Format {
	switch f.ContentType {
	case "application/x-ndjson":
		return codec.NDJSON
	case "text/csv":
		return codec.CSV
	}
	return codec.JSON
}

// meant is what a batch of recs must be, whatever form they are sent in.
func meant(recs []corpus.Record) outcome {
	v := outcome{records: len(recs)}
	for _, r := range recs {
		v.lines = append(v.lines, line{codec.HourOf(r.Time), canonical(r.Time, r.Path, r.UserAgent)})
	}
	return v.grouped()
}

func TestEveryFormOfTheSameRecordsIsTheSameBatch(t *testing.T) {
	text := rapid.StringMatching(`[ -~é日😀\x00-\x1f]*[!-~]`)
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) corpus.Record {
			at := rapid.Int64Range(-62167219200, 253402300799).Draw(t, "seconds")
			if rapid.Bool().Draw(t, "near") {
				at = 1770649200 + rapid.Int64Range(-7200, 7200).Draw(t, "seconds near")
			}
			nano := rapid.SampledFrom([]int64{0, 0, 5e8, 120_000_000, 123456789, 1}).Draw(t, "nanoseconds")
			return corpus.Record{Time: time.Unix(at, nano).UTC(), Path: text.Draw(t, "path"), UserAgent: text.Draw(t, "agent")}
		}), 1, 200).Draw(t, "records")
		want := meant(recs)
		var b codec.Batch
		for _, f := range corpus.Forms {
			if f.Name == "offset" && slices.ContainsFunc(recs, atTheEdge) {
				continue // local years of five digits, or negative ones, cannot be written
			}
			if err := b.Decode(f.Append(nil, recs), formatOf(f), codec.Limits{}); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			if got := decoded(&b, nil); !slices.Equal(got.lines, want.lines) {
				t.Fatalf("%s: %+v, not %+v", f.Name, got.lines, want.lines)
			}
		}
	})
}

func atTheEdge(r corpus.Record) bool {
	y := r.Time.Add(24 * time.Hour).Year()
	return y > 9999 || r.Time.Add(-24*time.Hour).Year() < 0
}

func TestHoursAscendAndKeepTheOrderWithin(t *testing.T) {
	f := func(hours int, order func(recs []corpus.Record)) {
		t.Helper()
		recs := corpus.Records(7, 1500, hours)
		for i := range recs {
			recs[i].Path = fmt.Sprint("/", i)
		}
		order(recs)
		var b codec.Batch
		for _, form := range corpus.Forms {
			if err := b.Decode(form.Append(nil, recs), formatOf(form), codec.Limits{}); err != nil {
				t.Fatal(err)
			}
			differ(t, decoded(&b, nil), meant(recs))
			if len(b.Runs()) != hours {
				t.Fatalf("%s: %d runs for %d hours", form.Name, len(b.Runs()), hours)
			}
		}
	}
	inOrder := func([]corpus.Record) {}
	shuffled := func(recs []corpus.Record) {
		r := rand.New(rand.NewPCG(1, 2))
		r.Shuffle(len(recs), func(i, j int) { recs[i], recs[j] = recs[j], recs[i] })
	}
	f(1, inOrder)
	f(3, inOrder)
	f(1500, inOrder)
	f(2, shuffled)
	f(300, shuffled)
	f(1500, shuffled)
	f(1500, slices.Reverse[[]corpus.Record])
	f(100, func(recs []corpus.Record) { // over millions of hours
		for i := range recs {
			recs[i].Time = recs[i].Time.AddDate((i%100-50)*30, 0, 0).Truncate(time.Hour)
			recs[i].Time = time.Date(recs[i].Time.Year(), 5, 5, 5, 5, 5, 5, time.UTC)
		}
	})
}

func TestACutAnywhereLeavesWhatIsWhole(t *testing.T) {
	recs := corpus.Records(5, 4, 2)
	recs[1].UserAgent = "a \"quoted\", \r\nlong one \\ \x01 日本"
	var b codec.Batch
	for _, form := range corpus.Forms {
		body := form.Append(nil, recs)
		for cut := range body {
			f := formatOf(form)
			got := decoded(&b, b.Decode(body[:cut:cut], f, codec.Limits{Depth: depth}))
			want := expect(body[:cut], f, depth).grouped()
			if f == codec.CSV {
				unify(t, got.lines)
				unify(t, want.lines)
			}
			differ(t, got, want)
		}
	}
}

func TestLinesAreAppendedAndRegroupedAcrossCalls(t *testing.T) {
	recs := corpus.Records(5, 1000, 20)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(recs), func(i, j int) { recs[i], recs[j] = recs[j], recs[i] })
	var b codec.Batch
	var errs []string
	for n := 0; n < len(recs); n += 10 {
		lines := corpus.AppendNDJSON([]byte("{\n"), recs[n:n+10])
		lines = append(lines, " \nno"...)
		b.AppendLines(lines, codec.Limits{Records: 1}, func(line []byte, e codec.RecordError) {
			errs = append(errs, fmt.Sprintf("%d %s %s", e.Index, e.Field, line))
		})
		if n%70 == 0 {
			differ(t, decoded(&b, nil), meant(recs[:n+10]))
		}
	}
	differ(t, decoded(&b, nil), meant(recs))
	if len(errs) != 200 || errs[0] != "0 record {" || errs[199] != "11 record no" {
		t.Errorf("%q", errs)
	}
}

func TestALineOverTheLimitIsHandedOutAndTheOthersAreKept(t *testing.T) {
	var b codec.Batch
	long := strings.Replace(good, "/home", strings.Repeat("x", 200), 1)
	var got []string
	b.AppendLines([]byte(good+"\n"+long+"\n"+good), codec.Limits{RecordBytes: 150}, func(line []byte, e codec.RecordError) {
		got = append(got, fmt.Sprintf("%d %s %s %s", e.Index, e.Field, e.Reason, line))
	})
	if want := fmt.Sprintf("1 record is %d bytes, over the limit of 150 record bytes %s", len(long), long); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	if all(&b) != good+"\n"+good+"\n" {
		t.Errorf("%q", all(&b))
	}
}

func TestABatchIsUsedAgainWithNothingOfBefore(t *testing.T) {
	var b codec.Batch
	recs := corpus.Records(5, 500, 10)
	slices.Reverse(recs)
	for n := len(recs); n > 0; n /= 2 {
		if err := b.Decode(corpus.AppendJSON(nil, recs[:n]), codec.JSON, codec.Limits{}); err != nil {
			t.Fatal(err)
		}
		differ(t, decoded(&b, nil), meant(recs[:n]))
		if b.Decode([]byte(`[{}`), codec.JSON, codec.Limits{}) == nil || b.Len() != 0 || b.Records() != 0 || len(b.Runs()) != 0 {
			t.Fatal("an invalid batch leaves something behind")
		}
	}
	b.Reset()
	if b.Len() != 0 || b.Records() != 0 || len(b.Runs()) != 0 {
		t.Fatal("a batch that is reset holds something")
	}
}

func TestDecodingKeepsNothingOfTheBody(t *testing.T) {
	recs := corpus.Records(5, 200, 3)
	for _, form := range corpus.Forms {
		var b codec.Batch
		body := form.Append(nil, recs)
		if err := b.Decode(body, formatOf(form), codec.Limits{}); err != nil {
			t.Fatal(err)
		}
		clear(body)
		differ(t, decoded(&b, nil), meant(recs))
	}
	body := []byte(`[{"timestamp":"tomorrow"}]`)
	err := new(codec.Batch).Decode(body, codec.JSON, codec.Limits{})
	clear(body)
	if !strings.Contains(err.Error(), "tomorrow") {
		t.Error(err)
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	recs := corpus.Records(5, 1000, 1)
	mixed := corpus.Records(6, 1000, 400)
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for _, form := range corpus.Forms {
		for name, batch := range map[string][]corpus.Record{"one hour": recs, "400 hours, mixed": mixed, "one record": recs[:1]} {
			body := form.Append(nil, batch)
			var b codec.Batch
			for _, f := range []codec.Format{formatOf(form), codec.Auto} {
				allocs := testing.AllocsPerRun(20, func() {
					if err := b.Decode(body, f, codec.Limits{Records: 1000, RecordBytes: 10_000, Depth: 5}); err != nil {
						t.Fatal(err)
					}
				})
				if allocs != 0 {
					t.Errorf("%s, %s: %v allocations", form.Name, name, allocs)
				}
			}
		}
	}
	lines := corpus.AppendNDJSON(nil, mixed)
	var b codec.Batch
	if allocs := testing.AllocsPerRun(20, func() {
		b.Reset()
		for range 3 {
			b.AppendLines(lines, codec.Limits{Depth: 5}, func([]byte, codec.RecordError) { panic("bad") })
			b.Runs()
		}
	}); allocs != 0 {
		t.Errorf("lines: %v allocations", allocs)
	}
}

func TestAnHourIsReadAndWritten(t *testing.T) {
	for _, s := range []string{"1970-01-01T00", "2026-02-09T15", "0000-01-01T00", "9999-12-31T23", "1969-12-31T23"} {
		h, err := codec.ParseHour(s)
		if err != nil || h.String() != s || codec.HourOf(h.Time().Add(time.Hour-1)) != h || codec.HourOf(h.Time()) != h {
			t.Errorf("%s: %v %v", s, h, err)
		}
	}
	if _, err := codec.ParseHour("2026-02-09"); err == nil {
		t.Error("a day is taken for an hour")
	}
}

func TestADeeplyNestedMemberIsReadWithoutRecursion(t *testing.T) {
	const levels = 1 << 20
	body := slices.Concat([]byte(`[{"a":`), bytes.Repeat([]byte(`[{"a":`), levels), []byte("1"), bytes.Repeat([]byte("}]"), levels), []byte(","+good[1:]+"]"))
	var b codec.Batch
	if err := b.Decode(body, codec.JSON, codec.Limits{}); err != nil || all(&b) != good+"\n" {
		t.Error(err)
	}
	if got := refused(t, string(body), codec.JSON); len(got) != 1 || got[0] != "0 record is nested deeper than the limit of 8" {
		t.Errorf("%q", got)
	}
}
