package kafka

// Replay sends dead letters to the topic again. It can be interrupted at any
// moment and repeated, and stores no line twice: beside each file that it has
// begun is a progress file, replaced and synced before each piece is sent,
// and each Kafka record that is sent carries an id that follows from it. A replay
// that finds a progress file looks in the topic, from the offsets that are noted
// there, for what of the piece has arrived already.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/sink"
	"logforge/sink/durable"
)

const (
	// replayBytes is how much of a file is read and sent at a time, in whole lines.
	replayBytes = 8 << 20
	// progressSuffix ends the name of a progress file, .NAME.replay.
	progressSuffix = ".replay"
	rejectedSuffix = ".rejected"
)

// progress is the content of a progress file.
type progress struct {
	ID          string  `json:"id"` // random; what the ids of the records begin with
	Topic       string  `json:"topic"`
	TopicID     topicID `json:"topicID"`
	RecordBytes int     `json:"recordBytes"` // of lines in one Kafka record: the ids depend on it
	// Done is how many bytes of the file are in the topic, or rejected.
	Done     int64 `json:"done"`
	Records  int   `json:"records"`  // that these bytes had
	Rejected int   `json:"rejected"` // bytes that they have added to the .rejected file
	// From holds the ends of the partitions before the piece at Done was sent
	// for the first time.
	From map[int32]int64 `json:"from"`
}

// Replay sends the dead letters in dir again and removes each file once the
// topic has all of it. It returns how many records the topic has by this Replay
// and by earlier ones of the same files. After an error the files that remain
// can be replayed again, by this process or another.
//
// What was sent before it became a dead letter, with an unknown outcome, is
// looked for in the topic first, so that it does not become a duplicate.
//
// Lines that do not parse, in a file that was edited by hand, stay behind in a
// file whose name ends in .rejected.
func (p *Producer) Replay(ctx context.Context, dir string) (records int, err error) {
	if pending := p.replaying; pending != nil {
		select {
		case <-pending:
		case <-ctx.Done():
			return 0, fmt.Errorf("replay: records of the last one are still on their way: %w", ctx.Err())
		}
	}
	err = inDir(dir, func(d *durable.Directory) error {
		if err := d.Lock(); err != nil {
			return fmt.Errorf("another replay is at work there: %w", err)
		}
		entries, err := d.ReadDir(".") // sorted, and so in order of time
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), linesSuffix) {
				continue
			}
			r := replay{p: p, dir: d, name: strings.TrimSuffix(e.Name(), linesSuffix)}
			err := r.file(ctx)
			records += r.at.Records
			if err != nil {
				return fmt.Errorf("%s: %w", filepath.Join(dir, e.Name()), err)
			}
			p.log.Info("dead letters replayed", "file", filepath.Join(dir, e.Name()), "records", r.at.Records)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("replay %s: %w", dir, err)
	}
	return records, err
}

// replay is one file that is being sent again.
type replay struct {
	p        *Producer
	dir      *durable.Directory
	name     string // without its end
	at       progress
	rejected []byte // the lines that do not parse, as in the .rejected file
}

func (r *replay) progressName() string { return "." + r.name + progressSuffix }

