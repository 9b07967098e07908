package hourly

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"time"

	"logforge/codec"
	"logforge/sink/durable"
)

// The journal is one append-only file of lines, each the CRC-32C of an entry in
// eight hexadecimal digits, a space, and the entry as JSON:
//
//	5f1c2a90 {"kind":"floor","files":{"2026-02-09T15":1042}}
//
// It answers one question after a crash: up to where is each file good?
//
//	floor     files are good at least up to here; whole lines behind count too
//	          (pipeline 1: a line is acknowledged before it is on disk)
//	open      files are good exactly up to here; what is behind was never
//	          decided (pipeline 2), until an entry below says otherwise
//	prepare   transaction tx has put files on disk up to here, with its position;
//	          until it is decided nothing of it counts
//	decide    the transaction counts
//	rollback  the transaction does not count, and never will
//	position  the position of the last transaction decided, kept when the
//	          journal is written anew
//	hours     the generation of every hour that has a file, and the largest
//	          ever given; kept when the journal is written anew
//	compressed
//	          hours with a compressed part; before the swap that makes one it
//	          says what that will be, and afterwards that the other file is gone
//
// floor and open name generations as well, of the files that they name. A floor
// of 0 with generation 0 says that the hour's file was removed.
//
// Entries are synced where the order matters: floor and open before the first
// append to a file, prepare before the commit elsewhere, rollback before the
// truncation. decide need not be: without it recovery asks again.
//
// An entry also says how much of the journal before it was on disk. Damage
// behind that point is what a crash leaves, and is cut off; damage before it is
// a broken disk, and stops the start.
type journal struct {
	dir   durable.Dir
	file  durable.File // nil if it could not be made yet
	size  int64        // whole entries
	sure  int64        // on disk up to here
	kept  int64        // size after it was last written anew
	end   int64        // of the file: above size while half an entry could not be cut off
	named bool         // its name is on disk
	found time.Time    // when what openJournal found was written to; zero: there was none
}

// large reports whether the journal should be written anew.
func (j *journal) large() bool { return j.size > max(compactBytes, 2*j.kept) }

type entry struct {
	Kind     string                `json:"kind"`
	Tx       string                `json:"tx,omitempty"`
	Position position              `json:"position,omitempty"`
	Sure     int64                 `json:"sure,omitempty"` // the journal was on disk up to this byte
	Newest   uint64                `json:"newest,omitempty"`
	Files    map[codec.Hour]int64  `json:"-"`
	Hours    map[codec.Hour]stream `json:"-"`
}

// stream is which stream of its hour a file holds; see segment.
type stream struct {
	Generation uint64 `json:"generation"`
	Base       int64  `json:"base,omitempty"`
	// Length is how much of the file was on disk when the journal was written
	// anew, and Tail a checksum of the last bytes of that: by them a file that
	// was shortened or replaced while no process ran is told.
	Length int64  `json:"length,omitempty"`
	Tail   uint32 `json:"tail,omitempty"`
	// Compressed is the part of the hour in HH.log.json.zst, which ends at Base. Next
	// is what a swap that has begun makes of it. After a crash either may be the file
	// that is there.
	Compressed *compressed `json:"compressed,omitempty"`
	Next       *compressed `json:"next,omitempty"`
}

// position is what a transaction comes with. A JSON object is in the journal
// as it is, for whoever reads it; anything else, and what versions before this one
// wrote, in base64.
type position []byte

// MarshalJSON implements json.Marshaler.
func (p position) MarshalJSON() ([]byte, error) {
	if bytes.HasPrefix(p, []byte{'{'}) && json.Valid(p) {
		return p, nil
	}
	return json.Marshal([]byte(p))
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *position) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte{'{'}) {
		*p = bytes.Clone(b)
		return nil
	}
	return json.Unmarshal(b, (*[]byte)(p))
}

const (
	kindFloor    = "floor"
	kindOpen     = "open"
	kindPrepare  = "prepare"
	kindDecide   = "decide"
	kindRollback = "rollback"
	kindPosition = "position"
	kindHours    = "hours"

	kindCompressed = "compressed"
)

