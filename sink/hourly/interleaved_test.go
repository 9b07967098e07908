package hourly

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// strangers are the things that another process can do to a file between two
// groups, or just before the bytes of one arrive.
var strangers = map[string]func(old []byte) []byte{
	"half a line is added":                   func(old []byte) []byte { return append(old, `{"timestamp":`...) },
	"a line is added":                        func(old []byte) []byte { return append(old, line(1, 901)...) },
	"a line and a half are added":            func(old []byte) []byte { return append(old, line(1, 901)+"abc"...) },
	"NULs are added":                         func(old []byte) []byte { return append(old, make([]byte, 5000)...) },
	"a line behind NULs is added":            func(old []byte) []byte { return append(append(old, 0, 0, 0), line(1, 901)...) },
	"it is emptied":                          func([]byte) []byte { return nil },
	"it is cut in a line":                    func(old []byte) []byte { return old[:len(old)-7] },
	"it is cut behind a line":                func(old []byte) []byte { return old[:len(line(1, 1))] },
	"it is cut in its first line":            func(old []byte) []byte { return old[:5] },
	"it is emptied, and half a line added":   func([]byte) []byte { return []byte("abc") },
	"it is emptied, and a longer text added": func(old []byte) []byte { return []byte(strings.Repeat(line(1, 902), 9) + "abc") },
}

func TestFiles_LinesStayWholeWhateverSomebodyElseWritesBetweenGroups(t *testing.T) {
	for what, change := range strangers {
		for _, version := range []int{1, 2} {
			f, dir := openDir(t)
			name := filepath.Join(dir, Path(day0(1)))
			put := func(n int) {
				t.Helper()
				var err error
				if version == 1 {
					err = f.Write(t.Context(), batch(t, line(1, n), line(2, n)), sink.Synced)
				} else if err = f.Append(batch(t, line(1, n), line(2, n))); err == nil {
					commitTx(t, f)
				}
				if err != nil {
					t.Fatalf("%s, version %d: %v", what, version, err)
				}
			}
			put(1)
			put(2)
			old, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := rewriteInPlace(name, old, change(append([]byte(nil), old...))); err != nil {
				t.Fatal(err)
			}
			put(3)
			put(4)
			check := func(when string) {
				t.Helper()
				text, err := os.ReadFile(name)
				if err != nil || !strings.HasSuffix(string(text), line(1, 3)+line(1, 4)) {
					t.Errorf("%s, version %d, %s: the file holds %q, %v", what, version, when, text, err)
				}
				onlyWholeLines(t, what, string(text))
			}
			check("running")
			if _, text, ok := extentOf(t, f, 1); !ok || !strings.HasSuffix(text, line(1, 3)+line(1, 4)) {
				t.Errorf("%s, version %d: readers see %q, %v", what, version, text, ok)
			}
			if err := f.Ready(); err != nil {
				t.Errorf("%s, version %d: ready says %v", what, version, err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			f, _ = openDir(t, func(c *config.Storage) { c.LogsDir = dir })
			check("opened again")
			if other, _, ok := extentOf(t, f, 2); !ok || other.Length != int64(4*len(line(2, 1))) {
				t.Errorf("%s, version %d: the other hour has %d bytes, %v", what, version, other.Length, ok)
			}
		}
	}
}

// rewriteInPlace makes the file hold text, as somebody does who has it open.
func rewriteInPlace(name string, old, text []byte) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // what matters is the write
	if len(text) < len(old) || !strings.HasPrefix(string(text), string(old)) {
		if err := file.Truncate(0); err != nil {
			return err
		}
		old = nil
	}
	_, err = file.WriteAt(text[len(old):], int64(len(old)))
	return err
}

func onlyWholeLines(t *testing.T, what, text string) {
	t.Helper()
	for l := range strings.Lines(text) {
		if !json.Valid([]byte(l)) || !strings.HasSuffix(l, "\n") {
			t.Errorf("%s: the file holds %q", what, l)
		}
	}
}

// The change comes at the last moment, just before the bytes arrive: no look at the
// file beforehand would see it.
func TestFiles_LinesStayWholeWhenSomebodyElseWritesAtTheSameMoment(t *testing.T) {
	for what, change := range strangers {
		for _, pieces := range []int{1, 3} { // in which the write is done
			d := newMemDisk()
			f := openMem(t, d)
			put := func(n int) {
				t.Helper()
				if err := f.Write(t.Context(), batch(t, line(1, n), line(1, n+1)), sink.Written); err != nil {
					t.Fatalf("%s, in %d pieces: %v", what, pieces, err)
				}
			}
			put(1)
			writes := 0
			d.fault = func(op, name string) error {
				if op != "write" || !strings.HasSuffix(name, Path(day0(1))) {
					return nil
				}
				if writes++; writes == pieces {
					d.names[name].data = change(d.names[name].data)
				}
				if writes < pieces {
					return errShort
				}
				return nil
			}
			put(3)
			d.fault = nil
			put(5)
			want := line(1, 3) + line(1, 4) + line(1, 5) + line(1, 6)
			for _, disk := range []*memDisk{d, d.killed()} {
				if disk != d {
					openMem(t, disk)
				}
				text := contents(t, disk, day0(1))
				if strings.Count(text, want) != 1 || strings.Count(text, line(1, 4)) != 1 {
					t.Errorf("%s, in %d pieces: the file holds %q", what, pieces, text)
				}
				onlyWholeLines(t, what, text)
			}
		}
	}
}

// What somebody else has begun is kept beside, not thrown away.
func TestFiles_HalfALineOfSomebodyElseIsKeptBeside(t *testing.T) {
	f, dir := openDir(t)
	write(t, f, line(1, 1))
	name := filepath.Join(dir, Path(day0(1)))
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, f, line(1, 2))
	kept, err := filepath.Glob(filepath.Join(filepath.Dir(name), ".*"+tornEnd+"*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v, %v", kept, err)
	}
	if text, err := os.ReadFile(kept[0]); err != nil || string(text) != "half" {
		t.Fatalf("%q, %v", text, err)
	}
}

