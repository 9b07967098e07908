package hourly

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"logforge/codec"
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
}

var (
	errUndecided = errors.New("a prepared transaction waits for its decision")
	errNoSuchTx  = errors.New("no such transaction is prepared")
)

// Append adds b behind the committed lengths: all of it, or on an error nothing.
func (f *Files) Append(b *codec.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if f.tx.prepared != nil {
		return errUndecided
	}
	if err := f.gather(b); err != nil {
		return f.giveUp(err)
	}
	if err := f.journalTouched(kindOpen); err != nil {
		return f.giveUp(err)
	}
	n, err := f.appendTouched(kindOpen)
	if err != nil {
		return f.giveUp(err)
	}
	for _, s := range f.touched {
		if !s.inTx {
			s.inTx = true
			f.tx.files = append(f.tx.files, s)
		}
	}
	f.touched, f.reached = f.touched[:0], 0
	f.tx.bytes += n
	f.bytesWritten.AddInt64(n)
	f.full.Store(false)
	return nil
}

// Appended returns the bytes appended since the last Decide or Rollback.
func (f *Files) Appended() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tx.bytes
}

// Prepare puts what was appended on disk, and then, in the journal, the new
// lengths with position, which may hold anything. After it only Decide or
// Rollback of this transaction is possible, also in a process that comes after
// a crash. It keeps position.
func (f *Files) Prepare(id TxID, position []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if f.tx.prepared != nil {
		return errUndecided
	}
	e := entry{Kind: kindPrepare, Tx: id.String(), Position: position, Files: map[codec.Hour]int64{}}
	for _, s := range f.tx.files {
		e.Files[s.hour] = s.tail
		if s.file == nil {
			continue // closed, and synced by that
		}
		if err := f.syncFile(s.file); err != nil {
			return err
		}
	}
	if err := f.syncDirs(f.dirs); err != nil {
		return err
	}
	clear(f.dirs)
	crashPoint("synced")
	if err := f.journal.add(e, true); err != nil {
		return f.classify(err)
	}
	f.tx.prepared = &e
	return nil
}

// Decide makes the lengths of a prepared transaction the committed ones.
func (f *Files) Decide(id TxID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tx.prepared == nil || f.tx.prepared.Tx != id.String() {
		return errNoSuchTx
	}
	if err := f.journal.add(entry{Kind: kindDecide, Tx: id.String()}, false); err != nil {
		return f.classify(err)
	}
	for _, s := range f.tx.files {
		s.length = s.tail
	}
	f.position = f.tx.prepared.Position
	f.endTx()
	if f.journal.large() {
		return f.compact()
	}
	return nil
}

// Rollback takes every file back to its committed length, and ends a prepared
// transaction without effect.
func (f *Files) Rollback() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.writable(); err != nil {
		return err
	}
	if p := f.tx.prepared; p != nil {
		if err := f.journal.add(entry{Kind: kindRollback, Tx: p.Tx}, true); err != nil {
			return f.classify(err)
		}
	}
	if err := f.takeBackTx(); err != nil {
		return f.fail(fmt.Errorf("rolling back: %w", err))
	}
	return nil
}

func (f *Files) takeBackTx() error {
	for _, s := range f.tx.files {
		f.rolledBack.AddInt64(s.tail - s.length)
		if err := f.ensureOpen(s); err != nil {
			return err
		}
		if err := s.cut(s.length); err != nil {
			return err
		}
		// Now: the next compaction forgets where the file ends, and a power
		// cut must not bring back what was taken off.
		if err := f.syncFile(s.file); err != nil {
			return err
		}
	}
	f.endTx()
	return nil
}

func (f *Files) endTx() {
	for _, s := range f.tx.files {
		s.inTx = false
	}
	f.tx = transaction{files: f.tx.files[:0]}
}

// Position returns the position of the transaction decided last, also by a
// process before this one; nil if there was none. The caller must not change it.
func (f *Files) Position() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position
}

// Pending returns the transaction that was prepared before a crash and not
// decided. Until Decide or Rollback nothing can be appended.
func (f *Files) Pending() (Tx, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.tx.prepared
	if p == nil {
		return Tx{}, false
	}
	id, err := ParseTxID(p.Tx)
	return Tx{ID: id, Position: p.Position}, err == nil
}