// compactBytes is the size from which the journal is written anew, unless that
// would not halve it.
const compactBytes = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// line returns the entry as it is in the journal.
func (e entry) line() []byte {
	body, err := json.Marshal(struct {
		entry
		Files map[string]int64  `json:"files,omitempty"`
		Hours map[string]stream `json:"hours,omitempty"`
	}{e, named(e.Files), named(e.Hours)})
	if err != nil {
		panic(err) // strings, integers and bytes: cannot fail
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(body, castagnoli), body)
}

func named[T any](hours map[codec.Hour]T) map[string]T {
	names := make(map[string]T, len(hours))
	for h, v := range hours {
		names[h.String()] = v
	}
	return names
}

func parseNamed[T any](names map[string]T) (map[codec.Hour]T, error) {
	hours := make(map[codec.Hour]T, len(names))
	for name, v := range names {
		h, err := codec.ParseHour(name)
		if err != nil {
			return nil, err
		}
		hours[h] = v
	}
	return hours, nil
}

// parseEntry reads one line, without its end. It reports false for anything
// that line did not write.
func parseEntry(line []byte) (entry, bool) {
	if len(line) < 10 || line[8] != ' ' {
		return entry{}, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	body := line[9:]
	if err != nil || uint32(sum) != crc32.Checksum(body, castagnoli) {
		return entry{}, false
	}
	var e struct {
		entry
		Files map[string]int64  `json:"files"`
		Hours map[string]stream `json:"hours"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return entry{}, false
	}
	if e.entry.Files, err = parseNamed(e.Files); err != nil {
		return entry{}, false
	}
	if e.entry.Hours, err = parseNamed(e.Hours); err != nil {
		return entry{}, false
	}
	return e.entry, true
}

// usable reports whether there is a journal that entries can be added to.
func (j *journal) usable() bool { return j.file != nil }

// moved reports whether the journal's name leads elsewhere.
func (j *journal) moved() bool {
	if j.file == nil {
		return false
	}
	st, err := j.file.Stat()
	return err == nil && st.Moved
}

// add appends e. With durably it returns once e is on disk.
func (j *journal) add(e entry, durably bool) error {
	if j.file == nil {
		return errNoJournal
	}
	if err := j.cut(); err != nil {
		return err
	}
	e.Sure = j.sure
	line := e.line()
	n, err := durable.Writer(j.file).Write(line)
	j.end += int64(n)
	if err != nil {
		// Half a line must not stay: the next entry would be glued to it.
		return errors.Join(fmt.Errorf("writing the journal: %w", err), j.cut())
	}
	j.size += int64(len(line))
	if !durably {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	j.sure = j.size
	return j.sync()
}

var errNoJournal = errors.New("there is no journal yet")

// cut takes off what a failed write left behind the last whole entry.
func (j *journal) cut() error {
	if j.end == j.size {
		return nil
	}
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("cutting the journal: %w", err)
	}
	j.end = j.size
	return nil
}

// sync puts the journal's name on disk.
func (j *journal) sync() error {
	if j.named {
		return nil
	}
	if err := j.dir.SyncDir("."); err != nil {
		return err
	}
	j.named = true
	return nil
}

// rewrite replaces the journal by entries: the compaction. A crash leaves the
// old one or the new one.
func (j *journal) rewrite(entries []entry) error {
	if err := durable.Replace(j.dir, journalName, func(w io.Writer) error {
		for _, e := range entries {
			if _, err := w.Write(e.line()); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	f, err := j.dir.Open(journalName, false)
	if err != nil {
		// The old file has lost its name: nothing may be added to it.
		return errors.Join(err, j.close())
	}
	st, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close(), j.close())
	}
	err = j.close()
	j.file, j.size, j.sure, j.kept, j.end, j.named = f, st.Size, st.Size, st.Size, st.Size, false
	return errors.Join(err, j.sync())
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
