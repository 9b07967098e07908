package codec_test

import (
	"slices"
	"strings"
	"testing"

	"logforge/bench/corpus"
	"logforge/codec"
)

// TestPlainLines_BecomeWhatTheGeneralPathMakesOfThem: the same line, alone in a
// new batch, cannot take the fast path, as no hour is known there.
func TestPlainLines_BecomeWhatTheGeneralPathMakesOfThem(t *testing.T) {
	lines := []string{combined1, combined2}
	for _, r := range corpus.Records(9, 100, 1) {
		lines = append(lines, string(appendCombined(nil, r)))
	}
	for i := range combined1 { // a byte that is something else
		for _, c := range []string{"", `"`, `\`, " ", "-", "0", "\x00", "\xe9", "é", "[", "]", `\"`, `" "`} {
			lines = append(lines, combined1[:i]+c+combined1[i+1:])
		}
	}
	for _, change := range []func(*codec.Options){nil, func(o *codec.Options) { o.Extra = codec.DropExtra }, func(o *codec.Options) { o.Limits.RecordBytes = 250 }} {
		r := lenient(t, change)
		for _, l := range lines {
			if strings.ContainsAny(l, "\n") {
				continue
			}
			for _, wrap := range []func(string) string{func(s string) string { return s }, func(s string) string {
				return `{"date":1795593680.5,"log":"` + escape(strings.ToValidUTF8(s, "\ufffd")) + `"}`
			}} {
				one := wrap(l)
				want, asideWant := ingested(t, one, codec.Auto, r)
				body := strings.Join([]string{wrap(combined1), one, wrap(combined1), wrap(combined1)}, "\n")
				got, aside := ingested(t, body, codec.Auto, r)
				plain, asidePlain := ingested(t, wrap(combined1), codec.Auto, r)
				all := slices.Concat(plain, want, plain, plain)
				slices.Sort(all)
				slices.Sort(got)
				if !slices.Equal(got, all) || len(aside) != len(asideWant)+3*len(asidePlain) {
					t.Fatalf("%q\nbecomes %q\nnot     %q\naside %q", body, got, all, aside)
				}
			}
		}
	}
}

func TestShipper_AllocatesNothingARecord(t *testing.T) {
	recs := corpus.Records(5, 500, 1)
	for i, f := range shipperForms {
		body := shipperBody(i, recs)
		var b codec.Batch
		r := lenient(t, nil)
		decode := func() {
			if err := b.DecodeWith(body, codec.Auto, r, arrival, setAside); err != nil || b.Records() != 500 {
				t.Fatalf("%s: %d records, %v", f.name, b.Records(), err)
			}
		}
		decode()
		if allocs := testing.AllocsPerRun(10, decode); allocs > 3 { // a body, not a record
			t.Errorf("%s: %v allocations for 500 records", f.name, allocs)
		}
	}
}
