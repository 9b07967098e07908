package hourly

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/config"
	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"
)

// afterDay0 returns the time that many hours after 2026-02-09T00.
func afterDay0(hours int) time.Time { return day0(hours).Time() }

func maxAge(d time.Duration) func(*config.Storage) {
	return func(c *config.Storage) { c.MaxAge = d }
}

func maxBytes(n int) func(*config.Storage) {
	return func(c *config.Storage) { c.MaxBytes = config.Bytes(n) }
}

// hoursOf returns the hours that f has a file of, after 2026-02-09T00.
func hoursOf(f *Files) (hours []int) {
	for _, e := range f.Extents() {
		hours = append(hours, int(e.Hour-day0(0)))
	}
	return hours
}

func wantHours(t check, f *Files, want ...int) {
	t.Helper()
	if got := hoursOf(f); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("hours %v, want %v", got, want)
	}
}

// quietly is long enough after every write of a test that no hour counts as
// written to a moment ago.
func quietly() time.Time { return time.Now().Add(busy + time.Minute) }

func TestRetention_RemovesHoursThatEndedLongerThanMaxAgeAgo(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, maxAge(48*time.Hour))
	for hour := range 5 {
		write(t, f, line(hour, hour))
	}
	// Hour 1 ends at 2; exactly 48 hours later it is not older than that.
	f.retain(t.Context(), Retention{}, afterDay0(2+48))
	wantHours(t, f, 1, 2, 3, 4)
	p := f.retain(t.Context(), Retention{}, afterDay0(4+48).Add(time.Second))
	wantHours(t, f, 4)
	if p.count != 3 || p.removed != int64(3*len(line(1, 1))) || p.overdue != 0 || p.err != nil {
		t.Errorf("%+v", p)
	}
	if got := f.removedBytes.Get(); got != uint64(4*len(line(1, 1))) {
		t.Errorf("%d bytes counted as removed", got)
	}
	if contents(t, d, day0(1)) != "" {
		t.Error("the file of hour 1 is still there")
	}
	wantHours(t, openMem(t, d.killed()), 4)
}

func TestRetention_ByDefaultRemovesNothing(t *testing.T) {
	f := openMem(t, newMemDisk())
	write(t, f, line(1, 1))
	if p := f.retain(t.Context(), Retention{}, time.Now().Add(1e6*time.Hour)); p.removed != 0 || p.overdue != 0 {
		t.Errorf("%+v", p)
	}
	wantHours(t, f, 1)
}

func TestRetention_RemovesTheOldestHoursDownToMaxBytes(t *testing.T) {
	size := len(line(1, 1))
	f := openMem(t, newMemDisk(), maxBytes(2*size))
	for _, hour := range []int{5, 1, 9, 3, 7} {
		write(t, f, line(hour, hour))
	}
	f.retain(t.Context(), Retention{}, quietly())
	wantHours(t, f, 7, 9)
	f.retain(t.Context(), Retention{}, quietly())
	wantHours(t, f, 7, 9)
}

// An hour that was written to a moment ago goes last, and only if nothing older
// is left: also not if what is older may not be removed.
func TestRetention_KeepsAnHourWrittenToAMomentAgoUnlessNothingOlderIsLeft(t *testing.T) {
	size := len(line(1, 1))
	d := newMemDisk()
	f := openMem(t, d, maxBytes(2*size))
	for hour := 1; hour <= 4; hour++ {
		write(t, f, line(hour, hour))
	}
	long := time.Now().Add(-time.Hour)
	for _, hour := range []int{2, 3} {
		d.names[filepath.Join("logs", Path(day0(hour)))].modified = long
	}
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f, 1, 4) // 1 is older, but a late line has just come to it

	f.cfg.MaxBytes = config.Bytes(size)
	p := f.retain(t.Context(), Retention{MayRemove: func(e Extent) bool { return e.Hour != day0(1) }}, time.Now())
	wantHours(t, f, 1, 4)
	if p.overdue != int64(size) {
		t.Errorf("%d bytes are overdue", p.overdue)
	}
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f, 4)
	f.cfg.MaxBytes = 1
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f)
}

