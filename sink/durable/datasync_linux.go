package durable

import "golang.org/x/sys/unix"

// datasync puts data and size on disk, without the times.
func datasync(fd int) error { return unix.Fdatasync(fd) }
