package kafka

// What does not parse goes to the dead-letter topic, one record a line, and is
// there before the offsets are committed. That is at least once: when the commit
// does not come to be, the lines are decoded and sent again. The same line has the
// same key, which names where it came from.

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/codec"
)

// Headers of a dead letter.
const (
	headerTopic     = "logforge-topic"     // where it came from
	headerPartition = "logforge-partition" // likewise, a decimal number
	headerOffset    = "logforge-offset"    // likewise
	headerLine      = "logforge-line"      // which line of the record's value, from 0, blank ones not counted
	headerField     = "logforge-field"     // timestamp, path, userAgent, or record
	headerReason    = "logforge-reason"    // for a person
	headerLines     = "logforge-lines"     // how many lines the value holds, when there is more than one
	headerCut       = "logforge-cut"       // how many bytes the line had, when the cluster took only its beginning
)

const (
	// maxGraves is how many dead letters one record can become: the lines
	// beyond share the last one, so that a record of garbage does not grow a
	// hundredfold.
	maxGraves = 100
	// maxDead is how many dead letters are sent at once.
	maxDead = 1000
	// keptBytes is what is kept of a line that is too large for the topic.
	keptBytes = 256 << 10
)

// grave gathers the bad lines of one record.
type grave struct {
	of    *kgo.Record
	bad   []badLine
	lines int // in the last of bad
}

type badLine struct {
	value  []byte
	line   int
	field  string
	reason string
}

// add takes one line; it is copied.
func (g *grave) add(line []byte, e codec.RecordError) {
	if n := len(g.bad); n == maxGraves {
		last := &g.bad[n-1]
		last.value = append(append(last.value, '\n'), line...)
		g.lines++
		return
	}
	g.bad = append(g.bad, badLine{append([]byte(nil), line...), e.Index, e.Field, e.Reason})
	g.lines = 1
}

// letters returns the dead letters, without their topic.
func (g *grave) letters() []*kgo.Record {
	if len(g.bad) == 0 {
		return nil
	}
	letters := make([]*kgo.Record, len(g.bad))
	for i, b := range g.bad {
		partition, offset, line := strconv.Itoa(int(g.of.Partition)), strconv.FormatInt(g.of.Offset, 10), strconv.Itoa(b.line)
		letters[i] = &kgo.Record{
			Key:   []byte(g.of.Topic + "/" + partition + "/" + offset + "/" + line),
			Value: b.value,
			Headers: []kgo.RecordHeader{
				{Key: headerTopic, Value: []byte(g.of.Topic)},
				{Key: headerPartition, Value: []byte(partition)},
				{Key: headerOffset, Value: []byte(offset)},
				{Key: headerLine, Value: []byte(line)},
				{Key: headerField, Value: []byte(b.field)},
				{Key: headerReason, Value: []byte(b.reason)},
			},
		}
	}
	if g.lines > 1 {
		last := letters[len(letters)-1]
		last.Headers = append(last.Headers, kgo.RecordHeader{Key: headerLines, Value: []byte(strconv.Itoa(g.lines))})
	}
	return letters
}

// bury produces the open transaction's dead letters, and returns once every
// in-sync replica has them.
func (s *session) bury(ctx context.Context) error {
	topic := DeadLetterTopic(s.c.cfg)
	for dead := s.tx.dead; len(dead) > 0; {
		n := min(len(dead), maxDead)
		for _, r := range dead[:n] {
			r.Topic = topic
		}
		for _, sent := range s.cl.ProduceSync(ctx, dead[:n]...) {
			err := sent.Err
			if errors.Is(err, kerr.MessageTooLarge) {
				shorten(sent.Record)
				err = s.cl.ProduceSync(ctx, sent.Record).FirstErr()
			}
			if err != nil {
				return fmt.Errorf("producing to dead-letter topic %s: %w", topic, err)
			}
		}
		dead = dead[n:]
	}
	if n := len(s.tx.dead); n > 0 {
		first := s.tx.dead[0]
		s.c.log.Warn("lines that do not parse went to the dead-letter topic", "topic", topic, "letters", n, "first", string(first.Key), "reason", headerOf(first, headerReason))
	}
	return nil
}

// shorten keeps the beginning of a dead letter, and says so.
func shorten(r *kgo.Record) {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: headerCut, Value: []byte(strconv.Itoa(len(r.Value)))})
	r.Value = r.Value[:min(len(r.Value), keptBytes)]
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
