package hourly

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"slices"
)

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
		c := &inode{i.dir, data, bytes.Clone(data), i.modified}
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
