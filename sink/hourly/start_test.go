package hourly

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"
)

func TestFiles_StartsOnAFullDiskAndRecoversByItself(t *testing.T) {
	for _, op := range []string{"write", "create"} {
		for _, version := range []int{1, 2} {
			d := newMemDisk()
			f := openMem(t, d)
			if version == 1 {
				write(t, f, line(1, 1))
				hourFile(d, 1).data = []byte(line(1, 1) + "torn")
			} else {
				if err := f.Append(batch(t, line(1, 1))); err != nil {
					t.Fatal(err)
				}
				commitTx(t, f)
				if err := f.Append(batch(t, line(1, 2))); err != nil {
					t.Fatal(err)
				}
			}
			for _, journal := range []bool{true, false} {
				d := d.killed()
				if !journal {
					if version == 2 {
						continue // what is not decided would count
					}
					delete(d.names, "logs/"+journalName)
				}
				d.fault = func(o, _ string) error {
					if o == op {
						return unix.ENOSPC
					}
					return nil
				}
				f := openMem(t, d)
				if err := f.Ready(); !errors.Is(err, sink.ErrDiskFull) {
					t.Fatalf("version %d, no %s: ready says %v", version, op, err)
				}
				if e := f.visible(); len(e) != 1 || e[0].Length != int64(len(line(1, 1))) {
					t.Fatalf("version %d, no %s: readers see %v", version, op, e)
				}
				_ = f.tendOnce()
				if err := f.Ready(); !errors.Is(err, sink.ErrDiskFull) {
					t.Fatalf("version %d, still no %s: ready says %v", version, op, err)
				}
				d.fault = nil
				if err := errors.Join(f.tendOnce(), f.Ready()); err != nil {
					t.Fatalf("version %d, %s again: %v", version, op, err)
				}
				if version == 1 {
					write(t, f, line(1, 3))
				} else {
					if err := f.Append(batch(t, line(1, 3))); err != nil {
						t.Fatal(err)
					}
					commitTx(t, f)
				}
				want := map[int]string{1: line(1, 1) + line(1, 3)}
				expect(t, d, f, want)
				lost := d.powerLoss(nil)
				g := openMem(t, lost)
				if tx, pending := g.Pending(); pending {
					if err := g.Decide(tx.ID); err != nil {
						t.Fatal(err)
					}
				}
				expect(t, lost, g, want)
			}
		}
	}
}

func commitTx(t check, f *Files) {
	t.Helper()
	id := NewTxID()
	if err := errors.Join(f.Prepare(id, []byte("p")), f.Decide(id)); err != nil {
		t.Fatal(err)
	}
}

func TestFiles_ADamagedLastEntryOfTheJournalIsNotDroppedSilently(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	if err := f.Append(batch(t, line(1, 1))); err != nil {
		t.Fatal(err)
	}
	text := d.names["logs/"+journalName].data
	last := strings.LastIndexByte(strings.TrimSuffix(string(text), "\n"), '\n') + 1
	for at := last; at < len(text)-1; at++ {
		damaged := d.killed()
		damaged.names["logs/"+journalName].data[at] ^= 4
		if _, err := openOn(testConfig(), sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), damaged); !errors.Is(err, errCorrupt) {
			t.Fatalf("byte %d of %q is damaged: %v", at-last, text[last:], err)
		}
	}
}

func TestFiles_OnlyRegularFilesOfOurNamesAreOpened(t *testing.T) {
	cfg := testConfig()
	cfg.LogsDir = t.TempDir()
	day := filepath.Join(cfg.LogsDir, "2026-02-09")
	if err := os.Mkdir(day, 0o755); err != nil {
		t.Fatal(err)
	}
	name := func(hour int) string { return filepath.Join(cfg.LogsDir, Path(day0(hour))) }
	if err := errors.Join(
		unix.Mkfifo(name(1), 0o644),
		os.Mkdir(name(2), 0o755),
		os.Symlink("/dev/zero", name(3)),
		os.Symlink(day, filepath.Join(cfg.LogsDir, "2026-02-10")),
		unix.Mkfifo(filepath.Join(cfg.LogsDir, "2026-02-11"), 0o644),
		unix.Mkfifo(filepath.Join(cfg.LogsDir, ".probe"), 0o644),
		os.WriteFile(filepath.Join(cfg.LogsDir, "2026-02-12"), nil, 0),
		os.Mkdir(filepath.Join(cfg.LogsDir, "lost+found"), 0),
		os.WriteFile(filepath.Join(day, "04.log.json.bak"), []byte("half"), 0o644),
		os.WriteFile(name(5), []byte(line(5, 5)), 0o644),
	); err != nil {
		t.Fatal(err)
	}
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	if e := f.Extents(); len(e) != 1 || e[0].Hour != day0(5) {
		t.Fatalf("extents %v", e)
	}
	for hour := 1; hour <= 3; hour++ {
		if err := f.Write(t.Context(), batch(t, line(hour, 1)), sink.Written); !errors.Is(err, sink.ErrStorage) {
			t.Fatalf("hour %d: %v", hour, err)
		}
	}
	write(t, f, line(4, 1), line(5, 2))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for hour, want := range map[int]string{4: line(4, 1), 5: line(5, 5) + line(5, 2)} {
		if got, err := os.ReadFile(name(hour)); err != nil || string(got) != want {
			t.Fatalf("hour %d: %q, %v", hour, got, err)
		}
	}
}
