package hourly

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"logforge/sink"

	"golang.org/x/sys/unix"
)

func TestFiles_AFullDiskTakesTheWholeGroupBackAndGoesOnOnceThereIsRoom(t *testing.T) {
	for failing := 1; failing <= 4; failing++ {
		for _, short := range []bool{false, true} {
			d := newMemDisk()
			f := openMem(t, d)
			if err := f.Write(t.Context(), batch(t, line(1, 1), line(2, 2), line(3, 3)), sink.Default); err != nil {
				t.Fatal(err)
			}
			before := map[int]string{1: line(1, 1), 2: line(2, 2), 3: line(3, 3)}
			writes := 0
			d.fault = func(op, _ string) error {
				if op != "write" {
					return nil
				}
				writes++
				switch {
				case short && writes == failing:
					return errShort
				case writes >= failing:
					return unix.ENOSPC
				}
				return nil
			}
			more := batch(t, line(1, 4), line(2, 5), line(3, 6), line(4, 7))
			if err := f.Write(t.Context(), more, sink.Default); !errors.Is(err, sink.ErrDiskFull) {
				t.Fatalf("write %d fails: %v", failing, err)
			}
			expect(t, d, f, before)
			if !errors.Is(f.Ready(), sink.ErrDiskFull) {
				t.Fatalf("ready: %v", f.Ready())
			}
			if err := f.tendOnce(); err != nil || f.Ready() == nil {
				t.Fatalf("still full: tend %v, ready %v", err, f.Ready())
			}
			d.fault = nil
			if err := f.tendOnce(); err != nil || f.Ready() != nil {
				t.Fatalf("room again: tend %v, ready %v", err, f.Ready())
			}
			if err := f.Write(t.Context(), more, sink.Default); err != nil {
				t.Fatal(err)
			}
			want := map[int]string{1: line(1, 1) + line(1, 4), 2: line(2, 2) + line(2, 5), 3: line(3, 3) + line(3, 6), 4: line(4, 7)}
			expect(t, d, f, want)
			expect(t, d, openMem(t, d.killed()), want)
		}
	}
}

func TestFiles_ShortWritesAreContinued(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	n := 0
	d.fault = func(op, _ string) error {
		if n++; op == "write" && n%3 != 0 {
			return errShort
		}
		return nil
	}
	want := ""
	for i := range 20 {
		if err := f.Write(t.Context(), batch(t, line(1, i)), sink.Default); err != nil {
			t.Fatal(err)
		}
		want += line(1, i)
	}
	expect(t, d, f, map[int]string{1: want})
}

func TestFiles_AFailedSyncIsFinal(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Synced); err != nil {
		t.Fatal(err)
	}
	syncs := 0
	d.fault = func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, ".json") {
			syncs++
			return unix.EIO
		}
		return nil
	}
	if err := f.Write(t.Context(), batch(t, line(1, 2)), sink.Synced); !errors.Is(err, unix.EIO) {
		t.Fatalf("acknowledged, or another error: %v", err)
	}
	select {
	case <-f.Failed():
	default:
		t.Fatal("Failed is not closed")
	}
	d.fault = func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, ".json") {
			syncs++
		}
		return nil
	}
	for _, ack := range []sink.Ack{sink.Written, sink.Synced} {
		if err := f.Write(t.Context(), batch(t, line(1, 3)), ack); !errors.Is(err, unix.EIO) {
			t.Fatalf("after it, %s: %v", ack, err)
		}
	}
	if f.Ready() == nil {
		t.Fatal("ready after a failed sync")
	}
	_ = f.Close()
	if syncs != 1 {
		t.Fatalf("synced %d times; a failed sync must not be tried again", syncs)
	}
	next := openMem(t, d.killed())
	expect(t, next.disk.(*memDisk), next, map[int]string{1: line(1, 1) + line(1, 2)})
}

func TestFiles_OneSomebodyElseChangedIsTakenAsItIs(t *testing.T) {
	change := func(what func(d *memDisk, name string), want string) {
		t.Helper()
		for _, looked := range []bool{true, false} {
			d := newMemDisk()
			f := openMem(t, d)
			if err := f.Write(t.Context(), batch(t, line(1, 1), line(1, 2)), sink.Synced); err != nil {
				t.Fatal(err)
			}
			if !looked { // closed meanwhile
				f.writing.Lock()
				if err := f.shut(f.open[0]); err != nil {
					t.Fatal(err)
				}
				f.writing.Unlock()
			}
			what(d, filepath.Join("logs", Path(day0(1))))
			if err := f.tendOnce(); err != nil {
				t.Fatal(err)
			}
			if err := f.Write(t.Context(), batch(t, line(1, 3)), sink.Default); err != nil {
				t.Fatal(err)
			}
			expect(t, d, f, map[int]string{1: want + line(1, 3)})
			expect(t, d, openMem(t, d.killed()), map[int]string{1: want + line(1, 3)})
		}
	}
	change(func(d *memDisk, name string) { delete(d.names, name) }, "")
	change(func(d *memDisk, name string) { d.names[name].data = nil }, "")
	change(func(d *memDisk, name string) { d.names[name].data = []byte(line(1, 1) + line(1, 2)[:9]) }, line(1, 1))
	change(func(d *memDisk, name string) { d.names[name].data = append(d.names[name].data, line(1, 8)...) },
		line(1, 1)+line(1, 2)+line(1, 8))
}
