package kafka

// Dead letters: lines that were acknowledged as enqueued and could finally not
// be delivered. They are kept in a directory, as files that Replay, or POST
// /logs, takes again:
//
//	20261122T153000.123456789Z-1.ndjson   the lines
//	20261122T153000.123456789Z-1.reason   JSON: why, from which topic, how many
//
// Both are synced before they get their names, the reason first, so that a
// file that can be seen is whole.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/config/metric"
	"logforge/sink"
	"logforge/sink/durable"
)

const (
	// deadLetterBytes is where a new file is begun.
	deadLetterBytes = 8 << 20
	linesSuffix     = ".ndjson"
	reasonSuffix    = ".reason"
)

// reason is the content of a .reason file.
type reason struct {
	Reason  string    `json:"reason"`
	Topic   string    `json:"topic"`
	Records int       `json:"records"`
	At      time.Time `json:"at"`
	// Sent is there when the lines were sent to Kafka and it is unknown what
	// became of them: the Kafka records they were, in order. Replay looks
	// whether the topic has them.
	Sent []sent `json:"sent,omitempty"`
}

// sent describes one Kafka record.
type sent struct {
	Bytes  int    `json:"bytes"`        // of its value
	Millis int64  `json:"millis"`       // its timestamp, since the Unix epoch
	ID     string `json:"id,omitempty"` // its header logforge-id; files of older versions have none
}

// letter is a Kafka record that failed.
type letter struct {
	value  []byte
	millis int64
	id     string
}

// deadLetters writes chunks that failed into dir, in a goroutine of its own:
// franz-go reports all failures from a single goroutine, which must not wait for a
// disk.
type deadLetters struct {
	dir   string
	topic string
	again string // the command that sends them again
	room  deadRoom
	log   *slog.Logger

	failing atomic.Pointer[error]   // why the directory cannot be written
	ending  context.Context         // once it has ended, what cannot be written is lost
	end     context.CancelCauseFunc // ends ending

	mu     sync.Mutex
	queue  []*chunk // bounded by the producer's room, which they keep
	wake   chan struct{}
	done   chan struct{}
	number int
	lost   int // records; belongs to run until done is closed

	batches     *metrics.Counter
	records     *metrics.Counter
	lostRecords *metrics.Counter
	errs        *metrics.Counter
}

func newDeadLetters(cfg config.Kafka, st config.Storage, log *slog.Logger, set *metrics.Set) (*deadLetters, error) {
	dir := DeadLetterDir(cfg, st)
	// Now, so that a directory that cannot be made is an error of the start.
	if err := durable.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("kafka.deadLetterDir: %w", err)
	}
	again := cmp.Or(cfg.ReplayCommand, "server replay") + " " + config.ShellWord(absolute(dir))
	d := &deadLetters{
		dir: dir, topic: cfg.Topic, again: again, log: log,
		room: deadRoom{dir: dir, most: cfg.MaxDeadLetterBytes, again: again, log: log},
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		batches:     metric.Counter(set, "logforge_kafka_dead_letter_batches_total", "Enqueued batches put into the dead-letter directory."),
		records:     metric.Counter(set, "logforge_kafka_dead_letter_records_total", "Records of enqueued batches put into the dead-letter directory."),
		lostRecords: metric.Counter(set, "logforge_kafka_lost_records_total", "Records of enqueued batches that could be neither produced nor put into the dead-letter directory."),
		errs:        metric.Counter(set, "logforge_kafka_dead_letter_errors_total", "Writes to the dead-letter directory that failed; they are repeated."),
	}
	if cfg.RecordBytes < lineChunkBytes {
		d.room.perRecord = sentBytes
	}
	d.room.measure()
	metric.Gauge(set, "logforge_kafka_dead_letter_directory_bytes", "Bytes of the files in the dead-letter directory, see kafka.maxDeadLetterBytes.", func() float64 { return float64(d.room.stored.Load()) })
	metric.Gauge(set, "logforge_kafka_dead_letter_directory_full", "1 while the dead-letter directory has no room, and enqueued batches are acknowledged only once the topic has them, otherwise 0.", func() float64 {
		if d.room.full.Load() {
			return 1
		}
		return 0
	})
	d.ending, d.end = context.WithCancelCause(context.Background())
	go d.run()
	return d, nil
}

// DeadLetterDir is the directory of dead letters.
func DeadLetterDir(cfg config.Kafka, st config.Storage) string {
	if cfg.DeadLetterDir != "" {
		return cfg.DeadLetterDir
	}
	return filepath.Join(st.LogsDir, ".deadletter")
}

// ready returns nil, or why dead letters cannot be written at present.
func (d *deadLetters) ready() error {
	if err := d.failing.Load(); err != nil {
		return fmt.Errorf("%w: dead letters wait in memory, because kafka.deadLetterDir cannot be written: %w", sink.ErrUnavailable, *err)
	}
	return nil
}

