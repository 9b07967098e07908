//go:build crashpoints

package hourly

// One kill at each step of a compression, of a real process on a real disk.

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// compressDir names the variable by which the test calls itself as a process.
const compressDir = "LOGFORGE_TEST_COMPRESS_DIR"

// TestChaosACrashAtEachStepOfACompression kills a process that compresses an hour,
// for the first time or with late lines, and looks what the next one finds.
func TestChaosACrashAtEachStepOfACompression(t *testing.T) {
	if dir := os.Getenv(compressDir); dir != "" {
		compressNow(openQuietIn(t, dir))
		t.Fatal("it was not killed")
	}
	for _, late := range []bool{false, true} {
		for _, step := range []string{"written", "announced", "renamed", "swapped", "removed"} {
			dir := t.TempDir()
			f := openQuietIn(t, dir)
			write(t, f, lines(1, 0, 1000)...)
			n := 1000
			if late {
				compressNow(f)
				write(t, f, lines(1, 1000, 1100)...)
				n = 1100
			}
			before, want, _ := extentOf(t, f, 1)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
			cmd.Env = append(os.Environ(), compressDir+"="+dir, "LOGFORGE_CRASH_AT=compress: "+step)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%s: %v\n%s", step, err, out)
			}
			for range 2 {
				f = openQuietIn(t, dir)
				e, text, ok := extentOf(t, f, 1)
				if packed, plain := inDirectory(t, dir); !ok || e != before || text != want || packed+plain != want {
					t.Fatalf("killed after %q, late %v: %v, before %v; %d bytes are read of %d and %d", step, late, e, before, len(text), len(packed), len(plain))
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			f = openQuietIn(t, dir)
			write(t, f, line(1, n))
			compressNow(f)
			want += line(1, n)
			if packed, plain := inDirectory(t, dir); packed != want || plain != "" {
				t.Fatalf("killed after %q, late %v: compressed again %d and %d bytes, wanted %d", step, late, len(packed), len(plain), len(want))
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// inDirectory returns what the files of hour 1 hold, read as anybody else would.
func inDirectory(t *testing.T, dir string) (packed, plain string) {
	t.Helper()
	name := filepath.Join(dir, Path(day0(1)))
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	file, err := os.Open(name + ".zst")
	if errors.Is(err, os.ErrNotExist) {
		return "", string(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	z, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all := new(strings.Builder)
	if _, err := io.Copy(all, z); err != nil {
		t.Fatal(err)
	}
	return all.String(), string(text)
}
