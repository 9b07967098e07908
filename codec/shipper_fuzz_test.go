package codec_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"logforge/bench/corpus"
	"logforge/codec"
)

// FuzzShipper: whatever is sent, every line that comes out is canonical and JSON,
// and stays as it is when it is read again; the counts agree; and a batch that has
// been used before gives the same.
func FuzzShipper(f *testing.F) {
	addSeeds(f)
	for i := range shipperForms {
		f.Add(shipperBody(i, corpus.Records(3, 4, 2)))
	}
	f.Add([]byte(combined1 + "\n" + combined2 + "\nx\n{\n[1,{\"path\":\"/\"}]"))
	r := lenient(f, nil)
	var before codec.Batch
	f.Fuzz(func(t *testing.T, body []byte) {
		if nestedTooDeepForThem(body) {
			return
		}
		var b, again codec.Batch
		aside := 0
		if err := b.DecodeWith(body, codec.Auto, r, arrival, func([]byte, codec.RecordError) { aside++ }); err != nil {
			t.Fatal(err)
		}
		asideBefore := 0
		if err := before.DecodeWith(body, codec.Auto, r, arrival, func([]byte, codec.RecordError) { asideBefore++ }); err != nil || all(&before) != all(&b) || aside != asideBefore {
			t.Fatalf("in a batch that was used before: %q and %d aside, not %q and %d", all(&before), asideBefore, all(&b), aside)
		}
		lines := []byte(all(&b))
		if n := bytes.Count(lines, []byte("\n")); n != b.Records() {
			t.Fatalf("%d lines of %d records", n, b.Records())
		}
		for l := range bytes.Lines(lines) {
			if _, ok := canonicalLine(l); !ok || !json.Valid(l) {
				t.Fatalf("%q is not canonical", l)
			}
		}
		again.AppendLines(lines, codec.Limits{}, func(l []byte, e codec.RecordError) { t.Fatalf("%q: %s", l, e.Reason) })
		if all(&again) != string(lines) {
			t.Fatalf("%q becomes %q", lines, all(&again))
		}
	})
}
