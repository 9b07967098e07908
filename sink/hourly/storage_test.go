package hourly

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"logforge/codec"
	"logforge/sink"
	"logforge/sink/durable"

	"golang.org/x/sys/unix"
)

// passing are the errors of system calls that may pass, and what they are to a
// caller: the table of docs/errors.md.
var passing = map[unix.Errno]error{
	unix.ENOSPC: sink.ErrDiskFull, unix.EDQUOT: sink.ErrDiskFull, unix.EFBIG: sink.ErrDiskFull,
	unix.EIO: sink.ErrStorage, unix.EROFS: sink.ErrStorage, unix.EACCES: sink.ErrStorage, unix.EPERM: sink.ErrStorage,
	unix.ENOTDIR: sink.ErrStorage, unix.ENOENT: sink.ErrStorage, unix.ELOOP: sink.ErrStorage, unix.EISDIR: sink.ErrStorage,
	unix.ENAMETOOLONG: sink.ErrStorage, unix.ENXIO: sink.ErrStorage, unix.EBUSY: sink.ErrStorage, unix.ETXTBSY: sink.ErrStorage,
	unix.ENOMEM: sink.ErrStorage, unix.EMFILE: sink.ErrStorage, unix.ENFILE: sink.ErrStorage, unix.ENOLCK: sink.ErrStorage,
	unix.ESTALE: sink.ErrStorage, unix.ENODEV: sink.ErrStorage, unix.ENOTCONN: sink.ErrStorage, unix.ETIMEDOUT: sink.ErrStorage,
	unix.EHOSTDOWN: sink.ErrStorage, unix.EHOSTUNREACH: sink.ErrStorage, unix.EREMOTEIO: sink.ErrStorage, unix.EAGAIN: sink.ErrStorage,
	unix.EINVAL: sink.ErrStorage, unix.ENOSYS: sink.ErrStorage, unix.ENOTSUP: sink.ErrStorage, unix.EUCLEAN: sink.ErrStorage,
	unix.ENOMEDIUM: sink.ErrStorage, unix.EKEYEXPIRED: sink.ErrStorage, unix.ENOKEY: sink.ErrStorage,
}

func TestFiles_EveryErrorOfStorageThatMayPassIsTheSinksAndRecoversByItself(t *testing.T) {
	for errno, kind := range passing {
		for _, op := range []string{"open", "create", "write", "mkdir", "opendir"} {
			if op == "opendir" && errno == unix.ENOENT {
				continue // the directory was removed with its files
			}
			d := newMemDisk()
			f := openMem(t, d)
			write(t, f, line(1, 1))
			fault := func(o, _ string) error {
				if o == op {
					return errno
				}
				return nil
			}
			d.fault = fault
			// Another day: everything has to be made for it.
			for range 2 {
				err := f.Write(t.Context(), batch(t, line(1, 2), line(30, 3)), sink.Synced)
				if !errors.Is(err, kind) || !errors.Is(err, errno) {
					t.Fatalf("%s fails with %v: the caller is told %v", op, errno, err)
				}
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrInvalid) {
					t.Fatalf("%s fails with %v: %v is an error of package fs", op, errno, err)
				}
				if err := f.Ready(); !errors.Is(err, kind) {
					t.Fatalf("%s fails with %v: ready says %v", op, errno, err)
				}
				_ = f.tendOnce()
				if err := f.Ready(); !errors.Is(err, kind) {
					t.Fatalf("%s fails with %v, still: ready says %v", op, errno, err)
				}
			}
			d.fault = nil
			if err := f.tendOnce(); err != nil {
				t.Fatalf("%s works again after %v: %v", op, errno, err)
			}
			if err := f.Ready(); err != nil {
				t.Fatalf("%s works again after %v: ready says %v", op, errno, err)
			}
			if f.Err() != nil {
				t.Fatalf("%s failed with %v, which is final: %v", op, errno, f.Err())
			}
			write(t, f, line(30, 4))
			lost := d.powerLoss(nil)
			if got := contents(t, lost, day0(30)); strings.Count(got, line(30, 4)) != 1 {
				t.Fatalf("after %s failed with %v the hour holds %q", op, errno, got)
			}
		}
	}
}

// A client that asks for synced and gets an error sends the same again: as long as
// nothing can be confirmed, nothing more is written.
func TestFiles_ABatchThatIsRetriedWhileSyncsFailIsStoredOnceNotEachTime(t *testing.T) {
	d := newMemDisk()
	f := openMem(t, d)
	write(t, f, line(1, 1))
	d.fault = func(op, _ string) error {
		if op == "opendir" {
			return unix.EACCES
		}
		return nil
	}
	for i := range 5 {
		// The first one is written before its sync fails, and says so.
		if err := f.Write(t.Context(), batch(t, line(30, 2)), sink.Synced); !errors.Is(err, unix.EACCES) || errors.Is(err, sink.ErrUnsynced) != (i == 0) {
			t.Fatal(err)
		}
	}
	if err := f.Write(t.Context(), batch(t, line(30, 3)), sink.Written); err != nil {
		t.Fatalf("written asks for no sync: %v", err)
	}
	d.fault = nil
	if err := f.Write(t.Context(), batch(t, line(30, 4)), sink.Synced); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, d, day0(30)); got != line(30, 2)+line(30, 3)+line(30, 4) {
		t.Fatalf("the hour holds %q", got)
	}
}

