package durable

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func openDir(t *testing.T, path string) *Directory {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func TestWriteFile_ReplacesAFileWholeOrNotAtAll(t *testing.T) {
	d := openDir(t, t.TempDir())
	if err := d.Mkdir("day"); err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(d.Path(), "day", "name"))
		if err != nil || string(got) != want {
			t.Fatalf("%q, %v", got, err)
		}
		names, err := d.ReadDir("day")
		if err != nil || len(names) != 1 {
			t.Fatalf("%v, %v: a temporary file is left", names, err)
		}
	}
	long := strings.Repeat("x", 1<<20)
	for _, content := range []string{"first", long, ""} {
		if err := WriteFile(d, "day/name", text(content)); err != nil {
			t.Fatal(err)
		}
		check(content)
	}
	// What a crash has left is written over.
	if err := os.WriteFile(filepath.Join(d.Path(), "day", ".name.tmp"), []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(d, "day/name", text("short")); err != nil {
		t.Fatal(err)
	}
	check("short")
	errWrite := errors.New("no more")
	err := WriteFile(d, "day/name", func(w io.Writer) error {
		_, _ = io.WriteString(w, long)
		return errWrite
	})
	if !errors.Is(err, errWrite) {
		t.Fatal(err)
	}
	check("short")
}

func TestDirectory_LockedByOneProcessAlsoWithoutItsLockFile(t *testing.T) {
	path := t.TempDir()
	first := openDir(t, path)
	if err := first.Lock(); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(path, lockName)
	refused := func() {
		t.Helper()
		second := openDir(t, path)
		if err := second.Lock(); !errors.Is(err, ErrInUse) {
			t.Fatalf("a second process: %v", err)
		}
	}
	refused()
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := first.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lock); err != nil {
		t.Fatal("the lock file is not made again:", err)
	}
	refused()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third := openDir(t, path)
	if err := third.Lock(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectory_NoticesThatItWasMovedAndNeverUsesAnotherOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "logs")
	if err := MkdirAll(path); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, path)
	if err := d.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); !errors.Is(err, ErrMoved) {
		t.Fatalf("moved: %v", err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); !errors.Is(err, ErrMoved) {
		t.Fatalf("made anew: %v", err)
	}
	if err := WriteFile(d, "name", text("content")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "name")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("written into a directory that is not ours: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(path+".old", path)); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); err != nil {
		t.Fatalf("put back: %v", err)
	}
}

func TestDirectory_OpensRegularFilesOnly(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(name string) error{
		"pipe":      func(name string) error { return unix.Mkfifo(name, 0o600) },
		"directory": func(name string) error { return os.Mkdir(name, 0o755) },
		"link":      func(name string) error { return os.Symlink("file", name) },
		"dangling":  func(name string) error { return os.Symlink("nothing", name) },
		"socket": func(name string) error {
			l, err := net.Listen("unix", name)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		},
	} {
		if err := make(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
		for _, create := range []bool{false, true} {
			if f, err := d.Open(name, create); err == nil {
				t.Errorf("a %s was opened as %v", name, f)
			}
		}
	}
	f, err := d.Open("file", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirectory_RemovesOnlyAnEmptyDirectory(t *testing.T) {
	d := openDir(t, t.TempDir())
	if err := errors.Join(d.Mkdir("day"), WriteFile(d, "day/name", text("x"))); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveDir("day"); !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
		t.Errorf("one that holds a file: %v", err)
	}
	if err := d.RemoveDir("day/name"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file: %v", err)
	}
	if err := errors.Join(d.Remove("day/name"), d.RemoveDir("day")); err != nil {
		t.Error(err)
	}
	if err := d.RemoveDir("day"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is gone: %v", err)
	}
}

func TestFile_KnowsWhenItWasModified(t *testing.T) {
	d := openDir(t, t.TempDir())
	f, err := d.Open("name", true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the test is over
	at := time.Date(2026, 2, 9, 15, 23, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(d.Path(), "name"), at, at); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || !st.Modified.Equal(at) {
		t.Errorf("%v, %v", st.Modified, err)
	}
}

func TestFile_KnowsThatItsNameLeadsElsewhere(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	name := filepath.Join(path, "name")
	for what, change := range map[string]func() error{
		"removed":  func() error { return os.Remove(name) },
		"moved":    func() error { return os.Rename(name, name+".1") },
		"replaced": func() error { return os.Rename(filepath.Join(path, "other"), name) },
	} {
		if err := os.WriteFile(filepath.Join(path, "other"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := d.Open("name", true)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := f.Stat(); err != nil || st.Moved {
			t.Fatalf("%+v, %v", st, err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if st, err := f.Stat(); err != nil || !st.Moved {
			t.Errorf("%s: %+v, %v", what, st, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMkdirAll_MakesParentsAndRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := MkdirAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(path, "file")); !errors.Is(err, unix.ENOTDIR) {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(path, "file", "d")); err == nil {
		t.Fatal("a directory below a file")
	}
}

func TestSyncDir_ADirectoryThatIsGoneIsNotAFailedSync(t *testing.T) {
	err := SyncDir(filepath.Join(t.TempDir(), "nothing"))
	var failed *SyncError
	if err == nil || errors.As(err, &failed) {
		t.Fatal(err)
	}
}

func TestOpenRegular_OpensNothingElseAndNeverWaits(t *testing.T) {
	dir := t.TempDir()
	name := func(base string) string { return filepath.Join(dir, base) }
	if err := os.WriteFile(name("file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", name("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close() //nolint:errcheck // gone with the directory
	if err := errors.Join(unix.Mkfifo(name("pipe"), 0o644), os.Symlink("file", name("link")), os.Symlink("link2", name("link2")), os.Mkdir(name("dir"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"pipe", "socket", "link", "link2", "dir"} {
		if _, err := OpenRegular(name(base)); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), name(base)) {
			t.Errorf("%s: %v", base, err)
		}
	}
	if _, err := OpenRegular(name("nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	file, err := OpenRegular(name("file"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(file); string(text) != "text" || err != nil || file.Close() != nil {
		t.Errorf("%q, %v", text, err)
	}
}
