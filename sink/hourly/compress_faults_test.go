package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	plainName  = "logs/2026-02-09/01.log.json"
	packedName = plainName + ".zst"
)

// compressedHour returns a disk whose hour 1 has lines 0 to 4 compressed, and 5 and
// 6 not.
func compressedHour(t check) (*memDisk, *Files) {
	t.Helper()
	d := newMemDisk()
	f := openQuiet(t, d)
	write(t, f, lines(1, 0, 5)...)
	compressNow(f)
	write(t, f, lines(1, 5, 7)...)
	if packed, plain := onDisk(t, d, 1); packed != strings.Join(lines(1, 0, 5), "") || plain != strings.Join(lines(1, 5, 7), "") {
		t.Fatalf("the hour holds %q and %q", packed, plain)
	}
	return d, f
}

// TestCompress_EveryErrorOfStorageLeavesEachLineOnce makes any operation fail, for a
// moment and for longer, in every way.
func TestCompress_EveryErrorOfStorageLeavesEachLineOnce(t *testing.T) {
	base, f := compressedHour(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, errno := range []error{unix.EIO, unix.ENOSPC, unix.EMFILE, unix.EROFS, unix.EACCES, errShort} {
		for _, times := range []int{1, 2, 7} {
			for at := 1; ; at++ {
				what := fmt.Sprintf("%v, %d times from operation %d on", errno, times, at)
				d := base.killed()
				f := openQuiet(t, d)
				d.ops = 0
				met := false
				d.fault = func(op, name string) error {
					if d.ops < at || d.ops >= at+times || op == "sync" || op == "syncdir" || errors.Is(errno, errShort) && op != "write" {
						return nil
					}
					met = true
					return errno
				}
				compressNow(f)
				if d.ops > at+times {
					d.ops = at + times // what follows meets no error
				}
				d.fault = nil
				want := strings.Join(lines(1, 0, 7), "")
				expectOnce := func(when string) {
					t.Helper()
					if _, text, ok := extentOf(t, f, 1); !ok || text != want {
						t.Fatalf("%s, %s: %q is read", what, when, text)
					}
				}
				expectOnce("afterwards")
				if at%2 == 0 { // a late line at this moment
					f.lookAround()
					write(t, f, line(1, 7))
					want += line(1, 7)
					expectOnce("with a late line")
				}
				if at%3 == 0 { // a kill at this moment
					d = d.killed()
					f = openQuiet(t, d)
					expectOnce("restarted")
				}
				f.compressQuiet(t.Context(), time.Now().Add(5*time.Hour))
				expectOnce("compressed again")
				if packed, plain := onDisk(t, d, 1); packed != want || plain != "" {
					t.Fatalf("%s: the files hold %q and %q", what, packed, plain)
				}
				if d.names["logs/2026-02-09/.01.log.json.zst.tmp"] != nil {
					t.Fatalf("%s: the temporary file is left", what)
				}
				if !met && at > 20 {
					break
				}
			}
		}
	}
}

func TestCompress_AFullDiskKeepsTheHourAndLeavesRoomForRecords(t *testing.T) {
	d := newMemDisk()
	f := openQuiet(t, d)
	write(t, f, lines(1, 0, 5)...)
	f.freeBytes = func() uint64 { return compressReserve }
	if err := f.compressQuiet(t.Context(), time.Now().Add(2*time.Hour)); !errors.Is(err, errNoRoom) {
		t.Fatalf("with too little room: %v", err)
	}
	f.freeBytes = func() uint64 { return 1 << 40 }
	d.fault = func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, ".tmp") {
			return unix.ENOSPC
		}
		return nil
	}
	if err := f.compressQuiet(t.Context(), time.Now().Add(2*time.Hour)); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("with no room: %v", err)
	}
	if f.compressErrors.Get() != 2 || f.Ready() != nil {
		t.Fatalf("%d errors are counted, and ready says %v", f.compressErrors.Get(), f.Ready())
	}
	write(t, f, line(1, 5))
	for n := range d.names {
		if strings.Contains(n, ".zst") {
			t.Fatalf("%s is left", n)
		}
	}
	d.fault = nil
	if err := f.compressQuiet(t.Context(), time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if packed, plain := onDisk(t, d, 1); packed != strings.Join(lines(1, 0, 6), "") || plain != "" {
		t.Fatalf("%q and %q", packed, plain)
	}
}

