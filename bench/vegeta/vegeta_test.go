// Package vegeta holds targets for the load generator of that name; its test
// keeps their bodies to what the corpus makes.
package vegeta

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"logforge/bench/corpus"
)

var update = flag.Bool("update", false, "write the bodies again")

func TestTheBodiesAreTheCorpus(t *testing.T) {
	recs := corpus.Records(1, 100, 1)
	for _, name := range []string{"json", "ndjson", "csv"} {
		f, err := corpus.FormOf(name)
		if err != nil {
			t.Fatal(err)
		}
		file, want := "batch."+name, f.Append(nil, recs)
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the corpus makes (go test -update)", file)
		}
	}
}
