package archivetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Disk is a file system of its own that can be full.
type Disk struct{ Dir string }

// SmallDisk mounts a file system of so many megabytes, in memory. The test is
// left out where this user may not mount.
func SmallDisk(t testing.TB, megabytes int) *Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "logforge-archive-disk-*")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &Disk{filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0777", megabytes), "logforge", d.Dir).CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		noteLeftOut(t, fmt.Sprintf("a full disk needs the right to mount one: %s", out))
		t.Skip("may not mount a file system")
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", d.Dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
			return
		}
		_ = os.RemoveAll(dir)
	})
	return d
}

// Grow gives the file system more room.
func (d *Disk) Grow(t testing.TB, megabytes int) {
	t.Helper()
	if out, err := exec.Command("mount", "-o", fmt.Sprintf("remount,size=%dm", megabytes), d.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
}
