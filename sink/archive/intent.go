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
	"strconv"
	"sync"
	"time"

	"logforge/codec"
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

// intents is the file of one destination.
type intents struct {
	file *os.File
	mu   sync.Mutex // guards used
	used [slotCount]bool
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
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = makeIntents(name)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errIntents, err)
	}
	in := &intents{file: file}
	text := make([]byte, slotBytes*slotCount)
	if _, err := file.ReadAt(text, 0); err != nil && err != io.EOF {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", errIntents, err), file.Close())
	}
	found := map[int]Part{}
	for i := range slotCount {
		if p, ok := parseSlot(text[i*slotBytes : (i+1)*slotBytes]); ok {
			p.Node = node
			found[i], in.used[i] = p, true
		}
	}
	return in, found, nil
}

// makeIntents makes a file of empty slots. It gets its name when it is whole.
func makeIntents(name string) (*os.File, error) {
	temporary := name + ".tmp"
	file, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(bytes.Repeat(emptySlot, slotCount))
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err == nil {
		err = syncDir(filepath.Dir(name))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(temporary))
	}
	return file, nil
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// add writes the intent to store p and returns its slot, or -1 if all are taken.
func (in *intents) add(p Part) (int, error) {
	for i := range in.used {
		if !in.take(i) {
			continue
		}
		if _, err := in.file.WriteAt(formatSlot(p), int64(i)*slotBytes); err != nil {
			in.drop(i)
			return -1, fmt.Errorf("%w: %w", errIntents, err)
		}
		if err := in.file.Sync(); err != nil {
			in.drop(i)
			return -1, fmt.Errorf("%w: %w", errIntents, err)
		}
		return i, nil
	}
	return -1, nil
}

// drop lets go of a slot. It is emptied without a sync: a power loss can bring
// the intent back, and then its part is stored once more, to no effect.
func (in *intents) drop(slot int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, _ = in.file.WriteAt(emptySlot, int64(slot)*slotBytes) // to no effect if it fails, as above
	in.used[slot] = false
}

func (in *intents) take(slot int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.used[slot]
	in.used[slot] = true
	return !taken
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
