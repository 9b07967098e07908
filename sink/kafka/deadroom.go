package kafka

// The bound of the dead-letter directory. Each enqueued batch takes, until it is
// delivered, the room that its lines would need there. A batch for which there is
// none is acknowledged only once the topic has it: nothing has to be kept of it
// then, so the directory keeps its bound, and nothing that was acknowledged is
// without a place.

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"logforge/config"
	"logforge/sink"
)

const (
	// sentBytes is what a .reason file has about one Kafka record.
	sentBytes = 96
	// blockBytes is what a file takes on disk at least, so that many small files
	// are bounded as well.
	blockBytes = 4 << 10
	// measureInterval is how often the directory is measured again, at most:
	// replay, or a person, removes files from it.
	measureInterval = 5 * time.Second
)

// deadRoom is the room in the dead-letter directory. Its methods may be called
// concurrently, except measure and changed.
type deadRoom struct {
	dir   string
	most  config.Bytes
	again string // the command that sends the dead letters again
	log   *slog.Logger

	perRecord int // bytes beside the lines, for each of them

	stored   atomic.Int64 // bytes of the files that are there
	reserved atomic.Int64 // bytes for what is enqueued and not delivered
	full     atomic.Bool  // a batch found no room, and there has been none since

	measured time.Time // when the directory was measured
	modified time.Time // the directory's modification time then
}

// need returns how many bytes lines would take. It is linear: parts of a batch
// need as much as the whole.
func (r *deadRoom) need(bytes, records int) int64 { return int64(bytes + records*r.perRecord) }

// take takes room, and reports false when there is not enough.
func (r *deadRoom) take(n int64) bool {
	if r.reserved.Add(n)+r.stored.Load() <= int64(r.most) {
		return true
	}
	r.reserved.Add(-n)
	if !r.full.Swap(true) {
		r.log.Warn("the dead-letter directory is full: enqueued batches are acknowledged only once the topic has them, and are refused while Kafka is away. "+
			"Send the dead letters again with: "+r.again+"; or raise kafka.maxDeadLetterBytes", "dir", r.dir, "bytes", r.stored.Load(), "kafka.maxDeadLetterBytes", r.most)
	}
	return false
}

// release gives back what take took.
func (r *deadRoom) release(n int64) { r.reserved.Add(-n) }

// releaseIf gives back what take took for a batch that is not stored.
func (r *deadRoom) releaseIf(ack sink.Ack, n int64) {
	if ack == sink.Enqueued {
		r.release(n)
	}
}

// explain adds to an error of a batch for which there was no room why it had to
// wait for Kafka.
func (r *deadRoom) explain(err error) error {
	return fmt.Errorf("%w (an enqueued batch has to wait for Kafka while %s holds %v of kafka.maxDeadLetterBytes, %v)", err, r.dir, config.Bytes(r.stored.Load()), r.most)
}

// changed reports whether the directory is to be measured.
func (r *deadRoom) changed(now time.Time) bool {
	if now.Sub(r.measured) < measureInterval {
		return false
	}
	info, err := os.Stat(r.dir)
	return err != nil || !info.ModTime().Equal(r.modified)
}

// measure looks how much the directory holds. A directory that cannot be read
// keeps what was known of it.
func (r *deadRoom) measure() {
	r.measured = time.Now()
	info, err := os.Stat(r.dir)
	var entries []fs.DirEntry
	if err == nil {
		r.modified = info.ModTime()
		entries, err = os.ReadDir(r.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	var sum int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += onDisk(info.Size())
		}
	}
	r.stored.Store(sum)
	if sum+r.reserved.Load() < int64(r.most) && r.full.CompareAndSwap(true, false) {
		r.log.Info("the dead-letter directory has room again", "dir", r.dir, "bytes", sum, "kafka.maxDeadLetterBytes", r.most)
	}
}

// wrote takes note of a file that was written.
func (r *deadRoom) wrote(bytes int64) { r.stored.Add(onDisk(bytes)) }

func onDisk(bytes int64) int64 { return (bytes + blockBytes - 1) / blockBytes * blockBytes }
