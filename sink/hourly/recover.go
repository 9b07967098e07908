package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"strings"

	"logforge/codec"
)

// known is what the journal says of one file.
type known struct {
	length int64
	exact  bool // good exactly up to length; else at least
	named  bool // something is known of its length
	stream
}

// recover scans the logs directory and brings every file back to whole lines:
// those the journal names exactly as far as it says, the others to their last
// newline. Doing it twice gives the same as doing it once.
func (f *Files) recover() error {
	j, entries, err := openJournal(f.disk, f.cfg.LogsDir)
	if err != nil {
		if errors.Is(err, errCorrupt) {
			err = fmt.Errorf("%w; restore %s from a backup, or move it away to accept every whole line that is in the files", err, journalName)
		}
		return err
	}
	f.journal = j
	files, prepared, position, newest, err := replay(entries)
	if err != nil {
		return err
	}
	f.tx.prepared, f.position, f.newest = prepared, position, newest

	found, err := f.scan()
	if err != nil {
		return err
	}
	for _, h := range found {
		if err := f.recoverFile(h, files); err != nil {
			return fmt.Errorf("recovering %s: %w", Path(h), err)
		}
	}
	for h, k := range files {
		if f.segments[h] == nil && k.length > 0 {
			f.log.Warn("an hour's file was removed while no process held the directory", "file", Path(h), "bytes", k.length)
		}
	}
	if prepared != nil {
		for h := range prepared.Files {
			s := f.segments[h]
			if s == nil {
				return fmt.Errorf("%s is gone, but transaction %s is not decided yet: put it back, or move %s away to give the transaction up", Path(h), prepared.Tx, journalName)
			}
			f.tx.files = append(f.tx.files, s)
		}
	}
	if len(entries) == 0 && len(found) == 0 {
		return nil
	}
	if err := f.syncDirs(f.dirs); err != nil {
		return err
	}
	clear(f.dirs)
	return f.compact()
}

// replay returns what entries say of each file, the transaction that is prepared
// without a decision, the position that was decided last, and the largest
// generation.
func replay(entries []entry) (files map[codec.Hour]known, prepared *entry, position []byte, newest uint64, err error) {
	files = map[codec.Hour]known{}
	for i := range entries {
		e := &entries[i]
		newest = max(newest, e.Newest)
		for h, s := range e.Hours {
			k := files[h]
			k.stream = s
			files[h] = k
			newest = max(newest, s.Generation)
		}
		switch e.Kind {
		case kindFloor, kindOpen:
			for h, n := range e.Files {
				files[h] = known{n, e.Kind == kindOpen, true, files[h].stream}
			}
		case kindPrepare:
			prepared = e
		case kindDecide, kindRollback:
			if prepared == nil || prepared.Tx != e.Tx {
				return nil, nil, nil, 0, fmt.Errorf("%w: %s of transaction %s, which is not prepared", errCorrupt, e.Kind, e.Tx)
			}
			if e.Kind == kindDecide {
				for h, n := range prepared.Files {
					files[h] = known{n, true, true, files[h].stream}
				}
				position = prepared.Position
			}
			prepared = nil
		case kindHours:
		case kindPosition:
			position = e.Position
		default:
			return nil, nil, nil, 0, fmt.Errorf("%w: entry %q is not known to this version", errCorrupt, e.Kind)
		}
	}
	return files, prepared, position, newest, nil
}

// scan returns the hours that have a file.
func (f *Files) scan() ([]codec.Hour, error) {
	var found []codec.Hour
	days, err := f.disk.readDir(f.cfg.LogsDir)
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		if !day.IsDir() || strings.HasPrefix(day.Name(), ".") {
			continue
		}
		names, err := f.disk.readDir(filepath.Join(f.cfg.LogsDir, day.Name()))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if h, ok := ParsePath(day.Name() + "/" + name.Name()); ok {
				found = append(found, h)
			}
		}
	}
	return found, nil
}

// recoverFile repairs one file and makes its segment.
func (f *Files) recoverFile(h codec.Hour, files map[codec.Hour]known) error {
	file, err := f.disk.open(filepath.Join(f.cfg.LogsDir, Path(h)), false)
	if err != nil {
		return err
	}
	s := &segment{hour: h, present: true}
	k := files[h]
	s.generation, s.base = k.Generation, k.Base
	err = func() error {
		st, err := file.stat()
		if err != nil {
			return err
		}
		s.tail, err = f.recoverLength(file, h, st.size, k)
		if err == nil && (s.generation == 0 || s.tail < max(k.length, k.Length)) {
			start := s.tail // shortened
			if s.generation == 0 {
				start = 0 // put here by somebody else, or older than generations
			}
			f.beginGeneration(s, start)
		}
		if err != nil || !k.named {
			return err
		}
		// What the journal says of this file is forgotten once recovery is
		// done: by then the file has to be on disk as it is, and its name.
		f.dirs[filepath.Join(f.cfg.LogsDir, filepath.Dir(Path(h)))] = struct{}{}
		s.listed = true
		return file.sync()
	}()
	s.length, s.synced = s.tail, min(s.tail, max(k.length, k.Length))
	if f.tx.prepared != nil {
		if _, ok := f.tx.prepared.Files[h]; ok {
			s.length = min(k.length, s.tail)
		}
	}
	f.segments[h] = s
	return errors.Join(err, file.close())
}

