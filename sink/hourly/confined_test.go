package hourly

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/durable"
)

// wrongKinds put something else in the place of a file or a directory.
var wrongKinds = map[string]struct {
	make func(name string) error
	says string
}{
	"a dangling link": {func(name string) error { return os.Symlink("/nowhere/at/all", name) }, "symbolic link"},
	"a link to a directory of another file system": {func(name string) error { return os.Symlink("/dev/shm", name) }, "symbolic link"},
	"a link to itself": {func(name string) error { return os.Symlink(name, name) }, "symbolic link"},
	"a link to a file": {func(name string) error { return os.Symlink("/etc/passwd", name) }, "symbolic link"},
	"a pipe":           {func(name string) error { return unix.Mkfifo(name, 0o644) }, "named pipe"},
	"a socket":         {socket, "socket"},
	"a file":           {func(name string) error { return os.WriteFile(name, []byte("x"), 0o644) }, "regular file"},
	"a directory":      {func(name string) error { return os.MkdirAll(name+"/x", 0o755) }, "directory"},
}

func socket(name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	// A name of a socket is short: bind where the directory is the current one.
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // only a name
	self := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + filepath.Base(name)
	return errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: self}), unix.Close(fd))
}

func TestFiles_WhatStandsInThePlaceOfADayOrAnHourConcernsItsRecordsOnly(t *testing.T) {
	for what, kind := range wrongKinds {
		for _, place := range []string{"day", "hour"} {
			if place == "day" && what == "a directory" || place == "hour" && what == "a file" {
				continue // it is what belongs there
			}
			for _, before := range []bool{false, true} { // the process wrote there before
				f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = 10 * time.Millisecond })
				write(t, f, line(1, 1))
				broken := filepath.Join(dir, Path(day0(25)))
				if place == "day" {
					broken = filepath.Dir(broken)
				}
				if before {
					if err := f.Write(t.Context(), batch(t, line(25, 1)), sink.Synced); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.MkdirAll(filepath.Dir(broken), 0o755); err != nil {
					t.Fatal(err)
				}
				err := errors.Join(os.RemoveAll(broken), kind.make(broken))
				for try := 0; err != nil && try < 1000; try++ { // its upkeep may have made the file again
					err = errors.Join(os.RemoveAll(broken), kind.make(broken))
				}
				if err != nil {
					t.Fatal(err)
				}
				name := what + " in the place of a " + place
				var wg sync.WaitGroup
				for i := range 8 { // others share their groups with what cannot be written
					wg.Go(func() {
						ack := []sink.Ack{sink.Written, sink.Synced}[i%2]
						if err := f.Write(t.Context(), batch(t, line(2, i)), ack); err != nil {
							t.Errorf("%s: another day: %v", name, err)
						}
						if before {
							ack = sink.Synced // what is only written goes to the file that is open
						}
						err := f.Write(t.Context(), batch(t, line(25, 100+i), line(3, 100+i)), ack)
						if !errors.Is(err, sink.ErrStorage) {
							t.Errorf("%s: %v", name, err)
						} else if text := err.Error(); !strings.Contains(text, filepath.Base(broken)) || !strings.Contains(text, kind.says) {
							t.Errorf("%s: the error names neither it nor what it is: %v", name, err)
						}
					})
				}
				wg.Wait()
				if err := f.Ready(); !errors.Is(err, sink.ErrDegraded) {
					t.Errorf("%s (%v): ready says %v", name, before, err)
				}
				if err := f.tendOnce(); err != nil {
					t.Errorf("%s: upkeep: %v", name, err)
				}
				if place == "day" && !before { // stopped as it is
					if err := f.Close(); err != nil {
						t.Errorf("%s: close: %v", name, err)
					}
					continue
				}
				if err := os.RemoveAll(broken); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(10 * time.Second); f.Ready() != nil; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%s: mended, and ready says %v", name, f.Ready())
					}
				}
				if err := f.Write(t.Context(), batch(t, line(25, 9)), sink.Synced); err != nil {
					t.Errorf("%s: mended: %v", name, err)
				}
				text, err := os.ReadFile(filepath.Join(dir, Path(day0(25))))
				if err != nil || !strings.HasSuffix(string(text), line(25, 9)) || !before && strings.Contains(string(text), line(25, 100)) {
					t.Errorf("%s: mended, and the hour holds %q, %v", name, text, err)
				}
				text, err = os.ReadFile(filepath.Join(dir, Path(day0(2))))
				if err != nil || strings.Count(string(text), "\n") != 8 {
					t.Errorf("%s: the other day holds %q, %v", name, text, err)
				}
				if err := f.Close(); err != nil {
					t.Errorf("%s: close: %v", name, err)
				}
			}
		}
	}
}

