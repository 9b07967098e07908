package hourly

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"logforge/sink"
)

// A file system that the kernel has made read-only: the program starts, says so,
// shows what is there, and goes on when it can be written again.
func TestFiles_StartOnAReadOnlyFileSystemAndGoOnWhenItCanBeWritten(t *testing.T) {
	dir := mountSmall(t)
	if dir == "" {
		return // ran in the namespace
	}
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, "size=1m"); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig()
	cfg.LogsDir = filepath.Join(dir, "logs")
	open := func() *Files {
		t.Helper()
		f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	name := filepath.Join(cfg.LogsDir, Path(day0(1)))
	for _, torn := range []bool{false, true} {
		f := open()
		if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Synced); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if torn {
			if err := errors.Join(os.WriteFile(name, append(whole, "half"...), 0o644), os.Truncate(filepath.Join(cfg.LogsDir, journalName), 30)); err != nil {
				t.Fatal(err)
			}
		}
		remount(unix.MS_RDONLY)
		f = open()
		if err := f.Ready(); !errors.Is(err, sink.ErrStorage) || !errors.Is(err, unix.EROFS) {
			t.Fatalf("ready says %v", err)
		}
		if e := f.Extents(); len(e) != 1 || e[0].Length != int64(len(whole)) {
			t.Fatalf("readers see %v of %d bytes", e, len(whole))
		}
		for range 2 {
			if err := f.Write(t.Context(), batch(t, line(1, 2)), sink.Written); !errors.Is(err, sink.ErrStorage) {
				t.Fatal(err)
			}
			f.lookAround()
			if f.Ready() == nil || f.Err() != nil {
				t.Fatalf("ready says %v, %v", f.Ready(), f.Err())
			}
		}
		remount(0)
		f.lookAround()
		if err := f.Ready(); err != nil {
			t.Fatalf("ready says %v", err)
		}
		if err := f.Write(t.Context(), batch(t, line(1, 3)), sink.Synced); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != string(whole)+line(1, 3) {
			t.Fatalf("%q, %v", got, err)
		}
	}
}
