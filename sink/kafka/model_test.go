package kafka

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func walk(draw func(string, int) int, steps int, f flaw) error {
	w := newWorld(draw, f)
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.finish()
}

func TestEveryRecordEndsUpInOneDirectoryOnceWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		if err := walk(draw, rapid.IntRange(0, 300).Draw(t, "steps"), sound); err != nil {
			t.Fatal(err)
		}
	})
}

// seeded draws without shrinking: many walks, fast.
func seeded(seed uint64) func(string, int) int {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(_ string, n int) int { return r.IntN(n) }
}

func TestChaosManyLongWalksKeepEveryRecordOnce(t *testing.T) {
	walks := 3_000
	if *long {
		walks = 200_000
	}
	for range walks {
		seed := rand.Uint64()
		if err := walk(seeded(seed), 400, sound); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// The model can tell: with each of these mistakes it finds a loss, a duplicate,
// or a question that cannot be answered.
func TestTheModelFindsEveryFlawTheProtocolAvoids(t *testing.T) {
	for f := askTooEarly; f <= forgetPrepared; f++ {
		found := false
		for seed := range uint64(20_000) {
			if err := walk(seeded(seed), 400, f); err != nil {
				t.Logf("flaw %d, seed %d: %v", f, seed, err)
				found = true
				break
			}
		}
		if !found {
			t.Errorf("flaw %d was not found", f)
		}
	}
}
