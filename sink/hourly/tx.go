package hourly

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"logforge/codec"
	"logforge/sink"
)

// The consumer's side of Files: what comes from Kafka is appended, put on disk
// together with the position it came from, and counts only once the position is
// committed elsewhere.
//
//	Append … Append   behind the committed lengths, shown to nobody
//	Prepare(id, pos)  files on disk, then the journal: lengths and position
//	                  (here the caller commits pos to Kafka: the decision)
//	Decide(id)        the new lengths are the committed ones
//	Rollback()        or everything back to the old ones
//
// A crash before Prepare rolls back; after it, Pending tells the caller to find
// out what was decided. One goroutine at a time.

// TxID names a transaction for ever.
type TxID [16]byte

// NewTxID returns a random one.
func NewTxID() (id TxID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func (id TxID) String() string { return hex.EncodeToString(id[:]) }

// ParseTxID is the inverse of String.
func ParseTxID(s string) (id TxID, err error) {
	if n, err := hex.Decode(id[:], []byte(s)); err != nil || n != len(id) || len(s) != 2*len(id) {
		return TxID{}, fmt.Errorf("%q is not a transaction id", s)
	}
	return id, nil
}

// Tx is a prepared transaction.
type Tx struct {
	ID       TxID
	Position []byte // as given to Prepare
}

type transaction struct {
	files    []*segment // that have grown since the last decision
	bytes    int64      // by how much, together
	prepared *entry
	// undone: a rollback has failed halfway, and is to be finished first.
	undone bool
}

// add takes note of what was appended.
func (t *transaction) add(touched []*segment, bytes int64) {
	for _, s := range touched {
		if s.before <= s.visible { // it was not in the transaction yet
			t.files = append(t.files, s)
		}
	}
	t.bytes += bytes
}

var (
	errUndecided = fmt.Errorf("%w: a prepared transaction waits for its decision", sink.ErrStorage)
	errNoSuchTx  = errors.New("no such transaction is prepared")
)

// Append adds b behind the committed lengths: all of it, or on an error nothing.
func (f *Files) Append(b *codec.Batch) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if f.tx.prepared != nil {
		return errUndecided
	}
	if f.tx.undone {
		if err := f.takeBackTx(); err != nil {
			return f.classify(fmt.Errorf("rolling back: %w", err), nil, 0)
		}
	}
	f.transactional = true
	f.gather(b)
	return f.appendTouched()
}

// Appended returns the bytes appended since the last Decide or Rollback.
func (f *Files) Appended() int64 {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.tx.bytes
}

// Prepare puts what was appended on disk, and then, in the journal, the new
// lengths with position, which may hold anything. After it only Decide or
// Rollback of this transaction is possible, also in a process that comes after
// a crash. It keeps position.
func (f *Files) Prepare(id TxID, position []byte) error {
	for {
		// Also when nothing was appended: the names of the files that decided
		// transactions rely on have to be on disk as well.
		err := f.syncs.Do(context.Background(), nil, false)
		if err != nil && !f.onlyConfined() {
			return err
		}
		f.writing.Lock()
		if err != nil { // of single hours: of this transaction?
			faults := f.confined()
			for _, s := range f.tx.files {
				if faults.of(s.hour) != nil || s.written > f.onDisk(s) {
					f.writing.Unlock()
					return err
				}
			}
		}
		if f.txSynced() {
			break
		}
		f.writing.Unlock() // a file was moved over meanwhile
	}
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if f.tx.prepared != nil {
		return errUndecided
	}
	e := entry{Kind: kindPrepare, Tx: id.String(), Position: position, Files: map[codec.Hour]int64{}}
	for _, s := range f.tx.files {
		e.Files[s.hour] = s.written
	}
	crashPoint("synced")
	// A file that was adopted since it was appended to is not in the journal.
	if err := f.note(f.tx.files); err != nil {
		return f.classify(err, nil, 0)
	}
	if err := f.journal.add(e, true); err != nil {
		return f.classify(err, nil, 0)
	}
	f.tx.prepared = &e
	return nil
}

// txSynced reports whether all that was appended is on disk.
func (f *Files) txSynced() bool {
	for _, s := range f.tx.files {
		if s.written > f.onDisk(s) {
			return false
		}
	}
	return true
}

// Decide makes the lengths of a prepared transaction the committed ones.
func (f *Files) Decide(id TxID) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.tx.prepared == nil || f.tx.prepared.Tx != id.String() {
		return errNoSuchTx
	}
	if err := f.journal.add(entry{Kind: kindDecide, Tx: id.String()}, false); err != nil {
		return f.classify(err, nil, 0)
	}
	f.mu.Lock()
	for _, s := range f.tx.files {
		s.visible = s.written
	}
	f.mu.Unlock()
	f.position = f.tx.prepared.Position
	f.endTx()
	return f.compactLarge()
}

// Rollback takes every file back to its committed length, and ends a prepared
// transaction without effect. After an error that may pass, the next Append
// finishes it.
func (f *Files) Rollback() error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if err := f.writable(); err != nil {
		f.tx.undone = f.tx.prepared == nil && len(f.tx.files) > 0
		return err
	}
	if p := f.tx.prepared; p != nil {
		if err := f.journal.add(entry{Kind: kindRollback, Tx: p.Tx}, true); err != nil {
			return f.classify(err, nil, 0)
		}
		f.tx.prepared = nil
	}
	if err := f.takeBackTx(); err != nil {
		return f.classify(fmt.Errorf("rolling back: %w", err), nil, 0)
	}
	return nil
}

func (f *Files) takeBackTx() error {
	f.tx.undone = true
	for rest := f.tx.files; len(rest) > 0; {
		part := rest[:min(len(rest), max(1, f.limit/2))]
		rest = rest[len(part):]
		f.slices++
		var work []pass
		for _, s := range part {
			s.slice = f.slices
			if s.size == s.visible {
				continue
			}
			if err := f.ensureOpen(s); err != nil {
				return err
			}
			if s.size <= s.visible {
				continue // changed by somebody else
			}
			f.rolledBack.AddInt64(s.written - s.visible)
			if err := f.cut(s, s.visible); err != nil {
				return err
			}
			f.mu.Lock()
			work = append(work, f.beginPass(s))
			f.mu.Unlock()
		}
		// Now: the next compaction forgets where the files end, and a power cut
		// must not bring back what was taken off.
		changed, err := f.run(work)
		if err != nil {
			return err
		}
		for _, p := range changed {
			if p.err != nil {
				return p.err
			}
		}
	}
	f.endTx()
	return nil
}

func (f *Files) endTx() {
	f.tx = transaction{files: f.tx.files[:0]}
}

// Position returns the position of the transaction decided last, also by a
// process before this one; nil if there was none. The caller must not change it.
func (f *Files) Position() []byte {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.position
}

// Pending returns the transaction that was prepared before a crash and not
// decided. Until Decide or Rollback nothing can be appended.
func (f *Files) Pending() (Tx, bool) {
	f.writing.Lock()
	defer f.writing.Unlock()
	p := f.tx.prepared
	if p == nil {
		return Tx{}, false
	}
	id, err := ParseTxID(p.Tx)
	return Tx{ID: id, Position: p.Position}, err == nil
}
