package hourly

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"
)

// mountSmall returns a directory on a file system of one MiB: a tmpfs, mounted
// by this process where it may, else in a user namespace of the test's own.
func mountSmall(t *testing.T) string {
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if err == nil {
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	if os.Getenv("LOGFORGE_TEST_NAMESPACE") != "" {
		t.Fatalf("mounting a tmpfs in a namespace of one's own: %v", err)
	}
	self := exec.Command("unshare", "-rm", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	self.Env = append(os.Environ(), "LOGFORGE_TEST_NAMESPACE=1")
	out, err := self.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS: "+t.Name())) {
		t.Fatalf("neither root nor a user namespace to mount a small file system with: %v\n%s", err, out)
	}
	return ""
}

func TestFiles_ARealFullFileSystemLosesNothingAndTearsNoLine(t *testing.T) {
	dir := mountSmall(t)
	if dir == "" {
		return // ran in the namespace
	}
	cfg := testConfig()
	cfg.LogsDir = filepath.Join(dir, "logs")
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	refused := 0
	body := strings.Repeat(line(1, 1), 100)
	for refused < 3 {
		err := f.Write(t.Context(), batch(t, body), sink.Written)
		if errors.Is(err, sink.ErrDiskFull) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString(body)
	}
	if !errors.Is(f.Ready(), sink.ErrDiskFull) {
		t.Fatalf("ready: %v", f.Ready())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), batch(t, body), sink.Written); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	want.WriteString(body)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(cfg.LogsDir, Path(day0(1))))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Fatalf("the file has %d bytes, %d were acknowledged", len(got), want.Len())
	}
	for l := range bytes.Lines(got) {
		if !json.Valid(l) {
			t.Fatalf("torn: %q", l)
		}
	}
}
