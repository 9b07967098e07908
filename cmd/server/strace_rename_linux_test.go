package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A rename is how the journal and the summaries are replaced. One that fails leaves
// the old content, is told, and is made up for.
func TestServer_ARenameThatFailsIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	c, base := serving(t, dir, []string{"LOGFORGE_AGGREGATION_INTERVAL=50ms"})
	logs := filepath.Join(dir, "logs")
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patient); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	posted := func(at string) bool { s, _ := postAt(base, "?ack=synced", at); return s == 202 }
	hour := func(i int) string { return "2026-02-09T" + string(rune('0'+i/10)) + string(rune('0'+i%10)) }
	for i, errno := range []string{"EIO", "ENOSPC"} {
		end := c.strace(logs, "renameat:error="+errno)
		if err := os.Remove(filepath.Join(logs, ".journal")); err != nil {
			t.Fatal(err)
		}
		until(errno+": /ready does not say so", func() bool {
			s, body := get(t, base+"/ready")
			return s == 503 && strings.Contains(body, "rename")
		})
		if status, retry := postAt(base, "?ack=synced", hour(i)+":00:00Z"); status != 503 || !retry {
			t.Errorf("%s: a new hour, and no journal: %d", errno, status)
		}
		end()
		until(errno+": does not recover", func() bool { return posted(hour(i) + ":00:00Z") })
		until(errno+": /ready does not recover", func() bool { s, _ := get(t, base+"/ready"); return s == 200 })
		if _, err := os.Stat(filepath.Join(logs, ".journal")); err != nil {
			t.Errorf("%s: %v", errno, err)
		}

		end = c.strace(filepath.Join(dir, "analytics"), "renameat:error="+errno)
		failed := strings.Count(c.stderr.String(), "aggregation failed")
		if !posted(hour(i) + ":00:01Z") {
			t.Errorf("%s: records do not depend on summaries", errno)
		}
		until(errno+": a summary that is not replaced is not told", func() bool {
			return strings.Count(c.stderr.String(), "aggregation failed") > failed
		})
		end()
		until(errno+": the summary is not made up for", func() bool {
			s, body := get(t, base+"/analytics?hour="+hour(i))
			return s == 200 && strings.Contains(body, `"records":2`)
		})
	}
	c.signal(15)
	c.expect(0, "stopped")
}
