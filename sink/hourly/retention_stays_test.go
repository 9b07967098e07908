package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

// What retention leaves where it is, although it is due.

func TestRetention_KeepsWhatMayNotBeRemovedAndSaysSo(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig()
	cfg.MaxAge = time.Hour
	set := metrics.NewSet()
	f, err := openOn(cfg, sink.Written, slog.New(slog.NewTextHandler(&log, nil)), set, newMemDisk())
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, line(1, 1))
	write(t, f, line(2, 2), line(2, 3))
	allowed := false
	r := Retention{MayRemove: func(e Extent) bool { return allowed || e.Hour == day0(1) }}
	gauge := func(name string, want int) {
		t.Helper()
		var text bytes.Buffer
		set.WritePrometheus(&text)
		if !strings.Contains(text.String(), fmt.Sprintf("%s %d\n", name, want)) {
			t.Errorf("%s is not %d:\n%s", name, want, text.String())
		}
	}
	gauge("logforge_storage_bytes", 3*len(line(1, 1)))
	var reminder reminder
	now := time.Now()
	says := func(after time.Duration, want int) {
		t.Helper()
		reminder.note(f.retain(t.Context(), r, now.Add(after)))
		if got := strings.Count(log.String(), "have to stay: "); got != want {
			t.Errorf("after %v the log says it %d times, not %d:\n%s", after, got, want, log.String())
		}
	}
	says(0, 0)
	wantHours(t, f, 2)
	gauge("logforge_storage_bytes", 2*len(line(1, 1)))
	gauge("logforge_storage_overdue_bytes", 2*len(line(1, 1)))
	gauge("logforge_storage_removed_bytes_total", len(line(1, 1)))
	says(overdueAfter-time.Second, 0)
	says(overdueAfter, 1)
	says(overdueAfter+overdueAgain-time.Second, 1)
	says(overdueAfter+overdueAgain, 2)
	allowed = true
	says(2*overdueAgain, 2)
	if !strings.Contains(log.String(), "has to stay any more") {
		t.Errorf("the log does not say that it is over:\n%s", log.String())
	}
	gauge("logforge_storage_overdue_bytes", 0)
	gauge("logforge_storage_bytes", 0)
}

func TestRetention_KeepsAnHourForKeepWrittenAfterItsLastLine(t *testing.T) {
	f := openMem(t, newMemDisk(), maxAge(time.Hour))
	write(t, f, line(1, 1))
	r := Retention{KeepWritten: 24 * time.Hour}
	if p := f.retain(t.Context(), r, time.Now().Add(23*time.Hour)); p.overdue == 0 {
		t.Error("nothing is overdue")
	}
	wantHours(t, f, 1)
	f.retain(t.Context(), r, time.Now().Add(25*time.Hour))
	wantHours(t, f)
}

func TestRetention_LeavesAnHourThatKeepHasMarkedUntilTheMarkIsRemoved(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, maxAge(time.Hour))
	write(t, f, line(1, 1))
	write(t, f, line(2, 2))
	if err := errors.Join(f.Keep(day0(1)), f.Keep(day0(99))); err != nil {
		t.Fatal(err)
	}
	d = d.powerLoss(nil)
	f = openMem(t, d, maxAge(time.Hour))
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f, 1)
	if err := f.root.Remove("2026-02-09/.01.log.json.keep"); err != nil {
		t.Fatal(err)
	}
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f)
}

// Lines that came, or are not on disk yet, after the hour was allowed to go.
func TestRetention_LeavesAnHourThatHasGrownSinceItWasAllowed(t *testing.T) {
	f := openMem(t, newMemDisk(), maxAge(time.Hour))
	write(t, f, line(1, 1))
	r := Retention{MayRemove: func(Extent) bool {
		if err := f.Write(t.Context(), batch(t, line(1, 2)), sink.Written); err != nil {
			t.Error(err)
		}
		return true
	}}
	f.retain(t.Context(), r, time.Now())
	if _, text, _ := extentOf(t, f, 1); text != line(1, 1)+line(1, 2) {
		t.Fatalf("hour 1 holds %q", text)
	}
	f.retain(t.Context(), Retention{}, time.Now())
	wantHours(t, f)
}

