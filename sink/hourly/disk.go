package hourly

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// disk is what Files asks of a file system: the seam where tests put one that
// fails, or one that forgets what was not synced. Names are full paths.
type disk interface {
	// open opens for reading and appending; with create it makes the file.
	open(name string, create bool) (file, error)
	mkdir(name string) error // nil if it is there already
	readDir(name string) ([]fs.DirEntry, error)
	rename(from, to string) error
	remove(name string) error
	syncDir(name string) error
	// lock takes the lock file for the life of the process.
	lock(name string) (unlock func() error, err error)
	// room reports whether the file system of name has free space.
	room(name string) bool
}

// file is one open file. Writes go to its end.
type file interface {
	writev(parts [][]byte) (int, error)
	readAt(p []byte, off int64) (int, error)
	truncate(size int64) error
	sync() error // data and size; not the directory entry
	stat() (fileState, error)
	close() error
}

// fileState is what is checked of a file now and then.
type fileState struct {
	size int64
	gone bool // its name leads elsewhere, or nowhere
}

// osDisk is the real file system.
type osDisk struct{}

type osFile struct {
	fd   int
	name string
}

func (osDisk) open(name string, create bool) (file, error) {
	flags := unix.O_RDWR | unix.O_APPEND | unix.O_CLOEXEC
	if create {
		flags |= unix.O_CREAT
	}
	fd, err := retry(func() (int, error) { return unix.Open(name, flags, 0o644) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &osFile{fd: fd, name: name}, nil
}

func (osDisk) mkdir(name string) error {
	err := os.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (osDisk) readDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osDisk) rename(from, to string) error               { return os.Rename(from, to) }
func (osDisk) remove(name string) error                   { return os.Remove(name) }

func (osDisk) syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osDisk) lock(name string) (func() error, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name)
		return nil, errors.Join(fmt.Errorf("in use by process %s; give this one a directory of its own (storage.logsDir), or stop that one", strings.TrimSpace(string(holder))), f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil && !isDiskFull(err) {
		return nil, errors.Join(err, f.Close())
	}
	// The lock goes with the descriptor; the file stays, so that two
	// processes can never hold locks on two files of this name.
	return f.Close, nil
}

func (osDisk) room(name string) bool {
	var st unix.Statfs_t
	if err := unix.Statfs(name, &st); err != nil {
		return false
	}
	return st.Bavail*uint64(st.Bsize) >= 1<<20
}

func (f *osFile) writev(parts [][]byte) (int, error) {
	if len(parts) == 1 {
		return retry(func() (int, error) { return unix.Write(f.fd, parts[0]) })
	}
	return retry(func() (int, error) { return unix.Writev(f.fd, parts) })
}

func (f *osFile) readAt(p []byte, off int64) (int, error) {
	return retry(func() (int, error) { return unix.Pread(f.fd, p, off) })
}

func (f *osFile) truncate(size int64) error {
	_, err := retry(func() (int, error) { return 0, unix.Ftruncate(f.fd, size) })
	return err
}

func (f *osFile) sync() error {
	_, err := retry(func() (int, error) { return 0, datasync(f.fd) })
	return err
}

func (f *osFile) stat() (fileState, error) {
	var open, named unix.Stat_t
	if err := unix.Fstat(f.fd, &open); err != nil {
		return fileState{}, err
	}
	err := unix.Stat(f.name, &named)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileState{}, err
	}
	return fileState{size: open.Size, gone: err != nil || open.Ino != named.Ino || open.Dev != named.Dev}, nil
}

// close lets the number of the descriptor go: it may be another file's at once,
// and a second close must not end that one.
func (f *osFile) close() error {
	fd := f.fd
	f.fd = -1
	return unix.Close(fd)
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// isDiskFull reports whether err means that there is no room: no space left, a
// quota, or a limit on the file's size.
func isDiskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}