// file sends one file and removes it, and its reason.
func (r *replay) file(ctx context.Context) error {
	if err := r.p.client.await(ctx); err != nil {
		return err
	}
	resumed, err := r.begin(ctx)
	if err != nil {
		return err
	}
	why, err := r.reason()
	if err != nil {
		return err
	}
	file, err := r.dir.Open(r.name+linesSuffix, false)
	if err != nil {
		return err
	}
	reader := bufio.NewReaderSize(durable.Reader(file, r.at.Done), 256<<10)
	for more := true; more && err == nil; resumed = false {
		var piece []byte
		if piece, more, err = nextPiece(reader, r.p.replayBytes, len(why.Sent) > 0); err == nil && len(piece) > 0 {
			err = r.piece(ctx, piece, why, resumed)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	// The lines first: without them the progress and the reason mean nothing, and
	// with them a replay that is interrupted here can still go on.
	for _, name := range []string{r.name + linesSuffix, r.progressName(), r.name + reasonSuffix} {
		if err := r.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := r.dir.SyncDir("."); err != nil {
			return err
		}
	}
	return nil
}

// nextPiece reads about size bytes of whole lines, or one longer line; with
// whole, the rest of the file. more is false at the end of the file.
func nextPiece(from *bufio.Reader, size int, whole bool) (piece []byte, more bool, err error) {
	for {
		line, err := from.ReadSlice('\n')
		piece = append(piece, line...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // the line goes on
		case errors.Is(err, io.EOF):
			return piece, false, nil
		case err != nil:
			return nil, false, err
		case len(piece) >= size && !whole:
			return piece, true, nil
		}
	}
}

// begin reads the progress file, or makes a new progress. It reports whether the
// file was there.
func (r *replay) begin(ctx context.Context) (resumed bool, err error) {
	p := r.p
	topic, err := p.currentTopic(ctx)
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(filepath.Join(r.dir.Path(), r.progressName()))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.at = progress{ID: rand.Text()[:16], Topic: p.cfg.Topic, TopicID: topic, RecordBytes: int(p.recordBytes.Load())}
		return false, nil
	case err != nil:
		return false, err
	}
	if err := json.Unmarshal(text, &r.at); err != nil {
		return false, fmt.Errorf("%s: %w", r.progressName(), err)
	}
	if r.at.Topic != p.cfg.Topic {
		return false, fmt.Errorf("its replay into topic %s was interrupted: finish it there (-topic %s), or remove %s to send all of it to %s",
			r.at.Topic, r.at.Topic, r.progressName(), p.cfg.Topic)
	}
	if r.at.TopicID != topic {
		// The topic was made again, and holds nothing of the interrupted one.
		r.at.TopicID, r.at.From = topic, map[int32]int64{}
	}
	if r.at.Rejected > 0 {
		if r.rejected, err = os.ReadFile(filepath.Join(r.dir.Path(), r.name+rejectedSuffix)); err != nil {
			return false, err
		}
		r.rejected = r.rejected[:min(r.at.Rejected, len(r.rejected))] // more was written for the piece that comes again
	}
	return true, nil
}

// save puts the progress on disk.
func (r *replay) save() error {
	text, err := json.Marshal(r.at)
	if err != nil {
		return err
	}
	return writeFile(r.dir, r.progressName(), append(text, '\n'))
}

// reason reads the file that says why the lines are dead letters. A file that
// this program has not written has none.
func (r *replay) reason() (reason, error) {
	var why reason
	text, err := os.ReadFile(filepath.Join(r.dir.Path(), r.name+reasonSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return why, nil
	}
	if err != nil {
		return why, err
	}
	if err := json.Unmarshal(text, &why); err != nil {
		return why, fmt.Errorf("%s: %w", r.name+reasonSuffix, err)
	}
	return why, nil
}

// piece sends the lines that begin at Done and waits until the topic has them.
// resumed says that an interrupted replay may have sent some of them.
func (r *replay) piece(ctx context.Context, lines []byte, why reason, resumed bool) error {
	size := int64(len(lines))
	if len(why.Sent) > 0 {
		var err error
		if lines, err = r.missing(ctx, lines, why); err != nil {
			return err
		}
	}
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	b.AppendLines(lines, codec.Limits{}, func(line []byte, e codec.RecordError) {
		r.p.log.Error("dead letter does not parse", "file", r.name+linesSuffix, "line", e.Index, "field", e.Field, "reason", e.Reason)
		r.rejected = append(append(r.rejected, line...), '\n')
	})
	records := r.records(b)
	var there map[string]bool // ids of the records that the topic has already
	var err error
	if resumed && r.at.From != nil {
		ids := map[string]bool{}
		for i := range records {
			ids[headerOf(&records[i], headerID)] = true
		}
		if there, err = r.p.idsInTopic(ctx, r.at.Topic, r.at.From, ids); err != nil {
			return fmt.Errorf("look into topic %s for what was sent before the interruption: %w", r.at.Topic, err)
		}
		r.p.log.Info("an interrupted replay goes on", "file", r.name+linesSuffix, "kafka records", len(records), "in the topic already", len(there))
	} else {
		if r.at.From, err = r.p.ends(ctx, r.at.Topic); err != nil {
			return err
		}
		if err := r.save(); err != nil {
			return err
		}
	}
	if err := r.p.produceAll(ctx, records, there); err != nil {
		return err
	}
	if len(r.rejected) > r.at.Rejected {
		if err := writeFile(r.dir, r.name+rejectedSuffix, r.rejected); err != nil {
			return err
		}
		r.at.Rejected = len(r.rejected)
	}
	r.at.Done += size
	r.at.Records += b.Records()
	r.at.From = nil
	return r.save()
}

// records makes the Kafka records of a piece. The same piece gives the same records
// with the same ids, also after a restart.
func (r *replay) records(b *codec.Batch) []kgo.Record {
	var records []kgo.Record
	for _, run := range b.Runs() {
		hour := kgo.RecordHeader{Key: headerHour, Value: []byte(run.Hour.String())}
		for lines := b.Lines(run); len(lines) > 0; {
			n := wholeLines(lines, r.at.RecordBytes)
			value := bytes.Clone(lines[:n]) // the batch goes back to its pool, perhaps before franz-go has sent it
			if bytes.IndexByte(value, '\n') == n-1 {
				value = value[:n-1]
			}
			id := fmt.Appendf(nil, "%s-%d-%d", r.at.ID, r.at.Done, len(records))
			records = append(records, kgo.Record{Value: value, Headers: []kgo.RecordHeader{hour, {Key: headerID, Value: id}}})
			lines = lines[n:]
		}
	}
	return records
}

// produceAll sends the records whose ids are not in there, and waits until all of
// them are acknowledged. When ctx ends before that, they may still arrive.
func (p *Producer) produceAll(ctx context.Context, records []kgo.Record, there map[string]bool) error {
	outcome := make(chan error, len(records)+1)
	count := 0
	for i := range records {
		if there[headerOf(&records[i], headerID)] {
			continue
		}
		count++
		p.toTopic.Load().Produce(context.Background(), &records[i], func(_ *kgo.Record, err error) { outcome <- err })
	}
	pending := make(chan struct{}) // the next Replay waits for it: what is still on its way must not be looked for yet
	p.replaying = pending
	failed := make(chan error, 1)
	go func() {
		defer close(pending)
		var first error
		for range count {
			if err := <-outcome; err != nil && first == nil {
				first = err
			}
		}
		failed <- first
	}()
	select {
	case err := <-failed:
		if err != nil {
			return classified(err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no acknowledgement in time: %w", sink.ErrUnavailable, ctx.Err())
	}
}

// currentTopic returns the id of the topic.
func (p *Producer) currentTopic(ctx context.Context) (topicID, error) {
	topics, err := kadm.NewClient(p.client.Client).ListTopics(ctx, p.cfg.Topic)
	if err == nil {
		err = topics[p.cfg.Topic].Err
	}
	return topicID(topics[p.cfg.Topic].ID), err
}
