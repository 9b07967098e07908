package kafka

// Looking in the topic for Kafka records that may have arrived.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clockSkew is how far the clock of a broker may be from this machine's: with
// LogAppendTime a topic's timestamps are the broker's.
const clockSkew = time.Hour

// missing returns the lines of a dead-letter file, given as a whole, that the
// topic does not have, although they were sent.
func (r *replay) missing(ctx context.Context, lines []byte, why reason) ([]byte, error) {
	var letters []letter
	for _, s := range why.Sent {
		if s.Bytes < 1 || s.Bytes > len(lines) {
			return nil, fmt.Errorf("its lines are not those that %s describes; without it they are all sent again, and may be in the topic twice", r.name+reasonSuffix)
		}
		letters = append(letters, letter{lines[:s.Bytes], s.Millis, s.ID})
		lines = bytes.TrimPrefix(lines[s.Bytes:], newline)
	}
	if len(lines) > 0 {
		return nil, fmt.Errorf("it has more lines than %s describes", r.name+reasonSuffix)
	}
	there, err := r.p.inTopic(ctx, why.Topic, letters)
	if err != nil {
		return nil, fmt.Errorf("look into topic %s for what may be there already: %w", why.Topic, err)
	}
	var rest []byte
	found := 0
	for _, l := range letters {
		if there[l.mark()] {
			found++
			continue
		}
		rest = appendLines(rest, l.value)
	}
	r.p.log.Info("dead letters of unknown outcome", "kafka records", len(letters), "in the topic already", found)
	return rest, nil
}

// mark is what a Kafka record is known by: its id, or, where it was sent by an
// older version, its timestamp and its content.
type mark struct {
	id     string
	millis int64
	hash   [sha256.Size]byte
}

func (l letter) mark() mark {
	if l.id != "" {
		return mark{id: l.id}
	}
	return mark{millis: l.millis, hash: sha256.Sum256(l.value)}
}

// inTopic reads the topic from the time of the oldest of the letters to its
// present end and returns the marks of those it has.
func (p *Producer) inTopic(ctx context.Context, topic string, letters []letter) (map[mark]bool, error) {
	wanted, there := map[mark]bool{}, map[mark]bool{}
	oldest := letters[0].millis
	for _, l := range letters {
		wanted[l.mark()] = true
		oldest = min(oldest, l.millis)
	}
	starts, err := kadm.NewClient(p.client.Client).ListOffsetsAfterMilli(ctx, oldest-clockSkew.Milliseconds(), topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	from := map[int32]int64{}
	starts.Each(func(o kadm.ListedOffset) { from[o.Partition] = o.Offset })
	err = p.scan(ctx, topic, from, func(r *kgo.Record) {
		l := letter{r.Value, r.Timestamp.UnixMilli(), headerOf(r, headerID)}
		for _, m := range []mark{{id: l.id}, letter{value: l.value, millis: l.millis}.mark()} {
			if wanted[m] {
				there[m] = true
			}
		}
	})
	return there, err
}

// idsInTopic reads the topic from the offsets from to its present end and
// returns which of the ids are there.
func (p *Producer) idsInTopic(ctx context.Context, topic string, from map[int32]int64, ids map[string]bool) (map[string]bool, error) {
	there := map[string]bool{}
	err := p.scan(ctx, topic, from, func(r *kgo.Record) {
		if id := headerOf(r, headerID); ids[id] {
			there[id] = true
		}
	})
	return there, err
}

// ends returns the offsets at which the topic's partitions end at present.
func (p *Producer) ends(ctx context.Context, topic string) (map[int32]int64, error) {
	listed, err := kadm.NewClient(p.client.Client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, err
}

// scan calls see for every record from the offsets from to the topic's present
// end. A partition that from does not name is read from its beginning.
func (p *Producer) scan(ctx context.Context, topic string, from map[int32]int64, see func(*kgo.Record)) error {
	until, err := p.ends(ctx, topic)
	if err != nil {
		return err
	}
	listed, err := kadm.NewClient(p.client.Client).ListStartOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	listed.Each(func(start kadm.ListedOffset) {
		begin := max(from[start.Partition], start.Offset)
		if begin < until[start.Partition] {
			offsets[start.Partition] = kgo.NewOffset().At(begin)
		} else {
			delete(until, start.Partition)
		}
	})
	if len(until) == 0 {
		return nil
	}
	opts, err := clientOptions(p.cfg, p.log)
	if err != nil {
		return err
	}
	opts = append(opts, kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	reader, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer reader.Close()
	for len(until) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				see(r)
			}
			if r.Offset >= until[r.Partition]-1 {
				delete(until, r.Partition)
			}
		})
	}
	return nil
}
