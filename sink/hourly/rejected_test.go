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
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"logforge/config"
	"logforge/sink"
)

func openRejected(t *testing.T, dir string, maxBytes int64) *Rejected {
	t.Helper()
	r, err := OpenRejected(config.Storage{LogsDir: dir, SyncInterval: time.Hour}, maxBytes, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

var rejectedAt = time.Date(2026, 2, 9, 15, 23, 0, 0, time.UTC)

func rejectedOf(at time.Time, records ...string) []sink.Rejected {
	var all []sink.Rejected
	for _, record := range records {
		all = append(all, sink.Rejected{At: at, From: "192.0.2.1", Route: "/ingest", Field: "record", Reason: "is no web request", Record: []byte(record)})
	}
	return all
}

// rejectedIn returns the records below dir, file by file.
func rejectedIn(t *testing.T, dir string) (records []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, RejectedDir, "*", "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			r, err := sink.ParseRejected(line)
			if err != nil {
				t.Fatalf("%s: %v: %s", file, err, line)
			}
			records = append(records, string(r.Record))
		}
	}
	return records
}

func TestRejected_AreInTheHourOfArrival(t *testing.T) {
	dir := t.TempDir()
	r := openRejected(t, dir, 1<<30)
	for i, at := range []time.Time{rejectedAt, rejectedAt.Add(time.Hour), rejectedAt, rejectedAt.Add(24 * time.Hour)} {
		if err := r.Reject(t.Context(), rejectedOf(at, fmt.Sprint(i)), sink.Synced); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{"2026-02-09/15.ndjson": 2, "2026-02-09/16.ndjson": 1, "2026-02-10/15.ndjson": 1} {
		text, err := os.ReadFile(filepath.Join(dir, RejectedDir, name))
		if err != nil || bytes.Count(text, []byte("\n")) != want {
			t.Errorf("%s: %v, %q", name, err, text)
		}
	}
}

func TestRejected_AreAllThereWhenManyCome(t *testing.T) {
	dir := t.TempDir()
	r := openRejected(t, dir, 1<<30)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 20 {
				ack := []sink.Ack{sink.Written, sink.Synced, sink.Default}[j%3]
				if err := r.Reject(t.Context(), rejectedOf(rejectedAt, fmt.Sprint(i, "-", j), "second"), ack); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(rejectedIn(t, dir)); n != 800 {
		t.Errorf("%d records, want 800", n)
	}
}

func TestRejected_ATornLineIsCutOffAtEveryByte(t *testing.T) {
	whole := rejectedOf(rejectedAt, "first")[0].AppendJSON(nil)
	torn := rejectedOf(rejectedAt, "torn \xff")[0].AppendJSON(nil)
	for n := range torn {
		dir := t.TempDir()
		name := filepath.Join(dir, RejectedDir, "2026-02-09/15.ndjson")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(bytes.Clone(whole), torn[:n]...), 0o644); err != nil {
			t.Fatal(err)
		}
		r := openRejected(t, dir, 1<<30)
		if err := r.Reject(t.Context(), rejectedOf(rejectedAt, "next"), sink.Written); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(rejectedIn(t, dir)); got != "[first next]" {
			t.Fatalf("cut at %d: %s", n, got)
		}
	}
}

func TestRejected_TheOldestGoWhenThereAreTooMany(t *testing.T) {
	dir := t.TempDir()
	const most = 64 << 10
	r := openRejected(t, dir, most)
	record := strings.Repeat("x", 900)
	for i := range 1000 {
		at := rejectedAt.Add(time.Duration(i/400) * time.Hour)
		if err := r.Reject(t.Context(), rejectedOf(at, fmt.Sprint(i, record)), sink.Written); err != nil {
			t.Fatal(err)
		}
	}
	records := rejectedIn(t, dir)
	bytes := 0
	for _, record := range records {
		bytes += len(record)
	}
	if bytes > most || bytes < most/2 {
		t.Errorf("%d bytes are kept, the limit is %d", bytes, most)
	}
	if last := records[len(records)-1]; !strings.HasPrefix(last, "999") {
		t.Errorf("the newest record is %.10s", last)
	}
	if r.droppedBytes.Get() == 0 || r.droppedFiles.Get() == 0 {
		t.Error("what was removed is not counted")
	}
	if _, err := os.Stat(filepath.Join(dir, RejectedDir, "2026-02-09/15.ndjson")); err == nil {
		t.Error("the oldest file is still there")
	}

	// After a restart the same limit holds over what is there.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = openRejected(t, dir, most/2)
	if err := r.Reject(t.Context(), rejectedOf(rejectedAt.Add(24*time.Hour), "new"), sink.Written); err != nil {
		t.Fatal(err)
	}
	if r.total > most/2 {
		t.Errorf("%d bytes are kept after a restart with a limit of %d", r.total, most/2)
	}
}

func TestRejected_FilesMayBeRemovedUnderIt(t *testing.T) {
	dir := t.TempDir()
	r := openRejected(t, dir, 1<<30)
	for i := range 3 {
		if err := r.Reject(t.Context(), rejectedOf(rejectedAt, fmt.Sprint(i)), sink.Synced); err != nil {
			t.Fatal(err)
		}
		if got := rejectedIn(t, dir); len(got) != 1 || got[0] != fmt.Sprint(i) {
			t.Errorf("after removal %d: %q", i, got)
		}
		if err := os.RemoveAll(filepath.Join(dir, RejectedDir)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRejected_AFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	r := openRejected(t, dir, 1<<30)
	if err := r.Reject(t.Context(), rejectedOf(rejectedAt, "before"), sink.Written); err != nil {
		t.Fatal(err)
	}
	// A limit on the size of files stands in for a full disk: the write is short.
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err := r.Reject(t.Context(), rejectedOf(rejectedAt, strings.Repeat("y", 8192)), sink.Written)
	if back := unix.Setrlimit(unix.RLIMIT_FSIZE, &old); back != nil {
		t.Fatal(back)
	}
	if !errors.Is(err, sink.ErrNotSetAside) || !errors.Is(err, sink.ErrDiskFull) {
		t.Errorf("the error is %v", err)
	}
	if err := r.Reject(t.Context(), rejectedOf(rejectedAt, "after"), sink.Written); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(rejectedIn(t, dir)); got != "[before after]" {
		t.Error(got)
	}
	if err := r.Ready(); err != nil {
		t.Errorf("not ready after a write that succeeded: %v", err)
	}
}

func TestRejected_AreRefusedAfterClose(t *testing.T) {
	r := openRejected(t, t.TempDir(), 1<<30)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Reject(t.Context(), rejectedOf(rejectedAt, "late"), sink.Written); !errors.Is(err, sink.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
}

func TestRejected_LeaveNothingOnDiskBeforeTheFirst(t *testing.T) {
	dir := t.TempDir()
	openRejected(t, dir, 1<<30)
	if _, err := os.Stat(filepath.Join(dir, RejectedDir)); err == nil {
		t.Error("the directory is there without a rejected record")
	}
}

func TestRejected_ManyLargeOnesAreWrittenInPieces(t *testing.T) {
	dir := t.TempDir()
	r := openRejected(t, dir, 1<<30)
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprint(i, strings.Repeat("\x01", 20_000))) // six times as long in a line
	}
	if err := r.Reject(t.Context(), rejectedOf(rejectedAt, records...), sink.Synced); err != nil {
		t.Fatal(err)
	}
	if got := rejectedIn(t, dir); strings.Join(got, "|") != strings.Join(records, "|") {
		t.Errorf("%d records came back of %d", len(got), len(records))
	}
}
