package hourly

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"logforge/sink"
)

// TestCompress_RetentionRemovesBothFiles removes a compressed hour and writes a late
// line, and crashes at every operation of the disk.
func TestCompress_RetentionRemovesBothFiles(t *testing.T) {
	for _, late := range []bool{false, true} {
		d, f := compressedHour(t)
		if !late {
			compressNow(f)
		}
		before, old, _ := extentOf(t, f, 1)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		gone, part := 0, 0
		var stored bool
		crashEach(t, d, func(d *memDisk) {
			stored = false
			cfg := testConfig()
			compressing(&cfg)
			cfg.MaxAge = time.Hour
			f, err := openOn(cfg, sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d)
			if err != nil {
				return
			}
			f.stop()
			f.retain(context.Background(), Retention{}, time.Now())
			stored = f.Write(context.Background(), batch(t, line(1, 9)), sink.Synced) == nil
		}, func(what string, d *memDisk) {
			d.locked = map[string]bool{}
			f := openQuiet(t, d, maxAge(time.Hour))
			e, text, ok := extentOf(t, f, 1)
			what = fmt.Sprintf("late %v, %s", late, what)
			switch {
			case !ok || text == "":
				gone++
			case e.Generation == before.Generation && (text == old || text == old+line(1, 9)):
			case e.Generation > before.Generation && text == line(1, 9):
			default:
				t.Fatalf("%s: generation %d, before %d, holds %q", what, e.Generation, before.Generation, text)
			}
			if stored && !strings.HasSuffix(text, line(1, 9)) {
				t.Fatalf("%s: the late line was stored and is lost: %q", what, text)
			}
			if a, b := onDisk(t, d, 1); text == "" && a+b != "" {
				part++
			}
			f.retain(t.Context(), Retention{}, time.Now())
			if a, b := onDisk(t, d, 1); a+b != "" || f.Extents() != nil && len(f.Extents()) > 0 {
				t.Fatalf("%s: %q and %q stay", what, a, b)
			}
		})
		if gone == 0 {
			t.Error("the hour never went")
		}
	}
}

func TestCompress_RetentionCountsWhatTheFilesTake(t *testing.T) {
	d, f := compressedHour(t)
	want := int64(len(d.names[packedName].data) + len(d.names[plainName].data))
	if _, n := f.stored(); n != want {
		t.Fatalf("%d bytes are counted, %d are there", n, want)
	}
	p := f.retain(t.Context(), Retention{KeepWritten: 24 * time.Hour}, time.Now())
	if p.count != 0 {
		t.Fatal("an hour was removed that was not due")
	}
}

// A compressed part that has its name, of which it is not known whether that is on
// disk, goes with the hour: left alone it would be a new hour to the next start.
func TestCompress_RetentionWaitsForASwapUnderWay(t *testing.T) {
	d := newMemDisk()
	f := openQuiet(t, d, maxAge(time.Hour))
	write(t, f, lines(1, 0, 5)...)
	renamed := false
	d.fault = func(op, name string) error {
		renamed = renamed || op == "rename" && name == packedName
		if renamed && op == "opendir" {
			return unix.EMFILE
		}
		return nil
	}
	compressNow(f)
	d.fault = nil
	f.retain(t.Context(), Retention{}, time.Now())
	if d.names[packedName] != nil && d.names[plainName] == nil {
		t.Fatal("the compressed part was left alone")
	}
	f.compressQuiet(t.Context(), time.Now().Add(5*time.Hour))
	f.retain(t.Context(), Retention{}, time.Now())
	if d.names[packedName] != nil || d.names[plainName] != nil {
		t.Fatal("the hour is not removed")
	}
}