// oneHour returns files that hold hour 1, which is older than maxAge, with its file
// open or not.
func oneHour(t *testing.T, open bool) (*memDisk, *Files) {
	t.Helper()
	d := newMemDisk()
	f := openMem(t, d, maxAge(time.Hour))
	write(t, f, line(1, 1))
	if !open {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = openMem(t, d, maxAge(time.Hour))
	}
	return d, f
}

func TestRetention_LeavesAFileThatSomebodyElseHasChanged(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(n *inode)
	}{
		{"replaced", func(n *inode) { n.data = []byte(line(1, 8)) }},
		{"appended to", func(n *inode) { n.data = append(n.data, line(1, 9)...) }},
		{"shortened", func(n *inode) { n.data = nil }},
	} {
		for _, open := range []bool{false, true} {
			d, f := oneHour(t, open)
			if c.what == "replaced" && open {
				continue // a file that is open is told by its size
			}
			c.change(d.names[filepath.Join("logs", Path(day0(1)))])
			var asked []Extent
			r := Retention{MayRemove: func(e Extent) bool { asked = append(asked, e); return true }}
			f.retain(t.Context(), r, time.Now())
			if wantHours(t, f, 1); len(asked) != 1 {
				t.Fatalf("%s: asked for %v", c.what, asked)
			}
			// What it holds now is asked for anew.
			f.Extents()
			f.retain(t.Context(), r, time.Now())
			if wantHours(t, f); len(asked) != 2 || asked[0] == asked[1] {
				t.Fatalf("%s: asked for %v", c.what, asked)
			}
		}
	}
}

func TestRetention_ForgetsAFileThatWasRemovedByHand(t *testing.T) {
	for _, open := range []bool{false, true} {
		d, f := oneHour(t, open)
		delete(d.names, "logs/2026-02-09/01.log.json")
		delete(d.names, "logs/2026-02-09")
		if open {
			if err := f.tendOnce(); err != nil {
				t.Fatal(err)
			}
		}
		if p := f.retain(t.Context(), Retention{}, time.Now()); p.err != nil || p.removed != 0 {
			t.Errorf("open %v: removed %d, %v", open, p.removed, p.err)
		}
		wantHours(t, f)
		write(t, f, line(1, 2))
		if _, text, _ := extentOf(t, f, 1); text != line(1, 2) {
			t.Errorf("open %v: hour 1 holds %q", open, text)
		}
	}
}

// TestRetention_LeavesTheHoursOfAnUndecidedTransaction follows one through all it
// can be, restarts included.
func TestRetention_LeavesTheHoursOfAnUndecidedTransaction(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d, maxAge(time.Hour))
	commit := func(lines ...string) {
		t.Helper()
		id := NewTxID()
		if err := errors.Join(f.Append(batch(t, lines...)), f.Prepare(id, []byte("1")), f.Decide(id)); err != nil {
			t.Fatal(err)
		}
	}
	commit(line(1, 1), line(2, 2))
	commit(line(3, 3))
	remain := func(what string, want ...int) {
		t.Helper()
		f.retain(t.Context(), Retention{}, time.Now())
		if got := hoursOf(f); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: hours %v, want %v", what, got, want)
		}
	}
	if err := f.Append(batch(t, line(2, 4), line(4, 5))); err != nil {
		t.Fatal(err)
	}
	remain("appended", 2, 4)
	id := NewTxID()
	if err := f.Prepare(id, []byte("2")); err != nil {
		t.Fatal(err)
	}
	remain("prepared", 2, 4)
	d = d.powerLoss(nil)
	f = openMem(t, d, maxAge(time.Hour))
	if _, pending := f.Pending(); !pending {
		t.Fatal("no transaction is pending")
	}
	remain("pending after a restart", 2, 4)
	if err := f.Decide(id); err != nil {
		t.Fatal(err)
	}
	if _, text, _ := extentOf(t, f, 2); text != line(2, 2)+line(2, 4) {
		t.Errorf("hour 2 holds %q", text)
	}
	remain("decided")
	commit(line(2, 6))
	if err := f.Append(batch(t, line(2, 7))); err != nil {
		t.Fatal(err)
	}
	remain("another one", 2)
	if err := f.Rollback(); err != nil {
		t.Fatal(err)
	}
	remain("rolled back")
	if string(f.Position()) != "1" {
		t.Errorf("position %q", f.Position())
	}
}
