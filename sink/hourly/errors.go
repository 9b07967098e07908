package hourly

import (
	"errors"
	"fmt"

	"logforge/sink"
	"logforge/sink/durable"

	"golang.org/x/sys/unix"
)

// failure is an error of storage as callers get it. It is one of the errors of
// package sink, and an errno (unix.EIO, say), and nothing else: in particular
// not fs.ErrNotExist, which means something to whoever asks for a file.
type failure struct {
	kind  error // sink.ErrDiskFull or sink.ErrStorage
	cause error
}

func (e *failure) Error() string { return fmt.Sprintf("%v: %v", e.kind, e.cause) }
func (e *failure) Unwrap() error { return e.kind }
func (e *failure) Is(target error) bool {
	errno, ok := target.(unix.Errno)
	return ok && errors.Is(e.cause, errno)
}

// fatalError marks an error after which nothing may be written any more.
type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// isFatal reports whether err is final: a failed sync. The kernel may have
// dropped the pages and would call the next sync a success.
func isFatal(err error) bool {
	var failed *durable.SyncError
	var fatal *fatalError
	return errors.As(err, &failed) || errors.As(err, &fatal)
}

// kindOf tells which error of package sink an error of the file system is. No
// room is one of its own, as people look for it; all others may pass as well: a
// file system that was remounted, a server that comes back, rights put right.
func kindOf(err error) error {
	if isDiskFull(err) {
		return sink.ErrDiskFull
	}
	return sink.ErrStorage
}

// isDiskFull reports whether err means that there is no room: no space or no
// inodes left, a quota, or a limit on the file's size.
func isDiskFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// isTooLarge reports whether err means that one file has no room, however much
// there is for others.
func isTooLarge(err error) bool { return errors.Is(err, unix.EFBIG) }

// isOutOfDescriptors reports whether err means that too many files are open, in
// this process or in the system.
func isOutOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// trouble is a failure that may pass, as long as it lasts.
type trouble struct {
	err   *failure
	where *segment // nil: the directory itself
	bytes int64    // that found no room
}

// classify turns an error of the file system into what a caller can decide on,
// and takes note of it: for ever if it is final, else until the same works again.
// f.writing is held.
func (f *Files) classify(err error, where *segment, bytes int64) error {
	var known *failure
	switch {
	case err == nil:
		return nil
	case isFatal(err):
		return f.fail(err)
	case errors.As(err, &known):
		return known
	case errors.Is(err, sink.ErrClosed), errors.Is(err, errUndecided):
		return err
	}
	if e := f.confine(nil, err, where, bytes); e != nil {
		return e
	}
	e := &failure{kindOf(err), err}
	if old := f.trouble.Swap(&trouble{e, where, bytes}); old == nil || old.err.Error() != e.Error() {
		what := "the logs cannot be written: answering 503 until they can be"
		if e.kind == sink.ErrDiskFull {
			what = "no room for the logs: answering 503 until there is"
		}
		f.log.Warn(what, "dir", f.cfg.LogsDir, "err", err)
	}
	return e
}

// fail makes err sticky: nothing is written any more, and Failed is closed.
func (f *Files) fail(err error) error {
	if err := f.Err(); err != nil {
		return err
	}
	final := error(&failure{sink.ErrStorage, fmt.Errorf("failed for good, restart needed: %w", err)})
	if f.sticky.CompareAndSwap(nil, &final) {
		close(f.failed)
	}
	return f.Err()
}

// Failed is closed when the files can no longer be trusted: a sync has failed.
// The process has to exit; a restart recovers.
func (f *Files) Failed() <-chan struct{} { return f.failed }

// Err returns the failure behind Failed, or nil.
func (f *Files) Err() error {
	if err := f.sticky.Load(); err != nil {
		return *err
	}
	return nil
}

// Ready returns nil if a write can be expected to succeed, or why not.
func (f *Files) Ready() error {
	if err := f.Err(); err != nil {
		return err
	}
	if lost := f.lost.Load(); lost != nil {
		return lost
	}
	if t := f.trouble.Load(); t != nil {
		return t.err
	}
	if f.hanging.Load() {
		return errHanging
	}
	return f.readyConfined()
}

var errHanging = &failure{sink.ErrStorage, errors.New("the disk has not answered within a request's time")}
