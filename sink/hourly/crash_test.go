package hourly

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"logforge/config"
	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"
)

// fewFiles makes eviction part of everything.
func fewFiles(c *config.Storage) { c.MaxOpenFiles = 3 }

func TestFiles_PowerLossKeepsWhatWasSynced(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newMemDisk()
		synced, written, sent := map[string]bool{}, map[string]bool{}, map[string]bool{}
		n := 0
		for range rapid.IntRange(1, 4).Draw(rt, "lives") {
			f := openMem(t, d, fewFiles)
			for l := range written {
				if !present(d, l) {
					delete(written, l) // lost with the power, as a written line may be
				}
			}
			for range rapid.IntRange(0, 8).Draw(rt, "writes") {
				var lines []string
				for range rapid.IntRange(1, 9).Draw(rt, "records") {
					n++
					lines = append(lines, line(rapid.IntRange(0, 11).Draw(rt, "hour"), n))
				}
				ack := rapid.SampledFrom([]sink.Ack{sink.Written, sink.Synced}).Draw(rt, "ack")
				for _, l := range lines {
					sent[l] = true
				}
				if err := f.Write(t.Context(), batch(t, lines...), ack); err != nil {
					rt.Fatal(err)
				}
				for _, l := range lines {
					written[l] = true
					if ack == sink.Synced {
						synced[l] = true
					}
				}
				switch rapid.IntRange(0, 7).Draw(rt, "between") {
				case 0:
					if err := f.tendOnce(); err != nil {
						rt.Fatal(err)
					}
					for l := range written {
						synced[l] = true
					}
				case 1:
					f.writing.Lock()
					err := f.compact()
					f.writing.Unlock()
					if err != nil {
						rt.Fatal(err)
					}
				case 2: // what a follower has read is kept as well
					f.Extents()
					for l := range written {
						synced[l] = true
					}
				}
			}
			switch rapid.SampledFrom([]string{"power", "kill", "close"}).Draw(rt, "end") {
			case "power":
				var r *rand.Rand
				if seed := rapid.Uint64().Draw(rt, "seed"); seed != 0 {
					r = rand.New(rand.NewPCG(seed, 1))
				}
				d = d.powerLoss(r)
				openMem(t, d)
				checkLines(rt, d, sent, synced)
			case "kill":
				d = d.killed()
				openMem(t, d)
				checkLines(rt, d, sent, written)
			case "close":
				if err := f.Close(); err != nil {
					rt.Fatal(err)
				}
				d = d.powerLoss(nil)
				openMem(t, d)
				checkLines(rt, d, sent, written)
				for l := range written {
					synced[l] = true
				}
			}
			d.locked = map[string]bool{}
		}
	})
}

func present(d *memDisk, l string) bool {
	for n, i := range d.names {
		if strings.HasSuffix(n, ".log.json") && !strings.HasPrefix(filepath.Base(n), ".") && bytes.Contains(i.data, []byte(l)) {
			return true
		}
	}
	return false
}

// checkLines holds the promise: only whole lines that were sent, none twice,
// all of must.
func checkLines(t *rapid.T, d *memDisk, sent, must map[string]bool) {
	seen := map[string]int{}
	for n, i := range d.names {
		if _, ok := ParsePath(strings.TrimPrefix(n, "logs/")); !ok {
			continue
		}
		for l := range strings.Lines(string(i.data)) {
			if seen[l]++; seen[l] > 1 || !sent[l] || !json.Valid([]byte(l)) {
				t.Fatalf("%s holds %q %d times, sent %v", n, l, seen[l], sent[l])
			}
		}
	}
	for l := range must {
		if seen[l] != 1 {
			t.Fatalf("%q is acknowledged and there %d times", l, seen[l])
		}
	}
}