// Whatever is done to a compressed part, its lines are never taken for others, and
// it is neither changed nor removed.
func TestCompress_ADamagedPartIsNamedAndStays(t *testing.T) {
	whole, f := compressedHour(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	size := len(whole.names[packedName].data)
	damages := map[string]func(data []byte) []byte{
		"empty":    func([]byte) []byte { return nil },
		"cut":      func(data []byte) []byte { return data[:len(data)-1] },
		"replaced": func([]byte) []byte { return bytes.Repeat([]byte("x"), size) },
		"longer":   func(data []byte) []byte { return append(data, "more"...) }, // is passed over
	}
	for i := range size {
		damages[fmt.Sprintf("a bit of byte %d", i)] = func(data []byte) []byte { data[i] ^= 1 << (i % 8); return data }
	}
	for what, damage := range damages {
		for _, running := range []bool{false, true} {
			d := whole.killed()
			var f *Files
			if running {
				f = openQuiet(t, d, maxAge(time.Hour))
			}
			d.names[packedName].data = damage(bytes.Clone(d.names[packedName].data))
			broken := bytes.Clone(d.names[packedName].data)
			if !running {
				f = openQuiet(t, d, maxAge(time.Hour))
			}
			e := f.Extents()[0]
			r, err := f.Reader(e, 0)
			var text []byte
			if err == nil {
				text, err = io.ReadAll(r)
				_ = r.Close()
			}
			if string(text) == strings.Join(lines(1, 0, 7), "") && err == nil && (what == "longer" || what == "a bit of byte 4") {
				continue // one that means nothing
			}
			if err == nil || len(text) > 0 || !strings.Contains(err.Error(), "01.log.json.zst") || errors.Is(err, ErrGone) {
				t.Fatalf("%s, running %v: %q is read, %v", what, running, text, err)
			}
			// What comes behind it can be read, and goes on.
			write(t, f, line(1, 7))
			e = f.Extents()[0]
			r, err = f.Reader(e, int64(len(strings.Join(lines(1, 0, 5), ""))))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || string(text) != strings.Join(lines(1, 5, 8), "") {
				t.Fatalf("%s: behind it %q, %v", what, text, err)
			}
			compressNow(f)
			if !bytes.Equal(d.names[packedName].data, broken) && d.names[plainName] == nil {
				t.Fatalf("%s, running %v: it was changed, or the other file is gone", what, running)
			}
		}
	}
}

func TestCompress_AFileOfSomebodyElseIsPassedOver(t *testing.T) {
	for what, data := range map[string]string{"text": "not compressed\n", "empty": "", "frames": string(packedOf(t))} {
		d := newMemDisk()
		f := openQuiet(t, d)
		write(t, f, line(1, 1))
		f.stop()
		d.names[packedName] = &inode{data: []byte(data)}
		for _, start := range []bool{false, true} {
			if start {
				d = d.killed()
				f = openQuiet(t, d)
			}
			compressNow(f)
			if _, text, _ := extentOf(t, f, 1); text != line(1, 1) || contents(t, d, day0(1)) != text || string(d.names[packedName].data) != data {
				t.Fatalf("%s: %q is read", what, text)
			}
			if f.compressErrors.Get() == 0 {
				t.Fatalf("%s: nobody is told", what)
			}
		}
	}
}

// packedOf returns the compressed part of lines 0 to 4 of hour 1.
func packedOf(t check) []byte {
	t.Helper()
	d, f := compressedHour(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return d.names[packedName].data
}

func TestCompress_WithoutAJournalEveryLineCounts(t *testing.T) {
	d, f := compressedHour(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	delete(d.names, "logs/.journal")
	f = openQuiet(t, d)
	want := strings.Join(lines(1, 0, 7), "")
	for range 3 {
		if e, text, ok := extentOf(t, f, 1); !ok || text != want || e.Length != int64(len(want)) {
			t.Fatalf("%v: %q", e, text)
		}
		d = d.killed()
		f = openQuiet(t, d)
	}
	compressNow(f)
	if packed, plain := onDisk(t, d, 1); packed != want || plain != "" {
		t.Fatalf("%q and %q", packed, plain)
	}
}

// TestCompress_FilesRemovedByHand removes one file of an hour, or both, at a moment
// when the process runs or does not. What is left or comes is read once, and never
// under the offsets of what was removed.
func TestCompress_FilesRemovedByHand(t *testing.T) {
	for _, gone := range [][]string{{plainName}, {packedName}, {plainName, packedName}, {plainName, packedName, "logs/2026-02-09"}} {
		for _, moment := range []string{"running", "closed", "killed before", "killed afterwards"} {
			what := fmt.Sprintf("%v, %s", gone, moment)
			d, f := compressedHour(t)
			before, _, _ := extentOf(t, f, 1)
			restart := func() {
				d = d.killed()
				f = openQuiet(t, d)
			}
			switch moment {
			case "closed":
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			case "killed before":
				d = d.killed()
			}
			for _, name := range gone {
				delete(d.names, name)
			}
			if moment != "running" {
				restart()
			}
			write(t, f, line(1, 7))
			compressNow(f)
			write(t, f, line(1, 8))
			e, text, ok := extentOf(t, f, 1)
			if len(gone) == 1 && gone[0] == packedName && moment == "running" {
				// Found out when the hour is compressed.
				want := line(1, 8)
				if !ok || e.Generation <= before.Generation || text != want {
					t.Fatalf("%s: generation %d, before %d, %q", what, e.Generation, before.Generation, text)
				}
				continue
			}
			if !ok || e.Generation <= before.Generation || text != line(1, 7)+line(1, 8) {
				t.Fatalf("%s: generation %d, before %d, %q", what, e.Generation, before.Generation, text)
			}
			restart()
			if again, text, _ := extentOf(t, f, 1); again != e || text != line(1, 7)+line(1, 8) {
				t.Fatalf("%s: after a restart %v, %q", what, again, text)
			}
			packed, plain := onDisk(t, d, 1)
			if !strings.HasSuffix(packed+plain, line(1, 7)+line(1, 8)) {
				t.Fatalf("%s: %q and %q", what, packed, plain)
			}
		}
	}
}
