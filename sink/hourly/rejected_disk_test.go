package hourly

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"logforge/sink"
)

// What keeps records from being set aside passes by itself: nothing has to be
// restarted.
func TestRejected_RecoverByThemselves(t *testing.T) {
	hour := time.Now().UTC()
	for what, c := range map[string]struct{ breakIt, mend func(dir string) error }{
		"the logs directory is removed": {
			os.RemoveAll,
			func(dir string) error { return os.Mkdir(dir, 0o755) },
		},
		"the logs directory is moved away": {
			func(dir string) error { return os.Rename(dir, dir+".old") },
			func(dir string) error { return os.Rename(dir+".old", dir) },
		},
		"a link in the place of .rejected": {
			func(dir string) error {
				return errors.Join(os.RemoveAll(filepath.Join(dir, RejectedDir)), os.Symlink("/nowhere", filepath.Join(dir, RejectedDir)))
			},
			func(dir string) error { return os.Remove(filepath.Join(dir, RejectedDir)) },
		},
		"a file in the place of a day": {
			func(dir string) error {
				day := filepath.Join(dir, RejectedDir, hour.Format(dayLayout))
				return errors.Join(os.RemoveAll(day), os.WriteFile(day, nil, 0o644))
			},
			func(dir string) error { return os.Remove(filepath.Join(dir, RejectedDir, hour.Format(dayLayout))) },
		},
	} {
		for _, start := range []bool{false, true} { // it was so when the process started
			dir := filepath.Join(t.TempDir(), "logs")
			if err := os.MkdirAll(filepath.Join(dir, RejectedDir), 0o755); err != nil {
				t.Fatal(err)
			}
			var r *Rejected
			if !start {
				r = openRejected(t, dir, 1<<30)
				if err := r.Reject(t.Context(), rejectedOf(hour, "before"), sink.Written); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.breakIt(dir); err != nil {
				t.Fatal(err)
			}
			if start {
				if _, err := os.Stat(dir); err != nil {
					continue // the files make it first
				}
				r = openRejected(t, dir, 1<<30)
			}
			for range 2 {
				if err := r.Reject(t.Context(), rejectedOf(hour, "while"), sink.Synced); !errors.Is(err, sink.ErrStorage) {
					t.Errorf("%s: %v", what, err)
				}
				if r.Ready() == nil {
					t.Errorf("%s: ready", what)
				}
				r.mu.Lock()
				r.retry()
				r.mu.Unlock()
			}
			if err := c.mend(dir); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			r.retry()
			r.mu.Unlock()
			if err := r.Ready(); err != nil {
				t.Errorf("%s, and mended: ready says %v", what, err)
			}
			if err := r.Reject(t.Context(), rejectedOf(hour, "after"), sink.Synced); err != nil {
				t.Errorf("%s, and mended: %v", what, err)
			}
			if got := rejectedIn(t, dir); !slices.Contains(got, "after") || slices.Contains(got, "while") {
				t.Errorf("%s: %q", what, got)
			}
		}
	}
}