// A file that another process never leaves alone is an error that may pass, and
// costs no other hour anything.
func TestFiles_AFileThatSomebodyElseWritesAllTheTimeIsRefused(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Written); err != nil {
		t.Fatal(err)
	}
	d.fault = func(op, name string) error {
		if op == "write" && strings.HasSuffix(name, Path(day0(1))) {
			d.names[name].data = append(d.names[name].data, "half"...)
		}
		return nil
	}
	if err := f.Write(t.Context(), batch(t, line(1, 2)), sink.Written); err == nil {
		t.Fatal("acknowledged")
	}
	if err := f.Write(t.Context(), batch(t, line(2, 2)), sink.Written); err != nil {
		t.Fatalf("another hour: %v", err)
	}
	d.fault = nil
	if err := f.tendOnce(); err != nil || f.Ready() != nil {
		t.Fatalf("left alone again: %v, ready %v", err, f.Ready())
	}
	if err := f.Write(t.Context(), batch(t, line(1, 3)), sink.Written); err != nil {
		t.Fatal(err)
	}
	expect(t, d, f, map[int]string{1: line(1, 1) + line(1, 3), 2: line(2, 2)})
}

// A write of more parts than the kernel takes at once is several.
func TestFiles_AWriteOfManyPartsStaysWholeBesideSomebodyElse(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	write(t, f, line(1, 0))
	long := strings.Repeat("x", 200)
	var batches []*codec.Batch
	want := ""
	for n := range 2*maxParts + 10 {
		l := strings.Replace(line(1, n+1), `"ua"`, `"`+long+`"`, 1)
		batches, want = append(batches, batch(t, l)), want+l
	}
	for at := 1; at <= 3; at++ {
		writes := 0
		d.fault = func(op, name string) error {
			if op == "write" && strings.HasSuffix(name, Path(day0(1))) {
				if writes++; writes == at {
					d.names[name].data = append(d.names[name].data, "half"...)
				}
			}
			return nil
		}
		before := contents(t, d, day0(1))
		if err := f.writeGroup(batches); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, d, day0(1)); got != before+want {
			t.Fatalf("before write %d: %d bytes, want %d", at, len(got), len(before)+len(want))
		}
	}
}
