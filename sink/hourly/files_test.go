package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"
)

// line is the canonical line of record n in the hour that many hours after
// 2026-02-09T00.
func line(hour, n int) string {
	t := time.Date(2026, 2, 9, hour, 0, n%3600, 0, time.UTC).Format(time.RFC3339)
	return fmt.Sprintf(`{"timestamp":%q,"path":"/%d","userAgent":"ua"}`+"\n", t, n)
}

func day0(hour int) codec.Hour {
	return codec.HourOf(time.Date(2026, 2, 9, hour, 0, 0, 0, time.UTC))
}

func batch(t check, lines ...string) *codec.Batch {
	t.Helper()
	b := new(codec.Batch)
	if err := b.Decode([]byte(strings.Join(lines, "")), codec.NDJSON, codec.Limits{}); err != nil {
		t.Fatal(err)
	}
	return b
}

func testConfig() config.Storage {
	cfg := config.Default().Storage
	cfg.LogsDir = "logs"
	cfg.SyncInterval = time.Hour // tests that want a tick take it
	return cfg
}

func openMem(t check, d disk, change ...func(*config.Storage)) *Files {
	t.Helper()
	cfg := testConfig()
	for _, c := range change {
		c(&cfg)
	}
	f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func contents(t check, d *memDisk, h codec.Hour) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[filepath.Join("logs", Path(h))]
	if n == nil {
		return ""
	}
	return string(n.data)
}

// expect compares the hours' files, and what readers may see of them.
func expect(t check, d *memDisk, f *Files, want map[int]string) {
	t.Helper()
	seen := map[codec.Hour]int64{}
	for h, s := range f.segments {
		seen[h] = s.visible
	}
	for hour, text := range want {
		if got := contents(t, d, day0(hour)); got != text {
			t.Fatalf("hour %d holds\n%q, want\n%q", hour, got, text)
		}
		if seen[day0(hour)] != int64(len(text)) {
			t.Fatalf("hour %d is committed to %d, want %d", hour, seen[day0(hour)], len(text))
		}
	}
	for h, n := range seen {
		if _, ok := want[int(h-day0(0))]; !ok && n > 0 {
			t.Fatalf("hour %s has %d bytes nobody wrote", h, n)
		}
	}
}

func TestFiles_EachRecordGoesToTheFileOfItsHour(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	for _, lines := range [][]string{
		{line(3, 1)},
		{line(3, 2), line(4, 3), line(3, 4)},
		{line(30, 5)},
	} {
		if err := f.Write(t.Context(), batch(t, lines...), sink.Default); err != nil {
			t.Fatal(err)
		}
	}
	want := map[int]string{3: line(3, 1) + line(3, 2) + line(3, 4), 4: line(4, 3), 30: line(30, 5)}
	expect(t, d, f, want)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, d, openMem(t, d.killed()), want)
	if err := f.Write(t.Context(), batch(t, line(3, 9)), sink.Default); !errors.Is(err, sink.ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

func TestFiles_ManyWritersLoseNothingAndShareWrites(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	var wg sync.WaitGroup
	const writers, each = 32, 50
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				ack := sink.Written
				if i%10 == 0 {
					ack = sink.Synced
				}
				n := w*each + i
				if err := f.Write(t.Context(), batch(t, line(n%5, n), line(n%7, n+writers*each)), ack); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, e := range f.Extents() {
		h, n := e.Hour, e.Length
		text := contents(t, d, h)
		if int64(len(text)) != n {
			t.Fatalf("%s: %d bytes, committed to %d", h, len(text), n)
		}
		for l := range strings.Lines(text) {
			seen[l]++
		}
	}
	for n := range writers * each {
		if seen[line(n%5, n)] != 1 || seen[line(n%7, n+writers*each)] != 1 {
			t.Fatalf("record %d is there %d and %d times", n, seen[line(n%5, n)], seen[line(n%7, n+writers*each)])
		}
	}
}

func TestFiles_LevelsOfTheOtherPipelineAreRefused(t *testing.T) {
	f := openMem(t, newMemDisk())
	for _, ack := range []sink.Ack{sink.Enqueued, sink.Replicated} {
		if err := f.Write(t.Context(), batch(t, line(1, 1)), ack); !errors.Is(err, sink.ErrAck) {
			t.Errorf("%s: %v", ack, err)
		}
	}
}

func TestFiles_ABatchOverAThousandHoursKeepsFewFilesOpenAndIsOnDisk(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, func(c *config.Storage) { c.MaxOpenFiles = 7 })
	var lines []string
	want := map[int]string{}
	for h := range 1000 {
		lines = append(lines, line(h, h))
		want[h] = line(h, h)
	}
	for range 2 {
		if err := f.Write(t.Context(), batch(t, lines...), sink.Synced); err != nil {
			t.Fatal(err)
		}
		if len(f.open) > 7 {
			t.Fatalf("%d files open", len(f.open))
		}
		expect(t, d, f, want)
		lost := d.powerLoss(nil)
		expect(t, lost, openMem(t, lost), want)
		for h := range want {
			want[h] += line(h, h)
		}
	}
	// The limit holds for taking back as well.
	d.fault = func(op, name string) error {
		if op == "write" && strings.Contains(name, Path(day0(999))) {
			return unix.ENOSPC
		}
		return nil
	}
	for h := range want {
		want[h] = line(h, h) + line(h, h)
	}
	if err := f.Write(t.Context(), batch(t, lines...), sink.Written); !errors.Is(err, sink.ErrDiskFull) {
		t.Fatal(err)
	}
	expect(t, d, f, want)
}

