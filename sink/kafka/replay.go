package kafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
	"logforge/sink"
)

// Replay sends the dead letters in dir again and removes each file once the
// topic has all of it. It returns how many records that were. After an error
// the files that remain can be replayed again.
//
// What was sent before, with an outcome that nobody knows, is looked for in the
// topic first, so that it does not become a duplicate.
//
// Lines that do not parse, in a file that somebody has edited, stay behind in
// a file whose name ends in .rejected.
func (p *Producer) Replay(ctx context.Context, dir string) (records int, err error) {
	unlock, err := lockDir(dir)
	if err != nil {
		return 0, fmt.Errorf("replay %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	entries, err := os.ReadDir(dir) // sorted, and so in order of time
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), linesSuffix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		n, err := p.replayFile(ctx, path)
		records += n
		if err != nil {
			return records, fmt.Errorf("replay %s: %w", path, err)
		}
		p.log.Info("dead letters replayed", "file", path, "records", n)
	}
	return records, nil
}

// replayFile sends one file and removes it, and its reason. It returns how many
// records it sent.
func (p *Producer) replayFile(ctx context.Context, path string) (int, error) {
	dir, name := filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), linesSuffix)
	lines, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if lines, err = p.missing(ctx, lines, filepath.Join(dir, name+reasonSuffix)); err != nil {
		return 0, err
	}
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	var rejected []byte
	b.AppendLines(lines, codec.Limits{}, func(line []byte, e codec.RecordError) {
		p.log.Error("dead letter does not parse", "file", path, "line", e.Index, "field", e.Field, "reason", e.Reason)
		rejected = append(append(rejected, line...), '\n')
	})
	// As sure as this cluster's settings allow: all replicas, or the leader.
	if err := p.write(ctx, b, sink.Replicated); err != nil {
		return 0, err
	}
	if len(rejected) > 0 {
		if err := writeFile(dir, name+".rejected", rejected); err != nil {
			return b.Records(), err
		}
	}
	if err := os.Remove(path); err != nil {
		return b.Records(), err
	}
	if err := os.Remove(filepath.Join(dir, name+reasonSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return b.Records(), err
	}
	return b.Records(), syncDir(dir)
}

// missing returns the lines that the topic does not have. That is all of them,
// unless the reason says that they were sent with unknown outcome.
func (p *Producer) missing(ctx context.Context, lines []byte, reasonFile string) ([]byte, error) {
	text, err := os.ReadFile(reasonFile)
	if errors.Is(err, os.ErrNotExist) {
		return lines, nil // a file that somebody else has put here
	}
	if err != nil {
		return nil, err
	}
	var r reason
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", reasonFile, err)
	}
	if len(r.Sent) == 0 {
		return lines, nil
	}
	var letters []letter
	for _, s := range r.Sent {
		if s.Bytes < 1 || s.Bytes > len(lines) {
			return nil, fmt.Errorf("its lines are not those that %s describes; without it they are all sent again, and may be in the topic twice", reasonFile)
		}
		letters = append(letters, letter{lines[:s.Bytes], s.Millis})
		lines = bytes.TrimPrefix(lines[s.Bytes:], newline)
	}
	if len(lines) > 0 {
		return nil, fmt.Errorf("it has more lines than %s describes", reasonFile)
	}
	there, err := p.inTopic(ctx, r.Topic, letters)
	if err != nil {
		return nil, fmt.Errorf("look into topic %s for what may be there already: %w", r.Topic, err)
	}
	var rest []byte
	found := 0
	for _, l := range letters {
		if there[l.mark()] {
			found++
			continue
		}
		rest = append(rest, l.value...)
		if l.value[len(l.value)-1] != '\n' {
			rest = append(rest, '\n')
		}
	}
	p.log.Info("dead letters of unknown outcome", "kafka records", len(letters), "in the topic already", found)
	return rest, nil
}

// mark is what a Kafka record is known by: its timestamp and its content.
type mark struct {
	millis int64
	hash   [sha256.Size]byte
}

func (l letter) mark() mark { return mark{l.millis, sha256.Sum256(l.value)} }

// inTopic reads the topic from the time of the oldest of the letters to its
// present end and returns the marks of those it has.
func (p *Producer) inTopic(ctx context.Context, topic string, letters []letter) (map[mark]bool, error) {
	wanted, there := map[mark]bool{}, map[mark]bool{}
	oldest := letters[0].millis
	for _, l := range letters {
		wanted[l.mark()] = true
		oldest = min(oldest, l.millis)
	}
	admin := kadm.NewClient(p.client.Client)
	starts, err := admin.ListOffsetsAfterMilli(ctx, oldest, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	from, until := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		start, ok := starts.Lookup(topic, end.Partition)
		if ok && start.Offset < end.Offset {
			from[end.Partition], until[end.Partition] = kgo.NewOffset().At(start.Offset), end.Offset
		}
	})
	if len(from) == 0 {
		return there, nil
	}
	opts, err := clientOptions(p.cfg, p.log)
	if err != nil {
		return nil, err
	}
	reader, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for len(until) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if m := (letter{r.Value, r.Timestamp.UnixMilli()}).mark(); wanted[m] {
				there[m] = true
			}
			if r.Offset >= until[r.Partition]-1 {
				delete(until, r.Partition)
			}
		})
	}
	return there, nil
}

// lockDir takes the lock that keeps two replays of one directory apart.
func lockDir(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another replay is at work there: %w", err), f.Close())
	}
	return f.Close, nil
}
