package hourly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"logforge/config"
	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, change ...func(*config.Storage)) (*Files, string) {
	t.Helper()
	cfg := testConfig()
	cfg.LogsDir = filepath.Join(t.TempDir(), "logs")
	for _, c := range change {
		c(&cfg)
	}
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, cfg.LogsDir
}

func TestFiles_RecordsAcknowledgedAfterTheirFileWasRemovedOrMovedAreInOneOfThatHour(t *testing.T) {
	for what, change := range map[string]func(dir, name string) error{
		"removed":                   func(_, name string) error { return os.Remove(name) },
		"moved":                     func(_, name string) error { return os.Rename(name, name+".1") },
		"its directory was removed": func(_, name string) error { return os.RemoveAll(filepath.Dir(name)) },
		"its directory was moved":   func(dir, name string) error { return os.Rename(filepath.Dir(name), dir+"/old") },
		"replaced":                  func(_, name string) error { return replaceFile(name, line(1, 99)) },
		"moved, and begun anew": func(_, name string) error {
			return errors.Join(os.Rename(name, name+".1"), os.WriteFile(name, []byte(line(1, 99)), 0o644))
		},
	} {
		for _, version := range []int{1, 2} {
			f, dir := openDir(t)
			name := filepath.Join(dir, Path(day0(1)))
			put := func(n int, ack sink.Ack) {
				t.Helper()
				err := f.Write(t.Context(), batch(t, line(1, n)), ack)
				if version == 2 {
					f.transactional = true
					err = f.Append(batch(t, line(1, n)))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if version == 1 {
				put(1, sink.Synced)
			} else {
				if err := f.Append(batch(t, line(1, 1))); err != nil {
					t.Fatal(err)
				}
				commitTx(t, f)
				put = func(n int, _ sink.Ack) {
					t.Helper()
					if err := f.Append(batch(t, line(1, n))); err != nil {
						t.Fatal(err)
					}
				}
			}
			before, _, _ := extentOf(t, f, 1)
			put(2, sink.Written)
			if err := change(dir, name); err != nil {
				t.Fatal(err)
			}
			put(3, sink.Synced)
			if version == 2 {
				commitTx(t, f)
			}
			got, err := os.ReadFile(name)
			if err != nil || !strings.HasSuffix(string(got), line(1, 2)+line(1, 3)) {
				t.Fatalf("%s, version %d: the file holds %q, %v", what, version, got, err)
			}
			if moved, err := os.ReadFile(name + ".1"); err == nil && string(moved) != line(1, 1) {
				t.Fatalf("%s, version %d: the moved file holds %q", what, version, moved)
			}
			after, text, _ := extentOf(t, f, 1)
			if after.Generation <= before.Generation || text != string(got) {
				t.Fatalf("%s, version %d: generation %d, then %d of %q", what, version, before.Generation, after.Generation, text)
			}
			if f.Err() != nil || f.Ready() != nil {
				t.Fatalf("%s, version %d: %v, ready says %v", what, version, f.Err(), f.Ready())
			}
		}
	}
}

func replaceFile(name, text string) error {
	if err := os.WriteFile(name+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func TestFiles_FilesRemovedAtAnyMomentEndNothingAndLoseNothingOfTheLast(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval, c.MaxOpenFiles = 5*time.Millisecond, 2 })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(dir, Path(day0(i%4)))
			_ = os.Rename(name, fmt.Sprintf("%s.%d", name, i)) // as logrotate does
			time.Sleep(5 * time.Millisecond)
		}
	})
	const writers, each = 4, 100
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				n := w*each + i
				ack := sink.Written
				if i%3 == 0 {
					ack = sink.Synced
				}
				for f.Write(context.Background(), batch(t, line(n%4, n)), ack) != nil {
					t.Error("refused", f.Ready())
					return
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	wg.Wait()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	names, err := filepath.Glob(dir + "/2026-02-09/*.log.json*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			seen[l]++
		}
	}
	for n := range writers * each {
		if seen[line(n%4, n)] != 1 {
			t.Errorf("record %d is there %d times", n, seen[line(n%4, n)])
		}
	}
}