// The document names each of them, in the row of its answer.
func TestFiles_TheErrorsOfStorageAreThoseOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for errno, kind := range passing {
		want := "`storage`"
		if kind == sink.ErrDiskFull {
			want = "`disk_full`"
		}
		row := ""
		for l := range strings.Lines(string(text)) {
			if strings.Contains(l, "`"+unix.ErrnoName(errno)+"`") {
				row = l
			}
		}
		if !strings.Contains(row, want) {
			t.Errorf("%s is %v; the document says %q", unix.ErrnoName(errno), kind, row)
		}
	}
}

func TestFiles_AFailedSyncOfANameIsFinalAlsoInACompaction(t *testing.T) {
	for what, step := range map[string]func(f *Files) error{
		"a new file": func(f *Files) error {
			return f.Write(context.Background(), batch(t, line(2, 2)), sink.Synced)
		},
		"the journal": func(f *Files) error {
			f.writing.Lock()
			defer f.writing.Unlock()
			return f.classify(f.compact(), nil, 0)
		},
	} {
		d := newMemDisk()
		f := openMem(t, d)
		write(t, f, line(1, 1))
		d.fault = func(op, _ string) error {
			if op == "syncdir" {
				return unix.EIO
			}
			return nil
		}
		if err := step(f); !errors.Is(err, unix.EIO) || !errors.Is(err, sink.ErrStorage) {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-f.Failed():
		default:
			t.Fatalf("%s: not final", what)
		}
	}
}

// A write or a sync that hangs keeps nobody longer than its context allows, and
// nobody's memory is used again before the disk has let go of it.
func TestFiles_WriteObeysItsContextWhileTheDiskHangs(t *testing.T) {
	for _, op := range []string{"write", "sync"} {
		d := newMemDisk()
		f := openMem(t, d)
		write(t, f, line(1, 1))
		hang, hanging := make(chan struct{}), make(chan struct{}, 100)
		slow := &slowDisk{memDisk: d, op: op, hang: hang, hanging: hanging}
		f.writing.Lock()
		for _, s := range f.open {
			s.file.File = slowFile{s.file.File, slow}
		}
		f.writing.Unlock()

		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				b := codec.GetBatch()
				defer codec.PutBatch(b)
				if err := b.Decode([]byte(line(1, 10+i)), codec.NDJSON, codec.Limits{}); err != nil {
					t.Error(err)
				}
				if err := f.Write(ctx, b, sink.Synced); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s hangs: %v", op, err)
				}
			})
		}
		<-hanging
		wg.Wait() // the disk still hangs
		cancel()
		if err := f.Ready(); !errors.Is(err, sink.ErrStorage) {
			t.Errorf("%s hangs: ready says %v", op, err)
		}
		if len(f.visible()) != 1 {
			t.Errorf("%s hangs, and so do readers", op)
		}
		close(hang)
		write(t, f, line(1, 2))
		if err := f.tendOnce(); err != nil {
			t.Fatal(err)
		}
		if err := f.Ready(); err != nil {
			t.Errorf("after %s has hung: %v", op, err)
		}
		text := contents(t, d, day0(1))
		for l := range strings.Lines(text) {
			if strings.Count(text, l) != 1 || !strings.HasSuffix(l, "}\n") {
				t.Fatalf("%s has hung: the file holds %q", op, text)
			}
		}
		if !strings.HasSuffix(text, line(1, 2)) {
			t.Fatalf("%s has hung: the file holds %q", op, text)
		}
	}
}

// visible returns the hours as readers that do not sync see them.
func (f *Files) visible() []Extent {
	f.mu.Lock()
	defer f.mu.Unlock()
	var extents []Extent
	for _, s := range f.segments {
		extents = append(extents, s.extent())
	}
	return extents
}

// slowDisk makes one operation hang until hang is closed.
type slowDisk struct {
	*memDisk
	op      string
	hang    <-chan struct{}
	hanging chan<- struct{}
}

func (d *slowDisk) wait(op string) {
	if op == d.op {
		select {
		case d.hanging <- struct{}{}:
		default:
		}
		<-d.hang
	}
}

type slowFile struct {
	durable.File
	disk *slowDisk
}

func (f slowFile) Writev(parts [][]byte) (int, error) {
	f.disk.wait("write")
	return f.File.Writev(parts)
}

func (f slowFile) Sync() error {
	f.disk.wait("sync")
	return f.File.Sync()
}
