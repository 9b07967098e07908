package durable

import "golang.org/x/sys/unix"

// datasync puts data and size on disk, without the times.
func datasync(fd int) error { return unix.Fdatasync(fd) }

// startWriteback has pages written without waiting for them. Its error is of no
// use: without the flags that wait, sync_file_range leaves what failed to be
// reported by the next fdatasync.
func startWriteback(fd int, off, n int64) {
	_ = unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
}
