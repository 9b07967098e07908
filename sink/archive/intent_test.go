package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"logforge/codec"
	"logforge/sink/durable"

	"golang.org/x/sys/unix"
)

func intentOf(hour int) Part {
	return Part{Node: "n", Hour: codec.HourOf(time.Date(2026, 2, 9, hour, 0, 0, 0, time.UTC)), Generation: 1, To: 100}
}

func TestIntents_AFileThatVanishedIsMadeAgainWithThePartsUnderWay(t *testing.T) {
	for what, change := range map[string]func(name string) error{
		"removed":   os.Remove,
		"moved":     func(name string) error { return os.Rename(name, name+".1") },
		"emptied":   func(name string) error { return os.Truncate(name, 0) },
		"shortened": func(name string) error { return os.Truncate(name, 700) },
		"replaced": func(name string) error {
			return errors.Join(os.WriteFile(name+".1", []byte("x"), 0o644), os.Rename(name+".1", name))
		},
		"replaced by a link": func(name string) error {
			return errors.Join(os.Rename(name, name+".1"), os.Symlink(name+".1", name))
		},
		"replaced by a pipe": func(name string) error { return errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600)) },
		"its directory was removed and made again": func(name string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(name)), os.Mkdir(filepath.Dir(name), 0o755))
		},
	} {
		name := filepath.Join(t.TempDir(), "logs", ".archive-s3")
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		in, _, err := openIntents(name, "n")
		if err != nil {
			t.Fatal(err)
		}
		slots := map[int]Part{}
		for hour := 1; hour <= 3; hour++ {
			slot, err := in.add(intentOf(hour))
			if err != nil {
				t.Fatal(err)
			}
			slots[slot] = intentOf(hour)
		}
		in.drop(1)
		delete(slots, 1)
		if err := change(name); err != nil {
			t.Fatal(err)
		}
		slot, err := in.add(intentOf(4))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		slots[slot] = intentOf(4)
		next, found, err := openIntents(name, "n") // as after a crash
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(found) != len(slots) {
			t.Errorf("%s: a restart finds %v, want %v", what, found, slots)
		}
		for slot, p := range slots {
			if found[slot] != p {
				t.Errorf("%s: slot %d holds %v, want %v", what, slot, found[slot], p)
			}
		}
		if err := errors.Join(in.Close(), next.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIntents_SomethingElseInThePlaceOfTheFileIsRefusedAndNotWaitedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".archive-s3")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openIntents(name, "n"); !errors.Is(err, errIntents) || !errors.Is(err, durable.ErrNotRegular) {
		t.Fatalf("%v", err)
	}
}

// A file that cannot be made again says so, and what it held is not forgotten.
func TestIntents_AFileThatCannotBeMadeAgainStoresNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	name := filepath.Join(dir, ".archive-s3")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in, _, err := openIntents(name, "n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.add(intentOf(1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if slot, err := in.add(intentOf(2)); !errors.Is(err, errIntents) {
		t.Fatalf("slot %d, %v", slot, err)
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := in.add(intentOf(2)); err != nil {
		t.Fatal(err)
	}
	_, found, err := openIntents(name, "n")
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
}
