package hourly

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"logforge/config"
	"logforge/sink"
)

// compressing makes hours quiet after an hour without a line.
func compressing(c *config.Storage) { c.CompressAfter = time.Hour }

// openQuiet opens the files without the upkeep that goes on beside: a process that
// was killed has none.
func openQuiet(t check, d disk, change ...func(*config.Storage)) *Files {
	t.Helper()
	f := openMem(t, d, append(change, compressing)...)
	f.stop()
	return f
}

// compressNow compresses every hour that there is.
func compressNow(f *Files) { f.compressQuiet(context.Background(), time.Now().Add(2*time.Hour)) }

// onDisk returns what the files of an hour hold, read as anybody else would: all
// frames of the one, and then the other.
func onDisk(t check, d *memDisk, hour int) (packed, plain string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := d.names["logs/"+Path(day0(hour))+".zst"]; n != nil {
		z, err := zstd.NewReader(bytes.NewReader(n.data))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		packed = string(text)
	}
	if n := d.names["logs/"+Path(day0(hour))]; n != nil {
		plain = string(n.data)
	}
	return packed, plain
}

// lines returns the lines of an hour from number from up to number to.
func lines(hour, from, to int) (text []string) {
	for n := from; n < to; n++ {
		text = append(text, line(hour, n))
	}
	return text
}