func TestFiles_ADirectoryThatIsMovedStopsAcknowledgingUntilItIsBack(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = 10 * time.Millisecond })
	write(t, f, line(1, 1))
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, f, false)
	for _, ack := range []sink.Ack{sink.Written, sink.Synced} {
		if err := f.Write(t.Context(), batch(t, line(1, 2)), ack); !errors.Is(err, sink.ErrStorage) {
			t.Fatalf("moved away, %s: %v", ack, err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(30 * time.Millisecond) // a few looks: there is nothing to wait for
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Fatalf("another directory was written to: %v, %v", names, err)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+".old", dir)); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, f, true)
	write(t, f, line(1, 3))
	if got, err := os.ReadFile(filepath.Join(dir, Path(day0(1)))); err != nil || string(got) != line(1, 1)+line(1, 3) {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestFiles_ADirectoryThatIsRemovedIsMadeAgainAndLockedAgain(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = 10 * time.Millisecond })
	write(t, f, line(1, 1))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for f.Write(t.Context(), batch(t, line(1, 2)), sink.Synced) != nil {
		if time.Now().After(deadline) {
			t.Fatalf("never made again: %v", f.Ready())
		}
		time.Sleep(time.Millisecond)
	}
	got, err := os.ReadFile(filepath.Join(dir, Path(day0(1))))
	if err != nil || !strings.Contains(string(got), line(1, 2)) || strings.Contains(string(got), line(1, 1)) {
		t.Fatalf("%q, %v", got, err)
	}
	cfg := testConfig()
	cfg.LogsDir = dir
	if _, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil {
		t.Fatal("a second process is let in")
	}
	if err := os.Remove(filepath.Join(dir, ".lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet()); err == nil {
		t.Fatal("a second process is let in once the lock file is removed")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Lines that were on their way to a directory that was removed go to the one that
// takes its place, whoever asks for a sync: also of another hour.
func TestFiles_LinesOfADirectoryThatWasRemovedKeepNoOtherHourWaiting(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = time.Hour })
	for round := range 3 {
		if err := f.Write(t.Context(), batch(t, line(1, round)), sink.Written); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		f.lookAround()
		if err := f.Write(t.Context(), batch(t, line(2, round)), sink.Synced); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for hour := 1; hour <= 2; hour++ {
			if got, err := os.ReadFile(filepath.Join(dir, Path(day0(hour)))); err != nil || string(got) != line(hour, round) {
				t.Fatalf("round %d, hour %d: %q, %v", round, hour, got, err)
			}
		}
		if err := errors.Join(f.tendOnce(), f.Err(), f.Ready()); err != nil {
			t.Fatal(err)
		}
		if len(f.former) > 0 {
			t.Fatalf("round %d: %d directories that were removed are still open", round, len(f.former))
		}
	}
}

// A file that was moved away may be another hour's by now, or somebody else may
// have added to it: only the lines of this process are taken off it.
func TestFiles_LinesOfOthersStayInAFileThatWasMovedAway(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = time.Hour })
	one, two := filepath.Join(dir, Path(day0(1))), filepath.Join(dir, Path(day0(2)))
	put := func(hour, n int) {
		t.Helper()
		if err := f.Write(t.Context(), batch(t, line(hour, n)), sink.Synced); err != nil {
			t.Fatal(err)
		}
	}
	put(1, 1)
	put(2, 2)
	if err := errors.Join(os.Rename(one, one+".1"), os.Rename(two, one), os.Rename(one+".1", two)); err != nil {
		t.Fatal(err)
	}
	put(1, 3) // goes to the file that was the other hour's
	if err := f.tendOnce(); err != nil {
		t.Fatal(err)
	}
	put(2, 4)
	seen := map[string]int{}
	for _, name := range []string{one, two} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(text)) {
			seen[l]++
		}
	}
	for _, l := range []string{line(1, 1), line(2, 2), line(1, 3), line(2, 4)} {
		if seen[l] != 1 {
			t.Errorf("%q is there %d times", l, seen[l])
		}
	}
}

func awaitReady(t *testing.T, f *Files, ready bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); (f.Ready() == nil) != ready; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("ready says %v", f.Ready())
		}
	}
}

// rm -r of days, as often as it likes, beside a server that writes to them.
func TestFiles_RemovedByHandEndNothing(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval, c.MaxOpenFiles = 2*time.Millisecond, 2 })
	for n := range 60 {
		for day := range 3 {
			err := f.Write(t.Context(), batch(t, line(24*day, n), line(24*day+1, n)), sink.Synced)
			if err != nil {
				t.Fatalf("round %d: %v", n, err)
			}
		}
		// As rm does, it may find a file in the directory that has come meanwhile.
		err := os.RemoveAll(filepath.Join(dir, filepath.Dir(Path(day0(24*(n%3))))))
		if err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Err(), f.Ready()); err != nil {
		t.Fatal(err)
	}
	write(t, f, line(0, 99), line(24, 99), line(48, 99))
	for day := range 3 {
		text, err := os.ReadFile(filepath.Join(dir, Path(day0(24*day))))
		if err != nil || !strings.HasSuffix(string(text), line(24*day, 99)) {
			t.Fatalf("day %d holds %q, %v", day, text, err)
		}
	}
}