// The consumer's records of an hour that cannot be written wait; what it has of
// other hours is committed.
func TestFiles_ATransactionOfOtherHoursIsCommittedBesideADayThatCannotBeSynced(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = time.Hour })
	if err := f.Append(batch(t, line(25, 1))); err != nil {
		t.Fatal(err)
	}
	day := filepath.Join(dir, filepath.Dir(Path(day0(25))))
	if err := errors.Join(os.Rename(day, day+".old"), os.Symlink("/nowhere", day)); err != nil {
		t.Fatal(err)
	}
	if err := f.Prepare(NewTxID(), []byte("p")); !errors.Is(err, sink.ErrStorage) || !strings.Contains(err.Error(), "symbolic link") {
		t.Fatalf("prepared with lines that are not on disk: %v", err)
	}
	if err := f.Rollback(); err == nil {
		t.Log("rolled back in the file that was moved away")
	}
	if err := errors.Join(os.Remove(day), os.Rename(day+".old", day)); err != nil {
		t.Fatal(err)
	}
	f.lookAround()
	if err := f.Append(batch(t, line(25, 2), line(1, 2))); err != nil {
		t.Fatal(err)
	}
	commitTx(t, f)
	if text, err := os.ReadFile(filepath.Join(dir, Path(day0(25)))); err != nil || !strings.HasSuffix(string(text), line(25, 2)) {
		t.Fatalf("%q, %v", text, err)
	}
}

func TestFiles_AnHourThatTheClockShowsAndThatCannotBeWrittenIsNotReady(t *testing.T) {
	f, dir := openDir(t)
	now := time.Now().UTC()
	l := `{"timestamp":"` + now.Format(time.RFC3339) + `","path":"/","userAgent":"a"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, now.Format(dayLayout)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), batch(t, l), sink.Written); !errors.Is(err, sink.ErrStorage) {
		t.Fatal(err)
	}
	if err := f.Ready(); err == nil || errors.Is(err, sink.ErrDegraded) {
		t.Fatalf("ready says %v", err)
	}
}

// A file whose name was away for a moment only is the one that it was.
func TestFiles_AFileThatIsBackAtItsNameIsNotCopiedOntoItself(t *testing.T) {
	f, dir := openDir(t, func(c *config.Storage) { c.SyncInterval = time.Hour })
	if err := f.Write(t.Context(), batch(t, line(1, 1)), sink.Written); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, Path(day0(1)))
	f.writing.Lock()
	s := f.segments[day0(1)]
	s.moved = true // as it was seen a moment ago
	err := f.moveOver(s)
	f.writing.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), batch(t, line(1, 2)), sink.Synced); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != line(1, 1)+line(1, 2) {
		t.Fatalf("%q, %v", text, err)
	}
}

// askedRoot calls asked before a file is opened.
type askedRoot struct {
	root
	asked func()
}

func (r askedRoot) Open(name string, create bool) (durable.File, error) {
	r.asked()
	return r.root.Open(name, create)
}

// Ensure that /ready says what is the matter at every moment while a failure turns
// out to be that of one hour only.
func TestFiles_ReadySaysAFailureUntilItSaysThatItIsConfined(t *testing.T) {
	f := openMem(t, newMemDisk())
	write(t, f, line(1, 1))
	f.writing.Lock()
	defer f.writing.Unlock()
	all, asked := f.root, 0
	defer func() { f.root = all }()
	f.trouble.Store(&trouble{&failure{sink.ErrStorage, unix.EIO}, f.segments[day0(1)], 0})
	f.root = askedRoot{all, func() {
		if asked++; !errors.Is(f.Ready(), sink.ErrStorage) {
			t.Errorf("while it is found out /ready says %v", f.Ready())
		}
	}}
	f.narrow()
	if err := f.Ready(); asked == 0 || f.trouble.Load() != nil || !errors.Is(err, sink.ErrDegraded) {
		t.Errorf("asked %d times; then /ready says %v", asked, err)
	}
}
