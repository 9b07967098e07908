package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"logforge/sink/durable"

	"golang.org/x/sys/unix"
)

// memDisk is a file system in memory that knows what was synced and what was
// not. Power loss gives another one, without what was not; fault makes any
// operation fail.
type memDisk struct {
	mu      sync.Mutex
	names   map[string]*inode // as a process sees them
	durable map[string]*inode // as the disk has them
	locked  map[string]bool

	// fault is asked before each operation (open, write, sync, truncate,
	// rename, remove, rmdir, mkdir, syncdir). A write that fails with errShort
	// writes half first.
	fault func(op, name string) error
	ops   int
}

type inode struct {
	dir      bool
	data     []byte
	synced   []byte
	modified time.Time
}

var errShort = errors.New("half of it")

func newMemDisk() *memDisk {
	root := &inode{dir: true}
	return &memDisk{
		names:   map[string]*inode{".": root, "/": root},
		durable: map[string]*inode{".": root, "/": root},
		locked:  map[string]bool{},
	}
}

func (d *memDisk) check(op, name string) error {
	d.ops++
	if d.fault == nil {
		return nil
	}
	return d.fault(op, name)
}

// memRoot is a directory of a memDisk.
type memRoot struct {
	disk *memDisk
	dir  string
	node *inode
}

func (d *memDisk) attach(dir string) (root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir = filepath.Clean(dir)
	if d.locked[dir] {
		return nil, durable.ErrInUse
	}
	if d.names[dir] == nil {
		if err := d.check("mkdir", dir); err != nil {
			return nil, err
		}
		d.names[dir] = &inode{dir: true}
	}
	if err := d.syncDirLocked(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	d.locked[dir] = true
	return &memRoot{d, dir, d.names[dir]}, nil
}

func (r *memRoot) path(name string) string { return filepath.Join(r.dir, name) }

// gone reports whether the directory was moved or removed: nothing is found in it.
func (r *memRoot) gone() bool { return r.disk.names[r.dir] != r.node }

func (r *memRoot) Check() error {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	if r.gone() {
		return durable.ErrMoved
	}
	return nil
}

func (r *memRoot) Close() error {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	r.disk.locked[r.dir] = false
	return nil
}

func (r *memRoot) Open(name string, create bool) (durable.File, error) {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	name = r.path(name)
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	n := d.names[name]
	if r.gone() {
		n, create = nil, false
	}
	if n == nil && create && d.names[filepath.Dir(name)] != nil {
		if err := d.check("create", name); err != nil {
			return nil, err
		}
		n = &inode{}
		d.names[name] = n
	}
	if n == nil || n.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}
	}
	return &memFile{disk: d, node: n, name: name}, nil
}

func (r *memRoot) Mkdir(name string) error {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	name = r.path(name)
	if err := d.check("mkdir", name); err != nil {
		return err
	}
	if r.gone() {
		return unix.ENOENT
	}
	if d.names[name] == nil {
		d.names[name] = &inode{dir: true}
	}
	return nil
}

