package codec

import (
	"bytes"
	"testing"
)

func TestBatch_IsUsedAgainOnlyWhenItsLastOwnerHasPutItBack(t *testing.T) {
	b := GetBatch()
	line := []byte(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a"}` + "\n")
	if err := b.Decode(line, NDJSON, Limits{}); err != nil {
		t.Fatal(err)
	}
	b.Keep()
	PutBatch(b)
	if got := b.Lines(b.Runs()[0]); !bytes.Equal(got, line) {
		t.Fatalf("with an owner left it holds %q", got)
	}
	PutBatch(b)
	if b.Records() != 0 || b.keepers.Load() != 0 {
		t.Fatal("the last owner does not give it back")
	}
}
