package hourly

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"logforge/codec"
	"logforge/sink/durable"
)

// recover scans the logs directory and brings every file back to whole lines:
// those the journal names exactly as far as it says, the others to their last
// newline. Doing it twice gives the same as doing it once. What cannot be done
// for a reason that may pass, such as a full disk, is left for later, and said by
// Ready.
func (f *Files) recover() error {
	j, history, torn, err := openJournal(f.root)
	if err != nil {
		if errors.Is(err, errCorrupt) {
			err = fmt.Errorf("%w; restore %s from a backup, or move it away to accept every whole line that is in the files", err, journalName)
		}
		return err
	}
	f.journal, f.lastUsed = j, j.found
	if torn > 0 {
		f.log.Warn("cut the end off the journal, which a crash had left half written", "bytes", torn)
	}
	files, prepared := history.files, history.prepared
	f.tx, f.position, f.newest = transaction{prepared: prepared}, history.position, history.newest
	f.transactional = prepared != nil

	found, err := f.scan()
	if err != nil {
		return err
	}
	for _, h := range slices.Sorted(maps.Keys(found)) {
		if err := f.recoverHour(h, files[h], found[h]); err != nil {
			return fmt.Errorf("recovering %s: %w", Path(h), err)
		}
	}
	for h, k := range files {
		if f.segments[h] == nil && max(k.length, k.Length) > 0 {
			f.log.Warn("an hour's file was removed while no process held the directory, or just before the last one was killed", "file", Path(h), "bytes", max(k.length, k.Length))
		}
	}
	if prepared != nil {
		for h := range prepared.Files {
			if s := f.segments[h]; s != nil {
				f.tx.files = append(f.tx.files, s)
			}
		}
	}
	err = f.syncAllDirs()
	if err == nil {
		err = f.compact()
	}
	if err = f.classify(err, nil, 0); isFatal(err) || f.Err() != nil {
		return err
	}
	return nil // anything else may pass
}

// found says which files of an hour there are.
type found struct{ plain, compressed bool }

// scan returns the hours that have a file. What a compression that did not come to
// its end has left is removed; everything else is passed over.
func (f *Files) scan() (map[codec.Hour]found, error) {
	hours := map[codec.Hour]found{}
	days, err := f.root.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		if !day.IsDir() || !isDay(day.Name()) {
			continue
		}
		names, err := f.root.ReadDir(day.Name())
		if err != nil {
			f.log.Warn("a day's directory cannot be read: passing it over", "directory", day.Name(), "err", err)
			continue
		}
		for _, name := range names {
			if !name.Type().IsRegular() {
				continue
			}
			plain, isCompressed := strings.CutSuffix(name.Name(), compressedEnd)
			if h, ok := ParsePath(day.Name() + "/" + plain); ok {
				is := hours[h]
				is.plain, is.compressed = is.plain || !isCompressed, is.compressed || isCompressed
				hours[h] = is
			}
			if plain, ok := strings.CutSuffix(name.Name(), compressingEnd); ok && strings.HasPrefix(plain, ".") {
				if _, ok := ParsePath(day.Name() + "/" + plain[1:]); ok {
					_ = f.root.Remove(day.Name() + "/" + name.Name()) // the next compression of the hour does it as well
				}
			}
		}
	}
	return hours, nil
}

// recoverHour repairs the files of one hour and makes its segment.
func (f *Files) recoverHour(h codec.Hour, k known, is found) error {
	s := &segment{hour: h, journaled: unknown, generation: k.Generation, base: k.Base}
	swapped, err := f.recoverCompressed(s, k, is.compressed)
	if err != nil {
		f.log.Warn("the compressed part of an hour cannot be opened: passing it over", "file", compressedPath(h), "err", err)
		s.compressed, s.next, err = k.Compressed, k.Next, nil
	}
	if is.plain {
		err = f.recoverFile(s, k, swapped)
	} else if s.compressed != nil {
		prepared, _ := f.preparedLength(h)
		if n := max(k.length, k.Length, prepared); !swapped && n > 0 && s.base+n != s.compressed.To {
			f.log.Warn("an hour's file was removed while no process held the directory, or just before the last one was killed; its compressed part is there", "file", Path(h), "bytes", n)
			f.begin(s, 0)
			s.present = false
		}
		s.base = s.compressed.To
		f.mu.Lock()
		f.segments[h] = s
		if swapped || k.named || k.Length > 0 {
			// The removal of the other file has to be on disk before the journal
			// says no more of it.
			f.dirs[filepath.Dir(Path(h))] = struct{}{}
		}
		f.mu.Unlock()
	}
	switch s := f.segments[h]; {
	case err != nil || s == nil:
		return err
	case k.Compressed != nil && s.compressed == nil && s.generation == k.Generation:
		f.begin(s, s.visible) // offsets in what was removed mean nothing any more
	case s.compressed != nil && s.present:
		if f.isContained(s) {
			if err := f.classify(f.dropContained(s), nil, 0); f.Err() != nil {
				return err
			}
		}
	}
	return nil
}