// recoverLength takes the file back to what is good of it, and returns that.
func (f *Files) recoverLength(file file, h codec.Hour, size int64, k known) (int64, error) {
	if f.tx.prepared != nil {
		if n, ok := f.tx.prepared.Files[h]; ok {
			if size < n {
				return 0, fmt.Errorf("has %d bytes, but transaction %s put %d on disk: restore it, or move %s away to give the transaction up", size, f.tx.prepared.Tx, n, journalName)
			}
			return n, f.rollBackTo(file, h, n, size)
		}
	}
	switch {
	case k.named && size < k.length:
		f.log.Warn("an hour's file was shortened by somebody else", "file", Path(h), "bytes", size, "left at", k.length)
		return f.repair(file, h, 0, size)
	case k.named && k.exact:
		return k.length, f.rollBackTo(file, h, k.length, size)
	case k.named:
		return f.repair(file, h, k.length, size)
	case size == 0:
		return 0, nil
	}
	var last [1]byte
	if _, err := file.readAt(last[:], size-1); err != nil {
		return 0, err
	}
	if last[0] == '\n' {
		return size, nil
	}
	return f.repair(file, h, 0, size)
}

// rollBackTo cuts off what no decision stands behind: it is still in Kafka and
// will come again.
func (f *Files) rollBackTo(file file, h codec.Hour, length, size int64) error {
	if size <= length {
		return nil
	}
	f.rolledBack.AddInt64(size - length)
	f.log.Info("rolled back what was not committed", "file", Path(h), "bytes", size-length)
	return file.truncate(length)
}

// repair finds the end of the last whole line between from, which is good, and
// size. NUL bytes are what a file system leaves where data never reached the
// disk: a line is whole only if none comes before its end. What is cut off is
// kept in a dot file beside. It returns the file's new length.
func (f *Files) repair(file file, h codec.Hour, from, size int64) (int64, error) {
	good := from
	buf := make([]byte, 256<<10)
	for off := from; off < size; {
		n, err := file.readAt(buf[:min(int64(len(buf)), size-off)], off)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		part := buf[:n]
		nul := bytes.IndexByte(part, 0)
		if nul >= 0 {
			part = part[:nul]
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			good = off + int64(i) + 1
		}
		if nul >= 0 {
			break
		}
		off += int64(n)
	}
	if good == size {
		return good, nil
	}
	torn, err := readFrom(file, good)
	if err != nil {
		return 0, err
	}
	if err := f.keep(h, good, torn); err != nil {
		return 0, fmt.Errorf("keeping %d torn bytes beside the file: %w", len(torn), err)
	}
	f.tornBytes.AddInt64(size - good)
	f.log.Warn("cut a torn line off an hour's file and kept it beside", "file", Path(h), "at", good, "bytes", size-good)
	return good, file.truncate(good)
}

// keep stores torn bytes in a dot file whose name tells file, offset and
// content: the same bytes always go to the same name.
func (f *Files) keep(h codec.Hour, at int64, torn []byte) error {
	day, base := filepath.Split(filepath.Join(f.cfg.LogsDir, Path(h)))
	name := fmt.Sprintf("%s.%s.torn-%d-%08x", day, base, at, crc32.Checksum(torn, castagnoli))
	file, err := f.disk.open(name, true)
	if err != nil {
		return err
	}
	if err = file.truncate(0); err == nil {
		err = writeAll(file, torn)
	}
	if err == nil {
		err = file.sync()
	}
	if err == nil {
		err = f.disk.syncDir(day)
	}
	return errors.Join(err, file.close())
}

// writeAll appends p to file.
func writeAll(file file, p []byte) error {
	for len(p) > 0 {
		n, err := file.writev([][]byte{p})
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// readFrom returns what file holds from off on.
func readFrom(file file, off int64) ([]byte, error) {
	st, err := file.stat()
	if err != nil {
		return nil, err
	}
	text := make([]byte, max(0, st.size-off))
	for read := 0; read < len(text); {
		n, err := file.readAt(text[read:], off+int64(read))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return text[:read], nil
		}
		read += n
	}
	return text, nil
}

// compact writes the journal anew with only what still matters: where the files
// that are open are on disk, and a transaction without decision.
func (f *Files) compact() error {
	hours := entry{Kind: kindHours, Newest: f.newest, Hours: map[codec.Hour]stream{}}
	for _, s := range f.segments {
		if s.present {
			hours.Hours[s.hour] = stream{s.generation, s.base, s.synced}
		}
	}
	floor := entry{Kind: kindFloor, Files: map[codec.Hour]int64{}}
	f.journalRound++
	for _, s := range f.open {
		if !s.exact && s.journaled == f.journalRound-1 {
			floor.Files[s.hour] = s.synced
			s.journaled = f.journalRound
		}
	}
	entries := []entry{hours}
	if len(floor.Files) > 0 {
		entries = append(entries, floor)
	}
	if f.position != nil {
		entries = append(entries, entry{Kind: kindPosition, Position: f.position})
	}
	if p := f.tx.prepared; p != nil {
		base := entry{Kind: kindOpen, Files: map[codec.Hour]int64{}}
		for _, s := range f.tx.files {
			base.Files[s.hour] = s.length
			s.journaled = f.journalRound
		}
		entries = append(entries, base, *p)
	}
	return f.journal.rewrite(entries)
}