func TestFiles_IdleOnesAreClosedAndWrittenOnesSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newMemDisk()
		f := openMem(t, d, func(c *config.Storage) { c.SyncInterval, c.IdleClose = time.Second, time.Minute })
		if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Written); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		lost := d.powerLoss(nil)
		if got := contents(t, lost, day0(1)); got != line(1, 1) {
			t.Fatalf("after one interval the disk has %q", got)
		}
		if f.opened.Load() != 1 {
			t.Fatal("closed at once")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if f.opened.Load() != 0 {
			t.Fatal("an idle file stays open")
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFiles_ASecondProcessIsRefusedAndTheHolderNamed(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir = t.TempDir()
	log, set := slog.New(slog.DiscardHandler), metrics.NewSet
	f, err := Open(cfg, sink.Written, log, set())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, sink.Written, log, set()); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Fatalf("the second: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = Open(cfg, sink.Written, log, set())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFiles_TheRealFileSystemHoldsWhatWasWritten(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir = filepath.Join(t.TempDir(), "a", "b")
	f, err := Open(cfg, sink.Synced, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := f.Write(t.Context(), batch(t, line(1, i)), sink.Default); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	big := strings.Repeat(line(1, 7), 1000)
	for range 3 {
		wg.Go(func() {
			if err := f.Write(t.Context(), batch(t, big), sink.Default); err != nil {
				t.Error(err)
			}
		})
		want.WriteString(big)
	}
	wg.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		want.WriteString(line(1, i))
	}
	got, err := os.ReadFile(filepath.Join(cfg.LogsDir, Path(day0(1))))
	if err != nil {
		t.Fatal(err)
	}
	count := func(text string) map[string]int {
		m := map[string]int{}
		for l := range strings.Lines(text) {
			m[l]++
		}
		return m
	}
	g, w := count(string(got)), count(want.String())
	if len(g) != len(w) {
		t.Fatalf("%d distinct lines, want %d", len(g), len(w))
	}
	for l, n := range w {
		if g[l] != n {
			t.Fatalf("%q is there %d times, want %d", l, g[l], n)
		}
	}
}

func TestFiles_WriteDoesNotAllocate(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir = t.TempDir()
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	b := batch(t, line(1, 1), line(2, 2), line(1, 3))
	if n := testing.AllocsPerRun(1000, func() {
		if err := f.Write(t.Context(), b, sink.Default); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a batch", n)
	}
}

// check is what testing.T and rapid.T have in common.
type check interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