// recoverFile repairs the file of s's hour, and makes s known.
func (f *Files) recoverFile(s *segment, k known, swapped bool) error {
	h := s.hour
	s.present = true
	file, err := f.root.Open(Path(h), false)
	if err == nil {
		if st, failed := file.Stat(); failed == nil && st.Size == 0 && swapped {
			// The file that was compressed is gone. This one was made for late
			// lines, and none was written to it: the journal would know it.
			s.base, k = s.compressed.To, known{stream: stream{Generation: k.Generation}}
		}
		err = errors.Join(f.recoverLength(s, file, k), file.Close())
	} else if k.named || s.compressed != nil || f.tx.prepared != nil && f.tx.prepared.Files[h] > 0 {
		return err // what the journal knows of it would be forgotten
	} else {
		f.log.Warn("an hour's file cannot be opened: passing it over", "file", Path(h), "err", err)
		return nil
	}
	f.mu.Lock()
	f.segments[h] = s
	f.mu.Unlock()
	return err
}

// recoverLength takes the file back to what is good of it, and makes s say so.
func (f *Files) recoverLength(s *segment, file durable.File, k known) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	replaced := false
	if k.Tail != 0 && st.Size >= k.Length {
		sum, err := tailSum(file, k.Length)
		if err != nil {
			return err
		}
		replaced = sum != k.Tail
	}
	good, left := st.Size, int64(0) // left to be cut off
	switch prepared, pending := f.preparedLength(s.hour); {
	case replaced:
		f.log.Warn("an hour's file was replaced by somebody else", "file", Path(s.hour), "bytes", st.Size)
		good, err = f.repair(file, s.hour, 0, st.Size)
	case st.Size < max(k.length, k.Length, prepared):
		f.log.Warn("an hour's file was shortened by somebody else", "file", Path(s.hour), "bytes", st.Size, "left at", max(k.length, k.Length, prepared))
		good, err = f.repair(file, s.hour, 0, st.Size)
	case pending:
		good = prepared
		left, err = f.rollBackTo(file, s.hour, prepared, st.Size)
	case k.named && k.exact:
		good = k.length
		left, err = f.rollBackTo(file, s.hour, k.length, st.Size)
	case k.named || k.Length > 0:
		good, err = f.repair(file, s.hour, max(k.length, k.Length), st.Size)
	case st.Size > 0:
		var last [1]byte
		if _, err = file.ReadAt(last[:], st.Size-1); err == nil && last[0] != '\n' {
			good, err = f.repair(file, s.hour, 0, st.Size)
		}
	}
	if err != nil {
		// It is done before the next line is written, or at the next start.
		if err = f.classify(fmt.Errorf("recovering %s: %w", Path(s.hour), err), nil, 0); f.Err() != nil {
			return err
		}
	}
	s.visible, s.written, s.synced, s.size = good, good, good, good+left
	if _, pending := f.preparedLength(s.hour); pending {
		s.visible = min(k.length, good)
	}
	switch {
	case s.generation == 0 || replaced:
		f.begin(s, 0) // put here by somebody else, or older than generations
	case good < max(k.length, k.Length):
		f.begin(s, good)
	}
	if k.named {
		// What the journal says of this file is forgotten once recovery is
		// done: by then the file has to be on disk as it is, and its name.
		f.mu.Lock()
		f.dirs[filepath.Dir(Path(s.hour))] = struct{}{}
		s.named = true
		f.mu.Unlock()
		if err := file.Sync(); err != nil {
			return err
		}
	}
	s.tail, err = tailSum(file, s.written)
	return err
}

// preparedLength returns the length that the undecided transaction put on disk.
func (f *Files) preparedLength(h codec.Hour) (length int64, ok bool) {
	if f.tx.prepared == nil {
		return 0, false
	}
	length, ok = f.tx.prepared.Files[h]
	return length, ok
}

// rollBackTo cuts off what was never decided: it is still in Kafka and
// will come again. After an error it returns how much is left of that.
func (f *Files) rollBackTo(file durable.File, h codec.Hour, length, size int64) (left int64, err error) {
	if size <= length {
		return 0, nil
	}
	if err := file.Truncate(length); err != nil {
		return size - length, err
	}
	f.rolledBack.AddInt64(size - length)
	f.log.Info("rolled back what was not committed", "file", Path(h), "bytes", size-length)
	return 0, nil
}