func (r *memRoot) ReadDir(name string) ([]fs.DirEntry, error) {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	name = r.path(name)
	if d.names[name] == nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: unix.ENOENT}
	}
	var entries []fs.DirEntry
	for n, i := range d.names {
		if n != "." && n != "/" && filepath.Dir(n) == name {
			entries = append(entries, memEntry{filepath.Base(n), i.dir})
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

func (r *memRoot) Rename(from, to string) error {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	from, to = r.path(from), r.path(to)
	if err := d.check("rename", to); err != nil {
		return err
	}
	if d.names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: unix.ENOENT}
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (r *memRoot) Remove(name string) error {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	name = r.path(name)
	if err := d.check("remove", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: unix.ENOENT}
	}
	delete(d.names, name)
	return nil
}

func (r *memRoot) RemoveDir(name string) error {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	name = r.path(name)
	if err := d.check("rmdir", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &fs.PathError{Op: "rmdir", Path: name, Err: unix.ENOENT}
	}
	for n := range d.names {
		if filepath.Dir(n) == name {
			return &fs.PathError{Op: "rmdir", Path: name, Err: unix.ENOTEMPTY}
		}
	}
	delete(d.names, name)
	return nil
}

func (r *memRoot) SyncDir(dir string) error {
	r.disk.mu.Lock()
	defer r.disk.mu.Unlock()
	return r.disk.syncDirLocked(r.path(dir))
}

func (d *memDisk) syncDirLocked(dir string) error {
	dir = filepath.Clean(dir)
	if d.names[dir] == nil {
		return &fs.PathError{Op: "open", Path: dir, Err: unix.ENOENT}
	}
	if err := d.check("opendir", dir); err != nil {
		return err
	}
	if err := d.check("syncdir", dir); err != nil {
		return &durable.SyncError{Name: dir, Err: err}
	}
	for n := range d.durable {
		if n != "." && n != "/" && filepath.Dir(n) == dir {
			delete(d.durable, n)
		}
	}
	for n, i := range d.names {
		if filepath.Dir(n) == dir {
			d.durable[n] = i
		}
	}
	return nil
}

// killed returns the disk as the next process finds it after kill -9: all of it.
func (d *memDisk) killed() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newMemDisk()
	copies := map[*inode]*inode{}
	clone := func(i *inode) *inode {
		if copies[i] == nil {
			copies[i] = &inode{i.dir, bytes.Clone(i.data), bytes.Clone(i.synced), i.modified}
		}
		return copies[i]
	}
	for n, i := range d.names {
		next.names[n] = clone(i)
	}
	for n, i := range d.durable {
		next.durable[n] = clone(i)
	}
	return next
}

type memEntry struct {
	name string
	dir  bool
}

func (e memEntry) Name() string { return e.name }
func (e memEntry) IsDir() bool  { return e.dir }
func (e memEntry) Type() fs.FileMode {
	if e.dir {
		return fs.ModeDir
	}
	return 0
}
func (e memEntry) Info() (fs.FileInfo, error) { return nil, errors.New("not asked for") }

type memFile struct {
	disk *memDisk
	node *inode
	name string
	end  int64 // of the last write
}

func (f *memFile) Writev(parts [][]byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	all := bytes.Join(parts, nil)
	err := f.disk.check("write", f.name)
	switch {
	case errors.Is(err, errShort):
		all = all[:(len(all)+1)/2]
	case err != nil:
		return -1, err
	}
	f.node.data = append(f.node.data, all...)
	f.end = int64(len(f.node.data))
	f.node.modified = time.Now()
	return len(all), nil
}

func (f *memFile) End() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("seek", f.name); err != nil && !errors.Is(err, errShort) {
		return 0, err
	}
	return f.end, nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("read", f.name); err != nil && !errors.Is(err, errShort) {
		return -1, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, nil
	}
	return copy(p, f.node.data[off:]), nil
}

// StartWriteback does nothing: what it has put on disk may be lost as well.
func (f *memFile) StartWriteback(off, n int64) {}

func (f *memFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("truncate", f.name); err != nil {
		return err
	}
	if more := size - int64(len(f.node.data)); more > 0 {
		if !strings.HasSuffix(f.name, probeName) {
			return fmt.Errorf("truncate makes %s longer", f.name)
		}
		f.node.data = append(f.node.data, make([]byte, more)...)
	}
	f.node.data = bytes.Clone(f.node.data[:size])
	return nil
}

func (f *memFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("sync", f.name); err != nil {
		return &durable.SyncError{Name: f.name, Err: err}
	}
	f.node.synced = bytes.Clone(f.node.data)
	return nil
}

func (f *memFile) Stat() (durable.State, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	links := 0
	for _, i := range f.disk.names {
		if i == f.node {
			links++
		}
	}
	return durable.State{Size: int64(len(f.node.data)), Moved: f.disk.names[f.name] != f.node, Links: links, Inode: uint64(uintptr(unsafe.Pointer(f.node))), Modified: f.node.modified}, nil
}

func (f *memFile) Close() error { return nil }
