package hourly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

// crashEach runs life on copies of a disk, each of which breaks at the next
// operation, until one lives through it, and checks what the next process finds:
// after a kill, and after power losses that keep this or that of what was not
// synced.
func crashEach(t *testing.T, d *memDisk, life func(d *memDisk), check func(what string, d *memDisk)) {
	t.Helper()
	errCrash := errors.New("crash")
	for crashAt := 1; ; crashAt++ {
		down := false
		disk := d.killed()
		disk.ops = 0
		disk.fault = func(string, string) error {
			if down = down || disk.ops >= crashAt; down {
				return errCrash
			}
			return nil
		}
		life(disk)
		disk.fault = nil
		check(fmt.Sprintf("killed at operation %d", crashAt), disk.killed())
		check(fmt.Sprintf("power lost at operation %d, all that was not synced with it", crashAt), disk.powerLoss(nil))
		for seed := range uint64(20) {
			check(fmt.Sprintf("power lost at operation %d, seed %d", crashAt, seed), disk.powerLoss(rand.New(rand.NewPCG(seed, 3))))
		}
		if !down {
			return
		}
	}
}

// removals are the ways in which an hour can go while a process runs.
var removals = map[string]func(f *Files){
	"by retention": func(f *Files) { f.retain(context.Background(), Retention{}, time.Now()) },
	"by hand": func(f *Files) {
		d := f.disk.(*memDisk)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.names, "logs/2026-02-09/01.log.json")
	},
}

// TestFiles_ARemovedHourIsThereOrGoneAfterEveryCrash removes an hour and writes a
// late line to it. After a crash at any operation the hour is as it was, or gone,
// or a new generation with nothing but the late line.
func TestFiles_ARemovedHourIsThereOrGoneAfterEveryCrash(t *testing.T) {
	old, late := line(1, 1)+line(1, 2), line(1, 3)
	for how, remove := range removals {
		for _, closed := range []bool{false, true} {
			for _, transactional := range []bool{false, true} {
				d := newMemDisk()
				f := openMem(t, d, maxAge(time.Hour))
				put := func(f *Files, lines ...string) error {
					if !transactional {
						return f.Write(context.Background(), batch(t, lines...), sink.Synced)
					}
					id := NewTxID()
					if err := f.Append(batch(t, lines...)); err != nil {
						return err
					}
					if err := f.Prepare(id, []byte("0")); err != nil {
						return err
					}
					return f.Decide(id)
				}
				if err := put(f, line(1, 1), line(1, 2)); err != nil {
					t.Fatal(err)
				}
				before, _, _ := extentOf(t, f, 1)
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				gone, again := 0, 0
				var stored bool
				crashEach(t, d, func(d *memDisk) {
					stored = false
					cfg := testConfig()
					cfg.MaxAge = time.Hour
					f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
					if err != nil {
						return
					}
					if s := f.segments[day0(1)]; s == nil || !closed && f.ensureOpen(s) != nil {
						return // the crash
					}
					remove(f)
					stored = put(f, late) == nil
				}, func(what string, d *memDisk) {
					d.locked = map[string]bool{}
					f := openMem(t, d)
					if tx, pending := f.Pending(); pending {
						if err := f.Decide(tx.ID); err != nil {
							t.Fatal(err)
						}
					}
					e, text, ok := extentOf(t, f, 1)
					what = fmt.Sprintf("removed %s, closed %v, in transactions %v, %s", how, closed, transactional, what)
					switch {
					case !ok || text == "" && e.Generation != before.Generation:
						gone++
					case e.Generation == before.Generation && text == old, e.Generation == before.Generation && text == old+late:
						// Not removed, and the line was added to it.
					case e.Generation > before.Generation && text == late:
						again++
					default:
						t.Fatalf("%s: generation %d, before %d, holds %q", what, e.Generation, before.Generation, text)
					}
					if stored && !strings.HasSuffix(text, late) {
						t.Fatalf("%s: the late line was stored and is lost: %q", what, text)
					}
					// The next line never takes a generation again.
					if !ok {
						write(t, f, late)
						if e, _, _ := extentOf(t, f, 1); e.Generation <= before.Generation {
							t.Fatalf("%s: generation %d is given again, it was %d", what, e.Generation, before.Generation)
						}
					}
				})
				if gone == 0 || again == 0 {
					t.Errorf("removed %s: gone %d times, anew %d times: the test tries nothing", how, gone, again)
				}
			}
		}
	}
}
