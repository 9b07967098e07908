package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRetention_RemovesHoursAndKeepsTheirCounts is the whole way in the real
// server: an old hour is counted, then removed; late lines for it are added to
// its counts, and removed as well; the hour of now stays.
func TestRetention_RemovesHoursAndKeepsTheirCounts(t *testing.T) {
	dir := t.TempDir()
	server, url := serving(t, dir, []string{"LOGFORGE_STORAGE_MAX_AGE=24h"}, "-aggregation-interval", "100ms")
	post := func(at time.Time, n int) {
		t.Helper()
		var lines strings.Builder
		for i := range n {
			fmt.Fprintf(&lines, `{"timestamp":%q,"path":"/%d","userAgent":"ua"}`+"\n", at.UTC().Format(time.RFC3339), i)
		}
		resp, err := http.Post(url+"/logs?ack=synced", "application/x-ndjson", strings.NewReader(lines.String()))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("status %d", resp.StatusCode)
		}
	}
	old, now := time.Now().Add(-48*time.Hour), time.Now()
	file := func(at time.Time) string {
		return filepath.Join(dir, "logs", at.UTC().Format("2006-01-02/15.log.json"))
	}
	gone := func(name string) bool {
		_, err := os.Stat(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return err != nil
	}
	counted := func(want int) {
		t.Helper()
		_, body := get(t, url+"/analytics?hour="+old.UTC().Format("2006-01-02T15"))
		if !strings.Contains(body, fmt.Sprintf(`"records":%d,`, want)) {
			t.Errorf("want %d records: %s", want, body)
		}
	}
	within := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patient + 30*time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not in time: %s", what)
			}
		}
	}
	post(now, 3)
	post(old, 5)
	within("the old hour is removed", func() bool { return gone(file(old)) })
	counted(5)
	post(old, 2)
	within("the late lines are removed", func() bool { return gone(file(old)) })
	counted(7)
	if gone(file(now)) {
		t.Error("the hour of now was removed")
	}
	_, text := get(t, url+"/metrics")
	info, err := os.Stat(file(now))
	if err != nil {
		t.Fatal(err)
	}
	if got := metricOf(t, text, "logforge_storage_bytes"); int64(got) != info.Size() {
		t.Errorf("logforge_storage_bytes is %d, and the file has %d", got, info.Size())
	}
	if metricOf(t, text, "logforge_storage_removed_bytes_total") == 0 || metricOf(t, text, "logforge_storage_overdue_bytes") != 0 {
		t.Error("the metrics do not say what was removed")
	}
	server.signal(syscall.SIGTERM)
	server.expect(0)
	server, url = serving(t, dir, []string{"LOGFORGE_STORAGE_MAX_AGE=24h"}, "-aggregation-interval", "100ms")
	counted(7)
	if log := server.stderr.String(); strings.Contains(log, "was removed while no process") {
		t.Errorf("the start wonders about an hour that retention removed:\n%s", log)
	}
}