// TestFiles_TransactionsSurviveEveryCrash runs a consumer of a numbered stream against
// Files: after any crash, at any operation of the disk, each number up to the
// decided position is in the files exactly once, and no other.
func TestFiles_TransactionsSurviveEveryCrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newMemDisk()
		committed := map[string]int{} // transaction -> next, as the coordinator has it
		position := 0                 // of the coordinator
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			crashAt := rapid.IntRange(1, 250).Draw(rt, "crash at operation")
			d.ops = 0
			power := rapid.Bool().Draw(rt, "power loss")
			seed := rapid.Uint64().Draw(rt, "seed")
			errCrash := errors.New("crash")
			down := false
			d.fault = func(string, string) error {
				if down = down || d.ops >= crashAt; down {
					return errCrash
				}
				return nil
			}
			consume(rt, d, committed, &position)
			d.fault = nil
			if power {
				d = d.powerLoss(rand.New(rand.NewPCG(seed, 2)))
			} else {
				d = d.killed()
			}
		}
		f := openMem(t, d)
		resolve(rt, f, committed)
		if want := fmt.Append(nil, position); position > 0 && string(f.Position()) != string(want) {
			rt.Fatalf("the files say %q, the coordinator %q", f.Position(), want)
		}
		var got []string
		for _, e := range f.Extents() {
			h, n := e.Hour, e.Length
			text := contents(t, d, h)
			if int64(len(text)) != n {
				rt.Fatalf("%s has %d bytes, %d decided", h, len(text), n)
			}
			got = append(got, slices.Collect(strings.Lines(text))...)
		}
		var want []string
		for n := range position {
			want = append(want, line(n%txHours, n))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("position %d, files hold %d lines:\n%s", position, len(got), strings.Join(got, ""))
		}
	})
}

// resolve asks the coordinator what became of a pending transaction.
func resolve(t *rapid.T, f *Files, committed map[string]int) {
	tx, ok := f.Pending()
	if !ok {
		return
	}
	var err error
	if _, decided := committed[tx.ID.String()]; decided {
		err = f.Decide(tx.ID)
	} else {
		err = f.Rollback()
	}
	if err != nil && f.disk.(*memDisk).fault == nil {
		t.Fatal(err)
	}
}

// txHours is over how many hours the stream goes; at most three of them are open.
const txHours = 7

// consume is one life of the process: it ends at the first error, which is the
// crash.
func consume(t *rapid.T, d *memDisk, committed map[string]int, position *int) {
	cfg := testConfig()
	fewFiles(&cfg)
	f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
	if err != nil {
		return
	}
	resolve(t, f, committed)
	if _, pending := f.Pending(); pending {
		return
	}
	for range rapid.IntRange(1, 6).Draw(t, "transactions") {
		next := *position
		for range rapid.IntRange(1, 3).Draw(t, "appends") {
			var lines []string
			for range rapid.IntRange(1, 4).Draw(t, "records") {
				lines = append(lines, line(next%txHours, next))
				next++
			}
			if f.Append(batch(t, lines...)) != nil {
				return
			}
			if rapid.IntRange(0, 3).Draw(t, "tick") == 0 && f.tendOnce() != nil {
				return
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "give up") == 0 {
			if f.Rollback() != nil {
				return
			}
			continue
		}
		id := NewTxID()
		if f.Prepare(id, fmt.Append(nil, next)) != nil {
			return
		}
		switch rapid.SampledFrom([]string{"commit", "commit", "commit", "refused", "lost answer"}).Draw(t, "coordinator") {
		case "commit":
			committed[id.String()], *position = next, next
		case "refused":
			if f.Rollback() != nil {
				return
			}
			continue
		case "lost answer":
			committed[id.String()], *position = next, next
			return
		}
		if f.Decide(id) != nil {
			return
		}
		if rapid.IntRange(0, 3).Draw(t, "compaction") == 0 {
			f.writing.Lock()
			err := f.compact()
			f.writing.Unlock()
			if err != nil {
				return
			}
		}
	}
}
