package hourly

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"logforge/codec"
	"logforge/sink/durable"
)

// How a journal is read: line by line, so that no more of it is in memory than
// one entry, whatever is in the file.

// maxEntry is the longest line that is taken for an entry, in bytes. The entries
// of a compaction are far shorter (see hoursPerEntry), and a transaction would
// have to touch half a million hours; versions before this one wrote all hours
// in one entry.
const maxEntry = 32 << 20

// errCorrupt is returned for a journal that was damaged, not merely cut short.
var errCorrupt = errors.New("journal is damaged")

// history is what the entries of a journal say, all together.
type history struct {
	files    map[codec.Hour]known
	prepared *entry // the transaction that is prepared without a decision
	position []byte // that was decided last
	newest   uint64 // the largest generation
}

// known is what the journal says of one file.
type known struct {
	length int64
	exact  bool // good exactly up to length; else at least
	named  bool // something is known of its length
	stream
}

// apply adds what the next entry says.
func (h *history) apply(e entry) error {
	h.newest = max(h.newest, e.Newest)
	for hour, s := range e.Hours {
		k := h.files[hour]
		if e.Kind == kindCompressed && s.Next == nil {
			k = known{} // only what follows is known of the hour's other file
		}
		if s.Generation == k.Generation && s.Base == k.Base && s.Length == 0 {
			s.Length, s.Tail = k.Length, k.Tail
		}
		k.stream = s
		h.files[hour] = k
		h.newest = max(h.newest, s.Generation)
	}
	switch e.Kind {
	case kindFloor, kindOpen:
		for hour, n := range e.Files {
			h.files[hour] = known{n, e.Kind == kindOpen, true, h.files[hour].stream}
		}
	case kindPrepare:
		h.prepared = &e
	case kindDecide, kindRollback:
		if h.prepared == nil || h.prepared.Tx != e.Tx {
			return fmt.Errorf("%w: %s of transaction %s, which is not prepared", errCorrupt, e.Kind, e.Tx)
		}
		if e.Kind == kindDecide {
			for hour, n := range h.prepared.Files {
				h.files[hour] = known{n, true, true, h.files[hour].stream}
			}
			h.position = h.prepared.Position
		}
		h.prepared = nil
	case kindHours, kindCompressed:
	case kindPosition:
		h.position = e.Position
	default:
		return fmt.Errorf("%w: entry %q is not known to this version; was it written by a newer one?", errCorrupt, e.Kind)
	}
	return nil
}

// readJournal returns what the entries that r holds say, the length of the part
// that they fill, and that of all there is. What a crash leaves behind them, NUL
// bytes or the beginning of an entry, ends them; whatever else does not read is
// errCorrupt.
func readJournal(r io.Reader) (h *history, good, size int64, err error) {
	h = &history{files: map[codec.Hour]known{}}
	lines := journalLines{r: bufio.NewReaderSize(r, 64<<10)}
	bad := false
	for {
		text, length, err := lines.next()
		if errors.Is(err, errLongEntry) {
			return nil, 0, 0, fmt.Errorf("%w: the line at byte %d is longer than %d bytes, and no entry is", errCorrupt, size, maxEntry)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, 0, err
		}
		if err != nil { // the end, with a line that has none
			return h, good, size + length, nil
		}
		e, ok := parseEntry(text)
		switch {
		case text == nil: // NUL bytes
			bad = true
		case !ok:
			// A crash leaves the beginning of a line, or NUL bytes.
			return nil, 0, 0, fmt.Errorf("%w: the entry at byte %d does not read", errCorrupt, size)
		case bad && e.Sure > good:
			return nil, 0, 0, fmt.Errorf("%w at byte %d, which had been synced", errCorrupt, good)
		case bad:
			// Neither had been synced.
		default:
			if err := h.apply(e); err != nil {
				return nil, 0, 0, err
			}
			good = size + length
		}
		size += length
	}
}

// journalLines splits a journal into lines.
type journalLines struct {
	r   *bufio.Reader
	buf []byte
}

var errLongEntry = errors.New("longer than any entry")

// next returns the next line without its end, nil for one that holds a NUL byte,
// and how many bytes it fills. The error is io.EOF for what is behind the last
// line. The text is valid until the next call.
func (l *journalLines) next() (text []byte, length int64, err error) {
	l.buf = l.buf[:0]
	nul := false
	for {
		piece, err := l.r.ReadSlice('\n')
		length += int64(len(piece))
		nul = nul || bytes.IndexByte(piece, 0) >= 0
		if !nul {
			l.buf = append(l.buf, piece...)
			if len(l.buf) > maxEntry {
				return nil, length, errLongEntry
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil, nul:
			return nil, length, err
		}
		return l.buf[:len(l.buf)-1], length, nil
	}
}

// openJournal reads the journal of dir. The tail that a crash has left is cut
// off; torn is its length. A journal that is not there is made by rewrite.
func openJournal(dir durable.Dir) (j *journal, h *history, torn int64, err error) {
	j = &journal{dir: dir}
	f, err := dir.Open(journalName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return j, &history{files: map[codec.Hour]known{}}, 0, nil
	}
	if err != nil {
		return nil, nil, 0, err
	}
	if st, err := f.Stat(); err == nil {
		j.found = st.Modified
	}
	h, good, size, err := readJournal(durable.Reader(f, 0))
	if err != nil {
		return nil, nil, 0, errors.Join(fmt.Errorf("reading the journal: %w", err), f.Close())
	}
	st, err := f.Stat()
	if err == nil && st.ReadOnly != nil {
		// Nothing can be added to it: a new one is written in its place, once that
		// can be done.
		return j, h, 0, f.Close()
	}
	if err == nil && good < size {
		err = f.Truncate(good)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, nil, 0, errors.Join(err, f.Close())
	}
	j.file, j.size, j.sure, j.kept, j.end = f, good, good, good, good
	return j, h, size - good, nil
}