func TestRetention_AnOpenReaderReadsOn(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir, cfg.MaxAge = t.TempDir(), time.Hour
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test is over
	write(t, f, line(1, 1))
	r, err := f.Reader(f.Extents()[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	e := f.Extents()[0]
	if p := f.retain(t.Context(), Retention{}, time.Now()); p.err != nil {
		t.Fatal(p.err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != line(1, 1) {
		t.Errorf("%q, %v", text, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Reader(e, 0); !errors.Is(err, ErrGone) {
		t.Errorf("the removed generation: %v", err)
	}
}

// TestRetention_OnARealFileSystem removes hours of a real directory, with what
// recovery has kept beside them and the folders of their days, and nothing else.
func TestRetention_OnARealFileSystem(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir, cfg.MaxAge = t.TempDir(), time.Hour
	open := func() *Files {
		t.Helper()
		f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	there := func(name string) bool {
		_, err := os.Stat(filepath.Join(cfg.LogsDir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return err == nil
	}
	f := open()
	write(t, f, line(1, 1), line(2, 2), line(30, 3))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(cfg.LogsDir, Path(day0(1)))
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(text, "half a li"...), 0o600); err != nil {
		t.Fatal(err)
	}
	f = open()
	if torn, err := filepath.Glob(filepath.Join(cfg.LogsDir, "2026-02-09/.01.log.json.torn-*")); err != nil || len(torn) != 1 {
		t.Fatalf("kept beside: %v, %v", torn, err)
	}
	before, _, _ := extentOf(t, f, 1)
	r := Retention{MayRemove: func(e Extent) bool { return e.Hour != day0(2) }, KeepWritten: time.Hour}
	f.retain(t.Context(), r, time.Now())
	wantHours(t, f, 1, 2, 30) // they were written just now

	long := time.Now().Add(-2 * time.Hour)
	for _, hour := range []int{1, 2, 30} {
		if err := os.Chtimes(filepath.Join(cfg.LogsDir, Path(day0(hour))), long, long); err != nil {
			t.Fatal(err)
		}
	}
	if p := f.retain(t.Context(), r, time.Now()); p.err != nil {
		t.Fatal(p.err)
	}
	wantHours(t, f, 2)
	if there("2026-02-10") {
		t.Error("an empty folder stays")
	}
	if left, err := filepath.Glob(filepath.Join(cfg.LogsDir, "2026-02-09/.*")); err != nil || len(left) != 0 {
		t.Errorf("beside the hours: %v, %v", left, err)
	}
	// A late line, and a restart.
	write(t, f, line(1, 9), line(30, 9))
	after, lines, _ := extentOf(t, f, 1)
	if lines != line(1, 9) || after.Generation <= before.Generation {
		t.Errorf("%+v after %+v holds %q", after, before, lines)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = open()
	defer f.Close() //nolint:errcheck // the test is over
	if again, lines, _ := extentOf(t, f, 1); again != after || lines != line(1, 9) {
		t.Errorf("%+v after a restart, %+v before", again, after)
	}
}

// Removing must not turn batches away when it fails, whatever fails.
func TestRetention_AFailureNeitherStopsWritesNorIsForgotten(t *testing.T) {
	for _, op := range []string{"remove", "open", "opendir", "rmdir"} {
		d := newMemDisk()
		f := openMem(t, d, maxAge(time.Hour))
		write(t, f, line(1, 1))
		old, _, _ := extentOf(t, f, 1)
		d.fault = func(o, name string) error {
			if o == op && strings.Contains(name, "2026-02-09") {
				return unix.EIO
			}
			return nil
		}
		p := f.retain(t.Context(), Retention{}, time.Now())
		if failed := op != "rmdir"; failed != (p.err != nil) || failed != (p.overdue > 0) {
			t.Errorf("%s: %v, %d bytes overdue", op, p.err, p.overdue)
		}
		if err := errors.Join(f.Ready(), f.Err()); err != nil {
			t.Errorf("%s: ready says %v", op, err)
		}
		d.fault = nil
		if p := f.retain(t.Context(), Retention{}, time.Now()); p.err != nil || p.overdue != 0 {
			t.Errorf("%s, mended: %v", op, p.err)
		}
		wantHours(t, f)
		if got := f.removedBytes.Get(); got != uint64(len(line(1, 1))) {
			t.Errorf("%s: %d bytes counted as removed", op, got)
		}
		write(t, f, line(1, 2))
		if e, text, _ := extentOf(t, f, 1); text != line(1, 2) || e.Generation <= old.Generation {
			t.Errorf("%s: %+v holds %q", op, e, text)
		}
	}
}

func TestRetention_WorksWhileTheDiskIsFull(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, maxAge(time.Hour))
	write(t, f, line(1, 1))
	write(t, f, line(2, 2))
	full := true
	d.fault = func(op, _ string) error {
		if full && op == "write" {
			return unix.ENOSPC
		}
		return nil
	}
	if err := f.Write(t.Context(), batch(t, line(3, 3)), sink.Written); !errors.Is(err, sink.ErrDiskFull) {
		t.Fatal(err)
	}
	if p := f.retain(t.Context(), Retention{}, time.Now()); p.err != nil || p.count != 2 {
		t.Fatalf("%d hours removed, %v", p.count, p.err)
	}
	full = false
	if err := f.tendOnce(); err != nil || f.Ready() != nil {
		t.Fatalf("room again: %v, %v", err, f.Ready())
	}
	write(t, f, line(3, 3))
	wantHours(t, f, 3)
	wantHours(t, openMem(t, d.killed()), 3)
}
