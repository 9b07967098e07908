package kafka

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// flaw is a mistake that the protocol is there to avoid: the model has to find it.
type flaw int

const (
	sound          flaw = iota
	askTooEarly         // asks what became of a transaction before joining anew
	sendTwice           // sends a commit again when no answer comes
	alwaysDrop          // takes an unknown outcome for a refusal
	alwaysKeep          // or for a commit
	noHistory           // forgets who had the partition before
	unfenced            // the coordinator takes commits of members that are gone
	forgetPrepared      // a crash between prepare and decide loses the transaction
)

// finish lets the dust settle: everything on its way arrives or is lost, every
// process comes up, and one consumes the rest.
func (w *world) finish() error {
	for len(w.flight) > 0 {
		w.arrive(w.draw("flight", len(w.flight)))
	}
	for i, p := range w.procs {
		w.crash(p)
		w.start(i)
		for !p.synced {
			if err := w.sync(i); err != nil {
				return err
			}
		}
	}
	for i := range w.procs {
		if i > 0 {
			w.expel(i)
		}
	}
	p := w.procs[0]
	for {
		for p.synced = false; !p.synced; {
			if err := w.sync(0); err != nil {
				return err
			}
		}
		w.poll(p)
		if p.tx == nil {
			left := false
			for n, at := range w.committed {
				left = left || at.offset < modelEnd && p.parts[n] != nil
			}
			if !left {
				break
			}
			continue
		}
		w.prepare(p)
		w.send(p)
		for len(w.flight) > 0 {
			w.arrive(0)
		}
		if err := w.answer(0); err != nil {
			return err
		}
	}
	for n := range modelPartitions {
		var counts [modelEnd]int
		for _, p := range w.procs {
			for _, r := range p.decided[n] {
				counts[r]++
			}
		}
		for r, count := range counts {
			if count != 1 {
				return fmt.Errorf("partition %d, record %d is there %d times", n, r, count)
			}
		}
	}
	return nil
}

func walk(draw func(string, int) int, steps int, f flaw) error {
	w := newWorld(draw, f)
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	return w.finish()
}

func TestModel_EveryRecordEndsUpInOneDirectoryOnceWhateverHappens(t *testing.T) {
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
func TestModel_FindsEveryFlawTheProtocolAvoids(t *testing.T) {
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