// add keeps c's undelivered lines and then frees c.
func (d *deadLetters) add(c *chunk) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, c)
	// Before the lock is free: once run has c, close may follow at any time.
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// giveUpAfter gives up what cannot be written once ctx has ended.
func (d *deadLetters) giveUpAfter(ctx context.Context) {
	context.AfterFunc(ctx, func() { d.end(context.Cause(ctx)) })
}

// close ends run once the queue is empty, or ctx has ended. add is not called
// any more. The error says how many records are lost.
func (d *deadLetters) close(ctx context.Context) error {
	d.giveUpAfter(ctx)
	close(d.wake)
	<-d.done
	if d.lost > 0 {
		return fmt.Errorf("%d records are LOST: they were acknowledged as enqueued, not delivered to kafka, and could not be written to %s", d.lost, d.dir)
	}
	return nil
}

func (d *deadLetters) run() {
	defer close(d.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		more := true
		select {
		case _, more = <-d.wake:
		case now := <-tick.C:
			if d.room.changed(now) {
				d.room.measure()
			}
		}
		d.mu.Lock()
		queue := d.queue
		d.queue = nil
		d.mu.Unlock()
		for len(queue) > 0 {
			n := fileful(queue)
			d.keep(queue[:n])
			queue = queue[n:]
		}
		if !more {
			return
		}
	}
}

// fileful returns how many chunks at the start of queue share a file: those of
// one reason, up to deadLetterBytes.
func fileful(queue []*chunk) int {
	size := 0
	for i, c := range queue {
		size += len(c.lines)
		if i > 0 && (size > deadLetterBytes || c.err.Error() != queue[0].err.Error()) {
			return i
		}
	}
	return len(queue)
}

// keep writes one file with what the chunks could not deliver, and frees them.
// It tries until it has done so, or ending has ended.
func (d *deadLetters) keep(chunks []*chunk) {
	batches := 0
	r := reason{Reason: chunks[0].err.Error(), Topic: d.topic, At: time.Now().UTC()}
	for _, c := range chunks {
		for _, l := range c.undelivered {
			r.Records += max(1, countLines(l.value))
			if !errors.Is(c.err, errAway) {
				r.Sent = append(r.Sent, sent{len(l.value), l.millis, l.id})
			}
		}
		batches += c.batches
	}
	d.number++
	name := fmt.Sprintf("%s-%d", r.At.Format("20060102T150405.000000000Z"), d.number)
	if err := d.tryWrite(name, chunks, r); err != nil {
		d.lost += r.Records
		d.lostRecords.Add(r.Records)
		d.log.Error("records LOST: acknowledged as enqueued, not delivered to kafka, and the dead-letter directory cannot be written",
			"records", r.Records, "batches", batches, "dir", d.dir, "err", err, "delivery", r.Reason)
	} else {
		d.batches.Add(batches)
		d.records.Add(r.Records)
		d.log.Error("records kept as dead letters; replay with: "+d.again,
			"records", r.Records, "file", filepath.Join(d.dir, name+linesSuffix), "delivery", r.Reason)
	}
	for _, c := range chunks {
		c.free()
	}
}

// absolute returns the directory as it is called from every other one.
func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// tryWrite writes until it has succeeded or ending has ended: at least once.
func (d *deadLetters) tryWrite(name string, chunks []*chunk, r reason) error {
	for fails := 0; ; fails++ {
		err := d.write(name, chunks, r)
		if err == nil {
			d.failing.Store(nil)
			return nil
		}
		d.failing.Store(&err)
		d.errs.Inc()
		d.log.Error("dead letters cannot be written; trying again", "dir", d.dir, "err", err, "records", r.Records)
		select {
		case <-d.ending.Done():
			return err
		case <-time.After(backoff(fails)):
		}
	}
}

func (d *deadLetters) write(name string, chunks []*chunk, r reason) error {
	why, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// The directory may have been removed since the start.
	if err := durable.MkdirAll(d.dir); err != nil {
		return err
	}
	return inDir(d.dir, func(dir *durable.Directory) error {
		if err := writeFile(dir, name+reasonSuffix, append(why, '\n')); err != nil {
			return err
		}
		size := 0
		err := durable.WriteFile(dir, name+linesSuffix, func(w io.Writer) error {
			for _, c := range chunks {
				for _, l := range c.undelivered {
					n, err := w.Write(l.value)
					size += n
					if err == nil && l.value[len(l.value)-1] != '\n' {
						n, err = w.Write(newline)
						size += n
					}
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err == nil {
			d.room.wrote(int64(size))
			d.room.wrote(int64(len(why)))
		}
		return err
	})
}

// inDir calls f with the open directory dir.
func inDir(dir string, f func(*durable.Directory) error) error {
	d, err := durable.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f(d), d.Close())
}

func writeFile(dir *durable.Directory, name string, content []byte) error {
	return durable.WriteFile(dir, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}