func TestCompress_TheStreamIsTheSameBeforeAndAfter(t *testing.T) {
	d := newMemDisk()
	f := openQuiet(t, d)
	var all string
	add := func(from, to int) {
		t.Helper()
		write(t, f, lines(1, from, to)...)
		all += strings.Join(lines(1, from, to), "")
	}
	var before Extent
	same := func(what string, plain int) {
		t.Helper()
		e, text, ok := extentOf(t, f, 1)
		if before.Generation == 0 {
			before = e
		}
		if !ok || text != all || e.Generation != before.Generation || e.Length != int64(len(all)) {
			t.Fatalf("%s: extent %v, before %v, of %d bytes, wanted %d", what, e, before, len(text), len(all))
		}
		a, b := onDisk(t, d, 1)
		if a+b != all || len(b) != plain {
			t.Fatalf("%s: the files hold %d and %d bytes, wanted %d in all, %d of them not compressed", what, len(a), len(b), len(all), plain)
		}
		for _, from := range []int64{1, e.Length / 3, e.Length - 1, e.Length} {
			r, err := f.Reader(e, from)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil || string(text) != all[from:] {
				t.Fatalf("%s: from %d on %d bytes are read, %v", what, from, len(text), err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := func(what string, plain int) {
		t.Helper()
		d = d.killed()
		f = openQuiet(t, d)
		same(what+", killed", plain)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = openQuiet(t, d)
		same(what+", closed", plain)
	}
	add(0, 30_000) // several frames
	same("written", len(all))
	compressNow(f)
	same("compressed", 0)
	again("compressed", 0)
	compressNow(f)
	same("nothing to compress", 0)
	mark := len(all)
	add(30_000, 30_007)
	same("late lines", len(all)-mark)
	again("late lines", len(all)-mark)
	compressNow(f)
	same("compressed again", 0)
	again("compressed again", 0)
	mark = len(all)
	add(30_007, 30_008)
	same("one more", len(all)-mark)
	if n := f.compressedBytes.Get(); n != 0 { // of the process that has just begun
		t.Fatalf("%d bytes", n)
	}
	compressNow(f)
	if n := f.compressedBytes.Get(); n != uint64(len(line(1, 30_007))) {
		t.Fatalf("%d bytes were compressed", n)
	}
}

func TestCompress_OnlyWhatIsQuietAndDecided(t *testing.T) {
	d := newMemDisk()
	f := openQuiet(t, d)
	write(t, f, line(1, 1))
	f.compressQuiet(t.Context(), time.Now().Add(time.Hour-time.Minute))
	if packed, _ := onDisk(t, d, 1); packed != "" {
		t.Fatal("an hour was compressed that is not quiet")
	}
	if err := f.Append(batch(t, line(1, 2), line(2, 3))); err != nil {
		t.Fatal(err)
	}
	compressNow(f)
	id := NewTxID()
	if err := f.Prepare(id, []byte("1")); err != nil {
		t.Fatal(err)
	}
	compressNow(f)
	for hour := range 3 {
		if packed, _ := onDisk(t, d, hour); packed != "" {
			t.Fatal("an hour was compressed within a transaction")
		}
	}
	if err := f.Decide(id); err != nil {
		t.Fatal(err)
	}
	compressNow(f)
	for hour, want := range map[int]string{1: line(1, 1) + line(1, 2), 2: line(2, 3)} {
		if packed, plain := onDisk(t, d, hour); packed != want || plain != "" {
			t.Fatalf("hour %d: %q and %q", hour, packed, plain)
		}
	}
}

// TestCompress_ACrashAtAnyStepLeavesEachLineOnce compresses an hour, writes a late
// line, and compresses that as well, and crashes at every operation of the disk.
func TestCompress_ACrashAtAnyStepLeavesEachLineOnce(t *testing.T) {
	for _, transactional := range []bool{false, true} {
		for _, compressedBefore := range []bool{false, true} {
			put := func(f *Files, n int) error {
				if !transactional {
					return f.Write(context.Background(), batch(t, line(1, n)), sink.Synced)
				}
				id := NewTxID()
				if err := f.Append(batch(t, line(1, n))); err != nil {
					return err
				}
				if err := f.Prepare(id, fmt.Append(nil, n)); err != nil {
					return err
				}
				return f.Decide(id)
			}
			d := newMemDisk()
			f := openQuiet(t, d)
			if err := put(f, 0); err != nil {
				t.Fatal(err)
			}
			if compressedBefore {
				compressNow(f)
			}
			if err := put(f, 1); err != nil {
				t.Fatal(err)
			}
			before, _, _ := extentOf(t, f, 1)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			states := map[string]int{}
			var stored int
			crashEach(t, d, func(d *memDisk) {
				stored = 2
				cfg := testConfig()
				compressing(&cfg)
				f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
				if err != nil {
					return
				}
				f.stop()
				compressNow(f)
				for range 2 {
					if put(f, stored) != nil {
						return
					}
					stored++
					compressNow(f)
				}
			}, func(what string, d *memDisk) {
				what = fmt.Sprintf("%s, in transactions %v, compressed before %v", what, transactional, compressedBefore)
				lives := 1
				if strings.HasPrefix(what, "killed") {
					lives = 3 // recovery twice is as once
				}
				for life := range lives {
					d = d.killed()
					f := openQuiet(t, d)
					if tx, pending := f.Pending(); pending {
						if err := f.Decide(tx.ID); err != nil {
							t.Fatal(err)
						}
					}
					e, text, ok := extentOf(t, f, 1)
					packed, plain := onDisk(t, d, 1)
					all := strings.Join(lines(1, 0, 5), "")
					if !ok || packed+plain != text || !strings.HasPrefix(all, text) || e.Generation != before.Generation {
						t.Fatalf("%s, start %d: generation %d, before %d, %q is read of %q and %q", what, life, e.Generation, before.Generation, text, packed, plain)
					}
					if least := strings.Join(lines(1, 0, stored), ""); !strings.HasPrefix(text, least) {
						t.Fatalf("%s: a line that was stored is lost: %q", what, text)
					}
					for n := range d.names {
						if strings.HasSuffix(n, ".tmp") && strings.Contains(n, ".zst") {
							t.Fatalf("%s: %s is left", what, n)
						}
					}
					states[fmt.Sprint(packed != "", plain != "")]++
					if life == 1 && lives == 3 {
						compressNow(f)
						if packed, plain := onDisk(t, d, 1); packed != text || plain != "" {
							t.Fatalf("%s: compressed afterwards: %q and %q, of %q", what, packed, plain, text)
						}
					}
				}
			})
			if len(states) < 2 {
				t.Errorf("only these states were met: %v", states)
			}
		}
	}
}

// TestCompress_SurvivesEveryCrash compresses between the transactions of a
// consumer, and between the batches of pipeline 1, and crashes anywhere, for several
// lives.
func TestCompress_SurvivesEveryCrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newMemDisk()
		acknowledged, sent := map[string]bool{}, map[string]bool{}
		n := 0
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			crashAt := rapid.IntRange(1, 400).Draw(rt, "crash at operation")
			d.ops = 0
			down := false
			errCrash := fmt.Errorf("crash")
			disk := d
			d.fault = func(string, string) error {
				if down = down || disk.ops >= crashAt; down {
					return errCrash
				}
				return nil
			}
			func() {
				cfg := testConfig()
				compressing(&cfg)
				fewFiles(&cfg)
				f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
				if err != nil {
					return
				}
				f.stop()
				for range rapid.IntRange(1, 8).Draw(rt, "steps") {
					switch rapid.IntRange(0, 4).Draw(rt, "step") {
					case 0:
						compressNow(f)
					case 1:
						_ = f.tendOnce()
					case 2:
						f.writing.Lock()
						_ = f.compact()
						f.writing.Unlock()
					default:
						var text []string
						for range rapid.IntRange(1, 3).Draw(rt, "records") {
							text = append(text, line(rapid.IntRange(0, 4).Draw(rt, "hour"), n))
							n++
						}
						for _, l := range text {
							sent[l] = true
						}
						if f.Write(context.Background(), batch(rt, text...), sink.Synced) != nil {
							continue
						}
						for _, l := range text {
							acknowledged[l] = true
						}
					}
				}
			}()
			d.fault = nil
			if rapid.Bool().Draw(rt, "power loss") {
				d = d.powerLoss(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4)))
			} else {
				d = d.killed()
			}
			f := openQuiet(rt, d)
			seen := map[string]int{}
			for hour := range 5 {
				_, text, _ := extentOf(rt, f, hour)
				if packed, plain := onDisk(rt, d, hour); packed+plain != text {
					rt.Fatalf("hour %d: %q is read of %q and %q", hour, text, packed, plain)
				}
				for l := range strings.Lines(text) {
					seen[l]++
				}
			}
			for l, times := range seen {
				if times != 1 || !sent[l] {
					rt.Fatalf("%q is there %d times, sent %v", l, times, sent[l])
				}
			}
			for l := range acknowledged {
				if seen[l] != 1 {
					rt.Fatalf("%q is acknowledged and there %d times", l, seen[l])
				}
			}
			d = d.killed()
		}
	})
}
