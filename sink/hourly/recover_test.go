package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"logforge/sink"

	"github.com/VictoriaMetrics/metrics"
)

// hourFile returns the inode of an hour's file, to damage it.
func hourFile(d *memDisk, hour int) *inode {
	return d.names[filepath.Join("logs", Path(day0(hour)))]
}

// reopen recovers d, closes, recovers again, and checks that the second time
// changes nothing: no file, no byte.
func reopen(t check, d *memDisk) *Files {
	t.Helper()
	snapshot := func(d *memDisk) map[string]string {
		all := map[string]string{}
		for n, i := range d.names {
			if !i.dir && !strings.HasSuffix(n, journalName) {
				all[n] = string(i.data)
			}
		}
		return all
	}
	openMem(t, d) // and this process is killed at once
	first := snapshot(d)
	d.locked = map[string]bool{}
	f := openMem(t, d)
	if second := snapshot(d); fmt.Sprint(first) != fmt.Sprint(second) {
		t.Fatalf("recovering twice: first\n%v\nthen\n%v", first, second)
	}
	return f
}

func TestFiles_ATornTailIsCutAtEveryByteAndKept(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Synced); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), batch(t, line(1, 2), line(1, 3)), sink.Written); err != nil {
		t.Fatal(err)
	}
	all := line(1, 1) + line(1, 2) + line(1, 3)
	for cut := len(line(1, 1)); cut <= len(all); cut++ {
		for _, nuls := range []int{0, 1, 4096} {
			torn := d.killed()
			damaged := all[:cut] + strings.Repeat("\x00", nuls)
			if nuls == 1 && cut < len(all) { // a hole, and data behind it
				damaged = all[:cut] + "\x00" + all[cut+1:]
			}
			hourFile(torn, 1).data = []byte(damaged)
			want := all[:strings.LastIndexByte(all[:cut], '\n')+1]
			g := reopen(t, torn)
			expect(t, torn, g, map[int]string{1: want})
			kept := ""
			for n, i := range torn.names {
				if strings.Contains(n, ".torn-") {
					kept += string(i.data)
				}
			}
			if want+kept != damaged {
				t.Fatalf("cut at %d with %d NULs: kept %q of %q", cut, nuls, kept, damaged[len(want):])
			}
			if err := g.Write(t.Context(), batch(t, line(1, 4)), sink.Written); err != nil {
				t.Fatal(err)
			}
			expect(t, torn, g, map[int]string{1: want + line(1, 4)})
		}
	}
}

func TestFiles_OneThatNoJournalKnowsIsRepairedToItsLastNewline(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		d := newMemDisk()
		for _, dir := range []string{"logs", "logs/2026-02-09"} {
			d.names[dir] = &inode{dir: true}
		}
		d.names[filepath.Join("logs", Path(day0(1)))] = &inode{data: []byte(content)}
		expect(t, d, reopen(t, d), map[int]string{1: want})
	}
	f("", "")
	f("half", "")
	f(line(1, 1), line(1, 1))
	f(line(1, 1)+"half", line(1, 1))
	f(line(1, 1)+line(1, 2)+"\x00\x00", line(1, 1)+line(1, 2))
	f(line(1, 1)+"\x00\x00"+line(1, 2)+"\x00", line(1, 1))
	f("\x00\x00", "")
	f(strings.Repeat(line(1, 5), 20_000)+"half", strings.Repeat(line(1, 5), 20_000))
}

func TestJournal_CutAtAnyByteStillRecovers(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	commit := func(lines ...string) {
		t.Helper()
		if err := f.Append(batch(t, lines...)); err != nil {
			t.Fatal(err)
		}
		id := NewTxID()
		if err := f.Prepare(id, []byte("p")); err != nil {
			t.Fatal(err)
		}
		if err := f.Decide(id); err != nil {
			t.Fatal(err)
		}
	}
	commit(line(1, 1), line(2, 2))
	commit(line(1, 3))
	text := d.names["logs/"+journalName].data
	opened := false       // the files are named
	ends := map[int]int{} // committed transactions by the journal's length
	for n := range len(text) + 1 {
		for l := range bytes.Lines(text[:n]) {
			if e, ok := parseEntry(bytes.TrimSuffix(l, []byte{'\n'})); ok && l[len(l)-1] == '\n' {
				opened = opened || len(e.Files) == 2
				if e.Kind == kindDecide {
					ends[n]++
				}
			}
		}
		torn := d.killed()
		torn.names["logs/"+journalName].data = bytes.Clone(text[:n])
		g := reopen(t, torn)
		if _, pending := g.Pending(); pending {
			if err := g.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		switch ends[n] {
		case 2:
			expect(t, torn, g, map[int]string{1: line(1, 1) + line(1, 3), 2: line(2, 2)})
		case 1:
			expect(t, torn, g, map[int]string{1: line(1, 1), 2: line(2, 2)})
		case 0:
			// Nothing was decided. What is left of the journal says so from its
			// first entry that names the files on; before that, nobody had
			// appended anything yet, and whole lines count.
			want := map[int]string{1: "", 2: ""}
			if !opened {
				want = map[int]string{1: line(1, 1) + line(1, 3), 2: line(2, 2)}
			}
			expect(t, torn, g, want)
		}
	}
	if ends[len(text)] != 2 {
		t.Fatalf("the whole journal decides %d", ends[len(text)])
	}
}

func TestJournal_DamagedStopsTheStartAndSaysWhatToDo(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	for i := range 3 {
		if err := f.Write(t.Context(), batch(t, line(i, i)), sink.Written); err != nil {
			t.Fatal(err)
		}
	}
	d.names["logs/"+journalName].data[12] ^= 1
	_, err := openOn(testConfig(), sink.Written, slog.New(slog.DiscardHandler), metrics.NewSet(), d.killed())
	if !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), "restore") {
		t.Fatal(err)
	}
}
