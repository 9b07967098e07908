package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

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
	full    bool

	// fault is asked before each operation (open, write, sync, truncate,
	// rename, remove, mkdir, syncdir). A write that fails with errShort
	// writes half first.
	fault func(op, name string) error
	ops   int
}

type inode struct {
	dir    bool
	data   []byte
	synced []byte
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

func (d *memDisk) open(name string, create bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	n := d.names[name]
	if n == nil && create && d.names[filepath.Dir(name)] != nil {
		n = &inode{}
		d.names[name] = n
	}
	if n == nil || n.dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOENT}
	}
	return &memFile{d, n, name}, nil
}

func (d *memDisk) mkdir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if err := d.check("mkdir", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		d.names[name] = &inode{dir: true}
	}
	return nil
}

func (d *memDisk) readDir(name string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
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

func (d *memDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	if err := d.check("rename", to); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return nil
}

func (d *memDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = filepath.Clean(name)
	if err := d.check("remove", name); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: unix.ENOENT}
	}
	delete(d.names, name)
	return nil
}

func (d *memDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir = filepath.Clean(dir)
	if err := d.check("syncdir", dir); err != nil {
		return err
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

func (d *memDisk) lock(name string) (func() error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked[name] {
		return nil, errors.New("locked")
	}
	d.locked[name] = true
	return func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.locked[name] = false
		return nil
	}, nil
}

func (d *memDisk) room(string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.full
}

// killed returns the disk as the next process finds it after kill -9: all of it.
func (d *memDisk) killed() *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newMemDisk()
	copies := map[*inode]*inode{}
	clone := func(i *inode) *inode {
		if copies[i] == nil {
			copies[i] = &inode{i.dir, bytes.Clone(i.data), bytes.Clone(i.synced)}
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

// powerLoss returns the disk as it is after the machine went down: what was
// synced, and of the rest whatever r decides: unsynced data may be missing, cut
// anywhere, or NUL; an unsynced directory entry may be there or not. Without r
// nothing survives that was not synced.
func (d *memDisk) powerLoss(r *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := map[string]*inode{}
	for n, i := range d.durable {
		kept[n] = i
	}
	all := map[string]bool{}
	for n := range d.names {
		all[n] = true
	}
	for n := range d.durable {
		all[n] = true
	}
	for _, n := range slices.Sorted(func(yield func(string) bool) {
		for n := range all {
			if !yield(n) {
				return
			}
		}
	}) {
		if d.names[n] != d.durable[n] && r != nil && r.IntN(2) == 0 {
			if kept[n] = d.names[n]; kept[n] == nil {
				delete(kept, n)
			}
		}
	}
	next := newMemDisk()
	for n, i := range kept {
		if n == "." || n == "/" {
			continue
		}
		reachable := true
		for dir := filepath.Dir(n); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
			reachable = reachable && kept[dir] != nil
		}
		if !reachable {
			continue
		}
		data := surviving(i, r)
		c := &inode{i.dir, data, bytes.Clone(data)}
		next.names[n], next.durable[n] = c, c
	}
	return next
}

func surviving(i *inode, r *rand.Rand) []byte {
	if r == nil {
		return bytes.Clone(i.synced)
	}
	if bytes.HasPrefix(i.data, i.synced) {
		rest := i.data[len(i.synced):]
		data := append(bytes.Clone(i.synced), rest[:r.IntN(len(rest)+1)]...)
		if n := len(data) - len(i.synced); n > 0 && r.IntN(3) == 0 {
			from := len(i.synced) + r.IntN(n)
			clear(data[from : from+r.IntN(len(data)-from)+1])
		}
		return data
	}
	// A truncation that was not synced.
	if r.IntN(2) == 0 {
		return bytes.Clone(i.synced)
	}
	return bytes.Clone(i.data)
}

type memEntry struct {
	name string
	dir  bool
}

func (e memEntry) Name() string               { return e.name }
func (e memEntry) IsDir() bool                { return e.dir }
func (e memEntry) Type() fs.FileMode          { return 0 }
func (e memEntry) Info() (fs.FileInfo, error) { return nil, errors.New("not asked for") }

type memFile struct {
	disk *memDisk
	node *inode
	name string
}

func (f *memFile) writev(parts [][]byte) (int, error) {
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
	return len(all), nil
}

func (f *memFile) readAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, nil
	}
	return copy(p, f.node.data[off:]), nil
}

func (f *memFile) truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("truncate", f.name); err != nil {
		return err
	}
	if size > int64(len(f.node.data)) {
		return fmt.Errorf("truncate makes %s longer", f.name)
	}
	f.node.data = bytes.Clone(f.node.data[:size])
	return nil
}

func (f *memFile) sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.check("sync", f.name); err != nil {
		return err
	}
	f.node.synced = bytes.Clone(f.node.data)
	return nil
}

func (f *memFile) stat() (fileState, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return fileState{int64(len(f.node.data)), f.disk.names[f.name] != f.node}, nil
}

func (f *memFile) close() error { return nil }
