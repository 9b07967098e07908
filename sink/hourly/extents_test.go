package hourly

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"logforge/sink"
)

// extentOf returns the extent of the hour, and its lines; ok is false if there
// is none.
func extentOf(t check, f *Files, hour int) (e Extent, lines string, ok bool) {
	t.Helper()
	for _, e := range f.Extents() {
		if e.Hour == day0(hour) {
			r, err := f.Reader(e, 0)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			return e, string(text), true
		}
	}
	return Extent{}, "", false
}

func write(t check, f *Files, lines ...string) {
	t.Helper()
	if err := f.Write(context.Background(), batch(t, lines...), sink.Synced); err != nil {
		t.Fatal(err)
	}
}

func TestFiles_AnExtentIsTheCommittedLinesOfOneGeneration(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	write(t, f, line(1, 1), line(1, 2))
	write(t, f, line(3, 3))
	e, text, ok := extentOf(t, f, 1)
	if !ok || e.Generation == 0 || text != line(1, 1)+line(1, 2) || e.Length != int64(len(text)) {
		t.Fatalf("%+v holds %q", e, text)
	}
	r, err := f.Reader(e, int64(len(line(1, 1))))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != line(1, 2) {
		t.Fatalf("from the second line on: %q, %v", text, err)
	}
	for _, wrong := range []Extent{
		{e.Hour, e.Generation - 1, e.Length}, {e.Hour, e.Generation + 1, e.Length},
		{e.Hour, e.Generation, e.Length + 1}, {day0(2), e.Generation, e.Length},
	} {
		if _, err := f.Reader(wrong, 0); !errors.Is(err, ErrGone) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	if _, err := f.Reader(e, e.Length+1); err == nil {
		t.Error("an offset behind the extent is taken")
	}
}

// A generation ends when the file is removed, replaced or shortened, whether a
// process runs or not, and however it is restarted; else it stays.
func TestFiles_AFileThatBeginsAnewIsALargerGenerationAlsoAcrossRestarts(t *testing.T) {
	name := filepath.Join("logs", Path(day0(1)))
	first, second := line(1, 1)+line(1, 2), line(1, 3)
	for _, c := range []struct {
		what   string
		change func(d *memDisk)
		same   bool
		want   string // of the stream, after second was written
	}{
		{"left alone", func(*memDisk) {}, true, first + second},
		{"removed", func(d *memDisk) { delete(d.names, name) }, false, second},
		{"emptied", func(d *memDisk) { d.names[name].data = nil }, false, second},
		{"shortened", func(d *memDisk) { d.names[name].data = []byte(line(1, 1)) }, false, second},
	} {
		for _, how := range []string{"while running", "while closed", "while killed"} {
			d := newMemDisk()
			f := openMem(t, d)
			write(t, f, line(1, 1), line(1, 2))
			before, _, _ := extentOf(t, f, 1)
			switch how {
			case "while closed":
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				c.change(d)
				f = openMem(t, d)
			case "while killed":
				if err := f.tendOnce(); err != nil {
					t.Fatal(err)
				}
				d = d.killed()
				c.change(d)
				f = openMem(t, d)
			default:
				c.change(d)
				if err := f.tendOnce(); err != nil {
					t.Fatal(err)
				}
			}
			write(t, f, line(1, 3))
			after, text, _ := extentOf(t, f, 1)
			if text != c.want || (after.Generation == before.Generation) != c.same || after.Generation < before.Generation {
				t.Errorf("%s %s: generation %d then %d, the stream is %q", c.what, how, before.Generation, after.Generation, text)
			}
			if !c.same {
				if _, err := f.Reader(before, 0); !errors.Is(err, ErrGone) {
					t.Errorf("%s %s: the old generation: %v", c.what, how, err)
				}
			}
			// And it stays, over one restart and many compactions.
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				f = openMem(t, d)
				if err := f.compact(); err != nil {
					t.Fatal(err)
				}
				if again, text, _ := extentOf(t, f, 1); again != after || text != c.want {
					t.Fatalf("%s %s: %+v, after a restart %+v with %q", c.what, how, after, again, text)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
