package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Errors that pass only when a person acts say what there is to do.

// ErrNotRegular means that there is something other than a regular file.
var ErrNotRegular = errors.New("not a regular file")

// explainDir adds to err what is in the place of the directory name of parent,
// and what to do about it.
func explainDir(parent int, name string, err error) error {
	var st unix.Stat_t
	switch failed := fstatat(parent, name, &st); {
	case errors.Is(err, fs.ErrPermission):
		return permission(err)
	case failed != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("%w: it is a symbolic link, and links are not followed; put a directory in its place, or mount there what it leads to (mount --bind)", err)
	}
	return fmt.Errorf("%w: it is a %s, where a directory belongs; move it away", err, kindOf(st.Mode))
}

// explainFile does so for what is in the place of a regular file.
func explainFile(mode uint32, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return permission(err)
	case errors.Is(err, ErrNotRegular):
		return fmt.Errorf("%w: it is a %s, where a file belongs; move it away", err, kindOf(mode))
	}
	return err
}

func permission(err error) error {
	return fmt.Errorf("%w: give user %d the right to read and write it (chown, chmod), or, where lsattr shows an i, take that attribute away (chattr -i)", err, os.Geteuid())
}

// kindOf names what a mode says.
func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFREG:
		return "regular file"
	}
	return "device"
}

func fstat(fd int, st *unix.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, unix.Fstat(fd, st) })
	return err
}

// fstatat does not follow a link that is the last part of name.
func fstatat(dir int, name string, st *unix.Stat_t) error {
	_, err := retry(func() (int, error) { return 0, unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW) })
	return err
}
