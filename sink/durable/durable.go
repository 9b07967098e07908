package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is a directory and what is below it. Names are relative to it. *Directory
// is the real one; tests put one that fails, or that forgets what was not synced.
type Dir interface {
	// Open opens a regular file for reading and appending. With create it makes
	// the file if it is not there. Without, one that may only be read is opened
	// as well: State.ReadOnly says why.
	Open(name string, create bool) (File, error)
	// Mkdir makes one directory; nil if it is there already.
	Mkdir(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Rename(from, to string) error
	Remove(name string) error
	// RemoveDir removes a directory that is empty; one that is not is an error.
	RemoveDir(name string) error
	// SyncDir puts the names in a directory on disk.
	SyncDir(name string) error
}

// File is one open file. Writes go to its end.
type File interface {
	// Writev writes parts one after another, perhaps not all of them, and
	// returns the number of bytes written.
	Writev(parts [][]byte) (int, error)
	// End returns where the last write through this File ended. It tells whether
	// somebody else has changed the file before that write, without a moment
	// between: the write then began elsewhere than where the one before ended.
	End() (int64, error)
	// ReadAt returns 0 and no error at the end of the file.
	ReadAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// StartWriteback has the kernel begin to put n bytes from off on disk, and
	// does not wait for it. It promises nothing: the next Sync waits for what is
	// not there yet, and reports what failed.
	StartWriteback(off, n int64)
	// Sync puts data and size on disk, not the file's name. A failure is a
	// SyncError.
	Sync() error
	Stat() (State, error)
	Close() error
}

// State is what is checked of an open file now and then.
type State struct {
	Size  int64
	Moved bool // its name leads elsewhere, or nowhere
	Links int  // names that it has anywhere
	// Device and Inode tell the file from every other.
	Device, Inode uint64
	// ReadOnly is why the file can only be read; nil if it can be written.
	ReadOnly error
	// Modified is when its bytes were last changed, by the clock of the file system.
	Modified time.Time
}

// SyncError is a failed sync. It is final: see the package comment.
type SyncError struct {
	Name string
	Err  error
}

func (e *SyncError) Error() string { return fmt.Sprintf("sync %s: %v", e.Name, e.Err) }
func (e *SyncError) Unwrap() error { return e.Err }

// temporary returns the name under which the new content of name is written.
func temporary(name string) string {
	dir, base := filepath.Split(name)
	return dir + "." + base + ".tmp"
}

// WriteFile makes what write writes the content of name, in d. When it returns
// nil the new content is on disk under that name; after an error, or a crash, it
// is the old or the new one. Its directory has to be there.
func WriteFile(d Dir, name string, write func(io.Writer) error) error {
	if err := Replace(d, name, write); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(name))
}

// Replace is WriteFile without the sync of the directory, for those who replace
// many files in it and then sync it once. A crash before that sync leaves the
// old content or the new.
func Replace(d Dir, name string, write func(io.Writer) error) (err error) {
	temp := temporary(name)
	// A crash may have left one.
	if err := d.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := d.Open(temp, true)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = d.Remove(temp) // the next call tries again
		}
	}()
	buf := bufio.NewWriterSize(Writer(file), 64<<10)
	if err = write(buf); err == nil {
		err = buf.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return d.Rename(temp, name)
}

// Writer returns a writer that appends to file.
func Writer(file File) io.Writer { return appender{file} }

type appender struct{ file File }

func (a appender) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n, err := a.file.Writev([][]byte{p})
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

// Reader returns a reader of what file holds from off on.
func Reader(file File, off int64) io.Reader { return &reader{file, off} }

type reader struct {
	file File
	off  int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.file.ReadAt(p, r.off)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	r.off += int64(max(n, 0))
	return max(n, 0), err
}

// MkdirAll makes dir and the parents that it lacks, and puts their names on
// disk. It syncs dir's name also where dir was there: the process that made it
// may have been killed before that.
func MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if parent != dir {
			if err := MkdirAll(parent); err != nil {
				return err
			}
		}
		if err = os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	} else if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: dir, Err: errNotDir}
	}
	if err != nil {
		return err
	}
	if err := SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err // a parent that we may not read was not made by us
	}
	return nil
}

// OpenRegular opens a file to read it, and nothing else: to open a pipe waits for a
// writer, a device may hold anything, and a link leads where the program does not
// write. The error is ErrNotRegular, wrapped, for those.
func OpenRegular(name string) (*os.File, error) { return openRegular(name, os.O_RDONLY) }

// OpenRegularToWrite is OpenRegular for a file that is also written to in place.
func OpenRegularToWrite(name string) (*os.File, error) { return openRegular(name, os.O_RDWR) }

func openRegular(name string, access int) (*os.File, error) {
	file, err := os.OpenFile(name, access|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link, a socket
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// SyncDir puts the names in the directory on disk. A failure of the sync itself,
// and nothing else, is a SyncError.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	if err := d.Sync(); err != nil && !cannotSync(err) {
		return &SyncError{dir, errors.Unwrap(err)}
	}
	return nil
}
