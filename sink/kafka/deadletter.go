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
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
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
	// Sent is there when the lines were sent to Kafka and nobody knows what
	// became of them: the Kafka records they were, in order. Replay looks
	// whether the topic has them.
	Sent []sent `json:"sent,omitempty"`
}

// sent describes one Kafka record.
type sent struct {
	Bytes  int   `json:"bytes"`  // of its value
	Millis int64 `json:"millis"` // its timestamp, since the Unix epoch
}

// letter is a Kafka record that failed.
type letter struct {
	value  []byte
	millis int64
}

// deadLetters writes chunks that failed into dir, in a goroutine of its own:
// the one that tells of failures is franz-go's only one, and must not wait for
// a disk.
type deadLetters struct {
	dir   string
	topic string
	again string // the command that sends them again, without the directory
	log   *slog.Logger

	mu     sync.Mutex
	queue  []*chunk // bounded by the producer's room, which they keep
	wake   chan struct{}
	done   chan struct{}
	number int

	batches *metrics.Counter
	records *metrics.Counter
	lost    *metrics.Counter
}

func newDeadLetters(cfg config.Kafka, st config.Storage, log *slog.Logger, set *metrics.Set) (*deadLetters, error) {
	dir := DeadLetterDir(cfg, st)
	// Now, while somebody is there to read the error.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("kafka.deadLetterDir: %w", err)
	}
	d := &deadLetters{
		dir: dir, topic: cfg.Topic, again: cmp.Or(cfg.ReplayCommand, "server replay"), log: log,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
		batches: set.NewCounter("logforge_kafka_dead_letter_batches_total"),
		records: set.NewCounter("logforge_kafka_dead_letter_records_total"),
		lost:    set.NewCounter("logforge_kafka_lost_records_total"),
	}
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

// close ends run once the queue is empty. add is not called any more.
func (d *deadLetters) close() {
	close(d.wake)
	<-d.done
}

func (d *deadLetters) run() {
	defer close(d.done)
	for {
		_, more := <-d.wake
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
func (d *deadLetters) keep(chunks []*chunk) {
	var lines []byte
	batches := 0
	r := reason{Reason: chunks[0].err.Error(), Topic: d.topic, At: time.Now().UTC()}
	for _, c := range chunks {
		for _, l := range c.undelivered {
			lines = append(lines, l.value...)
			if l.value[len(l.value)-1] != '\n' {
				lines = append(lines, '\n')
			}
			if !errors.Is(c.err, errAway) {
				r.Sent = append(r.Sent, sent{len(l.value), l.millis})
			}
		}
		batches += c.batches
	}
	r.Records = countLines(lines)
	d.number++
	name := fmt.Sprintf("%s-%d", r.At.Format("20060102T150405.000000000Z"), d.number)
	switch err := d.write(name, lines, r); {
	case err != nil:
		d.lost.Add(r.Records)
		d.log.Error("records LOST: acknowledged as enqueued, not delivered to kafka, and the dead-letter directory cannot be written",
			"records", r.Records, "batches", batches, "dir", d.dir, "err", err, "delivery", r.Reason)
	default:
		d.batches.Add(batches)
		d.records.Add(r.Records)
		d.log.Error("records kept as dead letters; replay with: "+d.again+" "+config.ShellWord(absolute(d.dir)),
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

func (d *deadLetters) write(name string, lines []byte, r reason) error {
	why, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// The directory may have been removed since the start.
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if err := writeFile(d.dir, name+reasonSuffix, append(why, '\n')); err != nil {
		return err
	}
	if err := writeFile(d.dir, name+linesSuffix, lines); err != nil {
		return err
	}
	return syncDir(d.dir)
}

// writeFile makes a synced file that has its name only once it is whole.
func writeFile(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, ".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Chmod(0o644)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