// repair finds the end of the last whole line between from, which is good, and
// size. NUL bytes are what a file system leaves where data never reached the
// disk: a line is whole only if none comes before its end. What is cut off is
// kept in a dot file beside. It returns the file's new length, also with an error
// that kept it from cutting.
func (f *Files) repair(file durable.File, h codec.Hour, from, size int64) (int64, error) {
	good := from
	buf := make([]byte, min(size-from, 256<<10))
	for off := from; off < size; {
		n, err := file.ReadAt(buf[:min(int64(len(buf)), size-off)], off)
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
	if err := f.keep(file, h, good, size); err != nil {
		return good, fmt.Errorf("keeping %d torn bytes beside the file: %w", size-good, err)
	}
	f.tornBytes.AddInt64(size - good)
	f.log.Warn("cut a torn line off an hour's file and kept it beside", "file", Path(h), "at", good, "bytes", size-good)
	return good, file.Truncate(good)
}

// maxKept is how much of a torn end is kept. It is far more than a crash leaves;
// a file may have any size.
const maxKept = 64 << 20

// keep stores the torn bytes [at, size) in a dot file whose name tells file,
// offset and content: the same bytes always go to the same name.
func (f *Files) keep(file durable.File, h codec.Hour, at, size int64) error {
	torn := func() io.Reader { return io.LimitReader(durable.Reader(file, at), min(size-at, maxKept)) }
	if size-at > maxKept {
		f.log.Warn("of a torn end only the beginning is kept", "file", Path(h), "bytes", size-at, "kept", maxKept)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, torn()); err != nil {
		return err
	}
	day, base := filepath.Split(Path(h))
	name := fmt.Sprintf("%s.%s%s%d-%08x", day, base, tornEnd, at, sum.Sum32())
	return durable.WriteFile(f.root, name, func(w io.Writer) error {
		_, err := io.Copy(w, torn())
		return err
	})
}

// compact writes the journal anew with only what still matters: which stream each
// file holds, where the files that are open are on disk, and a transaction
// without decision. f.writing is held.
func (f *Files) compact() error {
	hours := map[codec.Hour]stream{}
	floor := entry{Kind: kindFloor, Files: map[codec.Hour]int64{}}
	exact := entry{Kind: kindOpen, Files: map[codec.Hour]int64{}}
	for _, s := range f.segments {
		if !s.stored() {
			continue
		}
		synced := f.onDisk(s)
		k := s.stream()
		k.Length = min(s.visible, synced)
		switch {
		case s.file != nil && !s.moved:
			var err error
			if k.Tail, err = tailSum(s.file, k.Length); err != nil {
				return err
			}
		case s.written == k.Length && s.present:
			k.Tail = s.tail
		}
		hours[s.hour] = k
		switch {
		case s.written > s.visible || s.size > s.written:
			exact.Files[s.hour] = s.visible
		case s.file != nil && s.journaled != unknown && !f.transactional:
			floor.Files[s.hour] = synced
		}
	}
	entries := hourEntries(hours, f.newest)
	if len(floor.Files) > 0 {
		entries = append(entries, floor)
	}
	if len(exact.Files) > 0 {
		entries = append(entries, exact)
	}
	if f.position != nil {
		entries = append(entries, entry{Kind: kindPosition, Position: f.position})
	}
	if f.tx.prepared != nil {
		entries = append(entries, *f.tx.prepared)
	}
	if err := f.journal.rewrite(entries); err != nil {
		return err
	}
	for h, s := range f.segments {
		length, ok := floor.Files[h]
		if !ok {
			length = unknown
		}
		s.journaled = length
	}
	return nil
}

// hoursPerEntry is how many hours one entry names at most, so that no entry is
// large, however many hours there are.
const hoursPerEntry = 10_000

// hourEntries returns entries of kind hours that name all of hours; at least one.
func hourEntries(hours map[codec.Hour]stream, newest uint64) []entry {
	all := slices.Sorted(maps.Keys(hours))
	var entries []entry
	for len(entries) == 0 || len(all) > 0 {
		part := all[:min(len(all), hoursPerEntry)]
		all = all[len(part):]
		e := entry{Kind: kindHours, Newest: newest, Hours: make(map[codec.Hour]stream, len(part))}
		for _, h := range part {
			e.Hours[h] = hours[h]
		}
		entries = append(entries, e)
	}
	return entries
}
