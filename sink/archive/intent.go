package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// The file of intents: slots of slotBytes, each empty or one line
//
//	CRC32C {"hour":"2026-02-09T15","generation":1,"from":0,"to":180000}
//
// with blanks up to its end, readable with cat. A slot is written in place, and
// synced, before its part is stored. It is emptied when the destination has the
// part, or when the part cannot come any more; a slot that a crash left half
// written is therefore an intent of which nothing has been stored, and counts as
// empty.
const (
	slotBytes = 512 // a sector: written whole or not at all by most disks
	slotCount = 64
)

// errIntents is an error of the local disk and not of the destination.
var errIntents = errors.New("file of intents in storage.logsDir")

// intents is the file of one destination. One that was removed, moved, shortened
// or replaced is made again, with the parts that are under way, before the next
// one is written to it; so is one that could not be synced.
type intents struct {
	name    string
	damaged bool // of the caller of add

	mu    sync.Mutex // guards file and parts; never held while the disk syncs
	file  *os.File
	parts [slotCount]*Part // under way; nil where the slot is empty
}

type intentLine struct {
	Hour       string `json:"hour"`
	Generation uint64 `json:"generation"`
	From       int64  `json:"from"`
	To         int64  `json:"to"`
}

var emptySlot = append(bytes.Repeat([]byte{' '}, slotBytes-1), '\n')

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openIntents opens the file, makes it where it is missing, and returns the
// parts that were under way, by slot.
func openIntents(name, node string) (*intents, map[int]Part, error) {
	in := &intents{name: name}
	file, err := durable.OpenRegularToWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = in.make()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIntents, err)
	}
	in.file = file
	text := make([]byte, slotBytes*slotCount)
	if _, err := file.ReadAt(text, 0); err != nil && err != io.EOF {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", errIntents, err), file.Close())
	}
	found := map[int]Part{}
	for i := range slotCount {
		if p, ok := parseSlot(text[i*slotBytes : (i+1)*slotBytes]); ok {
			p.Node = node
			found[i], in.parts[i] = p, &p
		}
	}
	return in, found, nil
}

// make makes the file, with the parts that are under way, in the place of the one
// that may be there, and opens it.
func (in *intents) make() (*os.File, error) {
	dir, err := durable.OpenDir(filepath.Dir(in.name))
	if err != nil {
		return nil, err
	}
	in.mu.Lock()
	parts := in.parts
	in.mu.Unlock()
	err = durable.WriteFile(dir, filepath.Base(in.name), func(w io.Writer) error {
		for _, p := range parts {
			slot := emptySlot
			if p != nil {
				slot = formatSlot(*p)
			}
			if _, err := w.Write(slot); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	return durable.OpenRegularToWrite(in.name)
}

// isInPlace reports whether the file is the one that has its name, and as long as
// it was made.
func (in *intents) isInPlace() bool {
	open, err := in.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(in.name)
	return err == nil && os.SameFile(open, named) && named.Size() >= slotBytes*slotCount
}

// restore makes the file again where it is not what the next start would find.
func (in *intents) restore() error {
	if !in.damaged && in.isInPlace() {
		return nil
	}
	file, err := in.make()
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	_ = in.file.Close() // nobody finds it any more
	in.file, in.damaged = file, false
	for i, p := range in.parts {
		if p == nil { // perhaps since the file was begun
			_, _ = file.WriteAt(emptySlot, int64(i)*slotBytes)
		}
	}
	return nil
}

// add writes the intent to store p and returns its slot, or -1 if all are taken.
// One goroutine calls it.
func (in *intents) add(p Part) (int, error) {
	in.mu.Lock()
	slot := slices.Index(in.parts[:], nil)
	in.mu.Unlock()
	if slot < 0 {
		return -1, nil
	}
	err := in.restore()
	if err == nil {
		_, err = in.file.WriteAt(formatSlot(p), int64(slot)*slotBytes)
	}
	if err == nil {
		// The kernel may have dropped what it could not write: all of it is written
		// to another file before anything relies on it.
		err = in.file.Sync()
		in.damaged = err != nil
	}
	if err != nil {
		in.drop(slot)
		return -1, fmt.Errorf("%w: %w", errIntents, err)
	}
	in.mu.Lock()
	in.parts[slot] = &p
	in.mu.Unlock()
	return slot, nil
}

// drop lets go of a slot. It is emptied without a sync: a power loss can bring
// the intent back, and then its part is stored once more, to no effect.
func (in *intents) drop(slot int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, _ = in.file.WriteAt(emptySlot, int64(slot)*slotBytes) // to no effect if it fails, as above
	in.parts[slot] = nil
}

func (in *intents) Close() error { return in.file.Close() }

func formatSlot(p Part) []byte {
	line, _ := json.Marshal(intentLine{p.Hour.String(), p.Generation, p.From, p.To}) // strings and numbers: cannot fail
	slot := bytes.Repeat([]byte{' '}, slotBytes)
	copy(slot, fmt.Sprintf("%08x %s", crc32.Checksum(line, castagnoli), line))
	slot[slotBytes-1] = '\n'
	return slot
}

func parseSlot(slot []byte) (p Part, ok bool) {
	sum, line, ok := bytes.Cut(bytes.TrimSpace(slot), []byte{' '})
	if !ok {
		return p, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.Checksum(line, castagnoli) {
		return p, false
	}
	var l intentLine
	if err := json.Unmarshal(line, &l); err != nil {
		return p, false
	}
	hour, err := time.Parse("2006-01-02T15", l.Hour)
	return Part{Hour: codec.HourOf(hour), Generation: l.Generation, From: l.From, To: l.To}, err == nil && l.From < l.To
}
