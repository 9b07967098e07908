package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
	"logforge/sink"
)

// DeadLetters reads the dead-letter topic, as far as it reaches when it is
// opened.
type DeadLetters struct {
	topic  string
	opts   []kgo.Opt
	starts map[int32]int64 // the oldest offset of each partition
	ends   map[int32]int64 // the offset after the last
}

// OpenDeadLetters asks the cluster which dead letters there are.
func OpenDeadLetters(ctx context.Context, cfg config.Kafka, log *slog.Logger) (*DeadLetters, error) {
	opts, err := clientOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	d := &DeadLetters{topic: DeadLetterTopic(cfg), opts: opts, starts: map[int32]int64{}, ends: map[int32]int64{}}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	for _, list := range []struct {
		ask  func(context.Context, ...string) (kadm.ListedOffsets, error)
		into map[int32]int64
	}{{admin.ListStartOffsets, d.starts}, {admin.ListEndOffsets, d.ends}} {
		listed, err := list.ask(ctx, d.topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("dead-letter topic %s: %w", d.topic, err)
		}
		listed.Each(func(o kadm.ListedOffset) { list.into[o.Partition] = o.Offset })
	}
	return d, nil
}

// Topic returns the topic's name.
func (d *DeadLetters) Topic() string { return d.topic }

// Partitions returns the partitions, in ascending order.
func (d *DeadLetters) Partitions() []int32 { return slices.Sorted(maps.Keys(d.ends)) }

// Span returns the oldest offset of a partition and the one after its last.
func (d *DeadLetters) Span(partition int32) (from, to int64) {
	return d.starts[partition], d.ends[partition]
}

// Read calls f with each dead letter of a partition from the offset on, in order,
// up to the end of Span. It ends early with the error of f. The record is f's.
func (d *DeadLetters) Read(ctx context.Context, partition int32, from int64, f func(offset int64, r sink.Rejected) error) error {
	from, to := max(from, d.starts[partition]), d.ends[partition]
	if from >= to {
		return nil
	}
	opts := append(slices.Clone(d.opts), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{d.topic: {partition: kgo.NewOffset().At(from)}}))
	reader, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer reader.Close()
	for from < to {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("dead-letter topic %s: %w", d.topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= to {
				return nil
			}
			from = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			if err := f(r.Offset, rejectedOf(r)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejectedOf is the opposite of rejectedLetter; a line of the topic that did not
// parse has no route and no client.
func rejectedOf(r *kgo.Record) sink.Rejected {
	rejected := sink.Rejected{
		At: r.Timestamp, From: headerOf(r, headerClient), Route: headerOf(r, headerRoute),
		Field: headerOf(r, headerField), Reason: headerOf(r, headerReason), Record: r.Value,
	}
	if at, err := time.Parse(time.RFC3339Nano, headerOf(r, headerAt)); err == nil {
		rejected.At = at
	}
	rejected.Bytes, _ = strconv.Atoi(headerOf(r, headerFullSize)) // 0: it is whole
	return rejected
}
