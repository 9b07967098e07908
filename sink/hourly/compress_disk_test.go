package hourly

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink"
)

// openQuietIn opens files in a real directory whose hours are quiet after an hour.
func openQuietIn(t *testing.T, dir string) *Files {
	t.Helper()
	cfg := config.Default().Storage
	cfg.LogsDir, cfg.CompressAfter = dir, time.Hour
	f, err := Open(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The zstd program, which is not ours, reads what was written; and a line begins
// every frame.
func TestCompress_ZstdReadsWhatWasWritten(t *testing.T) {
	tool, err := exec.LookPath("zstd")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("zstd is missing: its reading is left out")
	}
	dir := t.TempDir()
	f := openQuietIn(t, dir)
	for _, part := range [][2]int{{0, 40_000}, {40_000, 40_003}, {40_003, 60_000}} {
		write(t, f, lines(1, part[0], part[1])...)
		compressNow(f)
	}
	write(t, f, line(1, 60_000))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, Path(day0(1)))
	if out, err := exec.Command(tool, "-t", name+".zst").CombinedOutput(); err != nil {
		t.Fatalf("zstd -t: %v\n%s", err, out)
	}
	read := exec.Command("sh", "-c", fmt.Sprintf("%s -dc %s.zst; cat %s", tool, name, name))
	out, err := read.Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(lines(1, 0, 60_001), ""); string(out) != want {
		t.Fatalf("%d bytes are read, wanted %d", len(out), len(want))
	}
	// From zstd's own list: as many frames as we find, each with its content size.
	list, err := exec.Command(tool, "-lv", name+".zst").CombinedOutput()
	if err != nil || !strings.Contains(string(list), "Decompressed Size") || !strings.Contains(string(list), "Check: XXH64") {
		t.Fatalf("zstd -lv: %v\n%s", err, list)
	}
	file, err := os.Open(name + ".zst")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	frames := 0
	for at := int64(0); at < info.Size(); frames++ {
		size, n, err := frameAt(file, at, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		frame := &frameReader{file: file, at: at, end: at + size, left: n}
		text, err := io.ReadAll(frame)
		if err != nil || len(text) > frameBytes || !strings.HasPrefix(string(text), `{"timestamp"`) || !strings.HasSuffix(string(text), "\n") {
			t.Fatalf("frame %d: %d bytes, %v", frames, len(text), err)
		}
		at += size
	}
	if frames < 5 {
		t.Fatalf("%d frames", frames)
	}
	if info.Size() > int64(len(out))/8 {
		t.Errorf("%d bytes became %d", len(out), info.Size())
	}
}

// Followers, and other processes, read hours while these are compressed and written
// to. Each reads a prefix of the stream, always.
func TestCompress_BesideReadersAndWriters(t *testing.T) {
	dir := t.TempDir()
	f := openQuietIn(t, dir)
	defer f.Close()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			compressNow(f)
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			e, text, ok := extentOf(t, f, 1)
			if want := strings.Join(lines(1, 0, strings.Count(text, "\n")), ""); text != want || int64(len(text)) != e.Length && ok {
				t.Errorf("a follower reads %d bytes that are not the stream's first %d", len(text), e.Length)
				return
			}
		}
	})
	all.Go(func() {
		for ctx.Err() == nil {
			s, err := Look(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for _, h := range s.Hours() {
				r, err := s.Open(h)
				if err != nil {
					t.Errorf("another process: %v", err)
					return
				}
				text, err := io.ReadAll(r)
				_ = r.Close()
				if want := strings.Join(lines(1, 0, strings.Count(string(text), "\n")), ""); err != nil || string(text) != want {
					t.Errorf("another process reads %d bytes, %d are right, %v", len(text), len(want), err)
					return
				}
			}
		}
	})
	n := 0
	for range 10 {
		before := f.compressedBytes.Get()
		for range 7 {
			if err := f.Write(ctx, batch(t, line(1, n)), sink.Written); err != nil {
				t.Fatal(err)
			}
			n++
		}
		for deadline := time.Now().Add(30 * time.Second); f.compressedBytes.Get() == before; {
			if err := f.Sync(); err != nil || time.Now().After(deadline) {
				t.Fatalf("nothing is compressed, %v", err)
			}
		}
	}
	stop()
	all.Wait()
	if f.compressErrors.Get() > 0 {
		t.Errorf("%d errors", f.compressErrors.Get())
	}
	if _, text, _ := extentOf(t, f, 1); text != strings.Join(lines(1, 0, n), "") {
		t.Errorf("%d bytes are read at the end", len(text))
	}
}
