package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	errNotDir = unix.ENOTDIR
	lockName  = ".lock"
)

var (
	// ErrInUse means that another process has the directory.
	ErrInUse = errors.New("in use by another process")
	// ErrMoved means that the directory's path leads elsewhere, or nowhere.
	ErrMoved = errors.New("the directory is no longer at its path")
	// ErrRemoved is an ErrMoved: the directory was removed, and cannot come back.
	ErrRemoved = fmt.Errorf("%w: it was removed", ErrMoved)
)

// Directory is an open directory. Its methods find names relative to it,
// wherever its path leads meanwhile.
type Directory struct {
	path string
	fd   int
	lock int // of the lock file; -1 without

	taken  bool // Lock has been called, and this process has the directory
	itself bool // by a flock of the directory itself
}

// OpenDir opens a directory that is there.
func OpenDir(path string) (*Directory, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Directory{path: path, fd: fd, lock: -1}, nil
}

// Path returns the path that the directory was opened with.
func (d *Directory) Path() string { return d.path }

// Lock takes the directory for this process until Close, or until it ends: with
// a flock of the directory, and one of the file .lock in it, which says the
// process's number. The error is ErrInUse, with that number, when another
// process has it.
func (d *Directory) Lock() error {
	err := flock(d.fd)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return d.inUse()
	}
	// Some file systems lock no directories; the lock file has to do there. On
	// the others it can wait, for want of space say.
	d.itself = err == nil
	if err := d.lockFile(); err != nil && (!d.itself || errors.Is(err, ErrInUse)) {
		return err
	}
	d.taken = true
	return nil
}

func flock(fd int) error {
	_, err := retry(func() (int, error) { return 0, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	return err
}

func (d *Directory) inUse() error {
	holder := "unknown"
	if f, err := d.Open(lockName, false); err == nil {
		var text [20]byte
		if n, err := f.ReadAt(text[:], 0); err == nil && n > 0 {
			holder = strings.TrimSpace(string(text[:n]))
		}
		_ = f.Close() // only read
	}
	return fmt.Errorf("%s: %w: process %s", d.path, ErrInUse, holder)
}

func (d *Directory) lockFile() error {
	file, err := d.open(lockName, true)
	if err != nil {
		return err
	}
	if err := flock(file.fd); err != nil {
		_ = file.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return d.inUse()
		}
		return &fs.PathError{Op: "flock", Path: file.name, Err: err}
	}
	if d.lock >= 0 {
		_ = unix.Close(d.lock) // that of a file that was removed
	}
	d.lock = file.fd
	// Who holds it is good to know. With no room for that the lock holds as well.
	if err := file.Truncate(0); err == nil {
		_, _ = file.Writev([][]byte{fmt.Appendf(nil, "%d\n", os.Getpid())})
	}
	return nil
}

// Check returns nil if the path still leads to this directory, and the lock
// file, if it was locked, is in its place: one that was removed is made again.
// Else it is ErrMoved, ErrRemoved, ErrInUse, or what kept it from looking.
func (d *Directory) Check() error {
	var open, named unix.Stat_t
	if err := fstat(d.fd, &open); err != nil {
		return &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	if open.Nlink == 0 {
		return fmt.Errorf("%s: %w", d.path, ErrRemoved)
	}
	if _, err := retry(func() (int, error) { return 0, unix.Stat(d.path, &named) }); err != nil && !missing(err) {
		return &fs.PathError{Op: "stat", Path: d.path, Err: err}
	} else if err != nil || open.Ino != named.Ino || open.Dev != named.Dev {
		return fmt.Errorf("%s: %w", d.path, ErrMoved)
	}
	if !d.taken {
		return nil
	}
	if d.lock >= 0 {
		open = unix.Stat_t{}
		err := fstat(d.lock, &open)
		if err == nil {
			err = fstatat(d.fd, lockName, &named)
		}
		if err == nil && open.Ino == named.Ino && open.Dev == named.Dev {
			return nil
		}
	}
	if err := d.lockFile(); err != nil && (!d.itself || errors.Is(err, ErrInUse)) {
		return err
	}
	return nil
}

// missing reports whether a stat failed because there is nothing at the name.
func missing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }

// Close gives the directory free. The lock file stays, so that two processes can
// never hold locks of two files of this name.
func (d *Directory) Close() error {
	if d.lock >= 0 {
		_ = unix.Close(d.lock) // what matters is the lock
	}
	fd := d.fd
	d.fd, d.lock = -1, -1
	return unix.Close(fd)
}

func (d *Directory) name(name string) string { return filepath.Join(d.path, name) }

// at calls with the open directory of name and the last part of name. A folder
// that is a link is not followed.
func (d *Directory) at(op, name string, call func(dir int, base string) error) error {
	dir, base := filepath.Split(filepath.Clean(name))
	fd := d.fd
	if dir != "" {
		var err error
		fd, err = openat(d.fd, filepath.Clean(dir), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return &fs.PathError{Op: op, Path: d.name(dir), Err: explainDir(d.fd, filepath.Clean(dir), err)}
		}
		defer unix.Close(fd) //nolint:errcheck // only used to find names
	}
	if err := call(fd, base); err != nil {
		return &fs.PathError{Op: op, Path: d.name(name), Err: err}
	}
	return nil
}

func openat(dir int, name string, flags int, mode uint32) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, mode)
	})
}

