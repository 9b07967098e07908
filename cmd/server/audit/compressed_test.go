package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"logforge/sink/archive"
)

// A compressed hour is the same hour: for its summary, which does not begin anew,
// for the archive, which goes on where it was, for verify and for export.
func TestVerify_CompressedHoursAreWhole(t *testing.T) {
	w := newWorld(t)
	w.some(15)
	w.some(16)
	w.toBucket("ndjson.zst")
	w.settle()
	summary := w.summary(15)
	w.compress()
	w.whole(true)
	w.settle()
	w.whole(true)
	if again := w.summary(15); again != summary {
		t.Errorf("the summary was\n%s\nand is\n%s", summary, again)
	}
	late := `{"timestamp":"2026-02-09T15:00:00Z","path":"/late","userAgent":"z"}`
	w.write(late)
	w.settle()
	w.whole(true)
	if text := w.summary(15); !strings.Contains(text, `"records": 401`) || !strings.Contains(text, `"/late": 1`) || strings.Contains(text, `"earlier"`) {
		t.Errorf("with a late line the summary is\n%s", text)
	}
	w.exported()
	w.compress()
	w.whole(true)
	w.exported()
}

// exported compares an export with what was written.
func (w *world) exported() {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "export.ndjson")
	if _, err := Export(context.Background(), &w.cfg, archive.First, archive.Last, "ndjson", file, io.Discard, slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(text)) {
		lines[strings.TrimSuffix(line, "\n")]++
	}
	if n := strings.Count(string(text), "\n"); n != len(w.wrote) {
		w.t.Errorf("%d records were exported, %d written", n, len(w.wrote))
	}
	for _, line := range w.wrote {
		if lines[line]--; lines[line] < 0 {
			w.t.Errorf("not exported: %s", line)
		}
	}
}

func (w *world) summary(hour int) string {
	w.t.Helper()
	names, err := filepath.Glob(filepath.Join(w.cfg.Storage.AnalyticsDir, "2026-02-09", "summary_*.json"))
	if err != nil || len(names) <= hour-15 {
		w.t.Fatalf("%q, %v", names, err)
	}
	text, err := os.ReadFile(names[hour-15])
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func TestVerify_NamesADamagedCompressedHour(t *testing.T) {
	w := newWorld(t)
	w.some(15)
	w.some(16)
	w.settle()
	w.compress()
	w.whole(false)
	name := filepath.Join(w.cfg.Storage.LogsDir, "2026-02-09", "15.log.json.zst")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(text)
	broken[len(broken)/2] ^= 4
	for _, damage := range [][]byte{broken, text[:len(text)-1], nil} {
		if err := os.WriteFile(name, damage, 0o644); err != nil {
			t.Fatal(err)
		}
		w.damaged(false, "15.log.json.zst", "restore it from a backup", "2026-02-09T16")
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	w.whole(false)
	// The file is gone while a late line is there: what is left is not the hour.
	w.write(`{"timestamp":"2026-02-09T15:00:00Z","path":"/late","userAgent":"z"}`)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if out, err := w.verify(false); !errors.Is(err, ErrDamaged) || !strings.Contains(out, "it is missing") {
		t.Errorf("%v\n%s", err, out)
	}
}