// Open implements Dir.
func (d *Directory) Open(name string, create bool) (File, error) {
	f, err := d.open(name, create)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *Directory) open(name string, create bool) (*osFile, error) {
	f := &osFile{dir: d, name: name}
	err := d.at("open", name, func(dir int, base string) error {
		// Before: to open a pipe or a device has effects by itself.
		var st unix.Stat_t
		err := fstatat(dir, base, &st)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			return explainFile(st.Mode, ErrNotRegular)
		}
		if f.fd, f.readOnly, err = openFile(dir, base, create); err != nil {
			return explainFile(st.Mode, err)
		}
		if err = fstat(f.fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
			err = explainFile(st.Mode, ErrNotRegular)
		}
		if f.readOnly != nil {
			f.readOnly = &fs.PathError{Op: "open", Path: d.name(name), Err: explainFile(st.Mode, f.readOnly)}
		}
		if err != nil {
			return errors.Join(err, unix.Close(f.fd))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openFile opens a file for appending, or, with the reason, for reading only.
func openFile(dir int, base string, create bool) (fd int, readOnly, err error) {
	flags := unix.O_RDWR | unix.O_APPEND
	if create {
		flags |= unix.O_CREAT
	}
	fd, err = openat(dir, base, flags, 0o644)
	if create || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return fd, nil, err
	}
	readOnly = err
	if fd, err = openat(dir, base, unix.O_RDONLY, 0); err != nil {
		return -1, nil, readOnly
	}
	return fd, readOnly, nil
}

// Mkdir implements Dir.
func (d *Directory) Mkdir(name string) error {
	return d.at("mkdir", name, func(dir int, base string) error {
		if err := unix.Mkdirat(dir, base, 0o755); err != nil && err != unix.EEXIST {
			return err
		}
		return nil
	})
}

// ReadDir implements Dir.
func (d *Directory) ReadDir(name string) ([]fs.DirEntry, error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.name(name), Err: explainDir(d.fd, name, err)}
	}
	dir := os.NewFile(uintptr(fd), d.name(name))
	entries, err := dir.ReadDir(-1)
	return entries, errors.Join(err, dir.Close())
}

// Rename implements Dir.
func (d *Directory) Rename(from, to string) error {
	return d.at("rename", from, func(fromDir int, fromBase string) error {
		return d.at("rename", to, func(toDir int, toBase string) error {
			return unix.Renameat(fromDir, fromBase, toDir, toBase)
		})
	})
}

// Remove implements Dir.
func (d *Directory) Remove(name string) error {
	return d.at("remove", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

// RemoveDir implements Dir.
func (d *Directory) RemoveDir(name string) error {
	return d.at("rmdir", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, unix.AT_REMOVEDIR) })
}

// SyncDir implements Dir.
func (d *Directory) SyncDir(name string) error {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: d.name(name), Err: explainDir(d.fd, name, err)}
	}
	defer unix.Close(fd) //nolint:errcheck // only synced
	if _, err := retry(func() (int, error) { return 0, unix.Fsync(fd) }); err != nil && !cannotSync(err) {
		return &SyncError{d.name(name), err}
	}
	return nil
}

// cannotSync reports whether the file system has no sync for directories: names
// are then as safe as it makes them.
func cannotSync(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP)
}

// osFile is a File of a Directory.
type osFile struct {
	dir  *Directory
	name string
	fd   int
	// readOnly is why the file could only be opened for reading; nil if it can be
	// written.
	readOnly error
}

func (f *osFile) Writev(parts [][]byte) (int, error) {
	if f.readOnly != nil {
		return -1, f.readOnly
	}
	var n int
	var err error
	if len(parts) == 1 {
		n, err = retry(func() (int, error) { return unix.Write(f.fd, parts[0]) })
	} else {
		n, err = retry(func() (int, error) { return unix.Writev(f.fd, parts) })
	}
	if err != nil {
		err = explainFile(unix.S_IFREG, err) // of a file that was made immutable since
	}
	return n, err
}

func (f *osFile) End() (int64, error) {
	end, err := unix.Seek(f.fd, 0, io.SeekCurrent)
	if err != nil {
		err = &fs.PathError{Op: "seek", Path: f.dir.name(f.name), Err: err}
	}
	return end, err
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	return retry(func() (int, error) { return unix.Pread(f.fd, p, off) })
}

func (f *osFile) Truncate(size int64) error {
	if f.readOnly != nil {
		return f.readOnly
	}
	_, err := retry(func() (int, error) { return 0, unix.Ftruncate(f.fd, size) })
	return err
}

func (f *osFile) StartWriteback(off, n int64) { startWriteback(f.fd, off, n) }

func (f *osFile) Sync() error {
	if _, err := retry(func() (int, error) { return 0, datasync(f.fd) }); err != nil {
		return &SyncError{f.dir.name(f.name), err}
	}
	return nil
}

func (f *osFile) Stat() (State, error) {
	var open, named unix.Stat_t
	if err := fstat(f.fd, &open); err != nil {
		return State{}, &fs.PathError{Op: "stat", Path: f.dir.name(f.name), Err: err}
	}
	err := fstatat(f.dir.fd, f.name, &named)
	if err != nil && !missing(err) {
		return State{}, &fs.PathError{Op: "stat", Path: f.dir.name(f.name), Err: err}
	}
	return State{
		Size:   open.Size,
		Moved:  err != nil || open.Ino != named.Ino || open.Dev != named.Dev,
		Links:  int(open.Nlink),
		Device: uint64(open.Dev), Inode: open.Ino, //nolint:unconvert // not everywhere of this type

		ReadOnly: f.readOnly,
		Modified: time.Unix(open.Mtim.Unix()),
	}, nil
}

// Close lets the number of the descriptor go: it may be another file's at once,
// and a second close must not end that one.
func (f *osFile) Close() error {
	fd := f.fd
	f.fd = -1
	if err := unix.Close(fd); err != unix.EINTR { // Linux has closed it then
		return err
	}
	return nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
