package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/valyala/fasthttp"

	"logforge/config"
)

// settings is the way to Kafka of both designs.
type settings struct{ brokers, topic, compression string }

var compressions = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(),
}

// run serves and consumes until one of them fails.
func (k settings) run(dir string, serve func(*kgo.Client) error, consume func(*kgo.Client, string) error) error {
	compression, ok := compressions[k.compression]
	if !ok {
		return fmt.Errorf("-compression %s: use none, lz4, snappy or zstd", k.compression)
	}
	seeds := kgo.SeedBrokers(strings.Split(k.brokers, ",")...)
	defaults := config.Default().Kafka
	producer, err := kgo.NewClient(seeds,
		kgo.DefaultProduceTopic(k.topic),
		kgo.ProducerBatchCompression(compression),
		kgo.ProducerLinger(defaults.Linger),
		kgo.ProducerBatchMaxBytes(int32(defaults.MaxMessageBytes)),
	)
	if err != nil {
		return err
	}
	consumer, err := kgo.NewClient(seeds,
		kgo.ConsumeTopics(k.topic),
		kgo.ConsumerGroup(k.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- serve(producer) }()
	go func() { failed <- consume(consumer, dir) }()
	return <-failed
}

// produceBody answers when every in-sync replica has the body as it came.
func produceBody(client *kgo.Client) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if err := client.ProduceSync(context.Background(), kgo.SliceRecord(ctx.PostBody())).FirstErr(); err != nil {
			ctx.Error(err.Error(), fasthttp.StatusServiceUnavailable)
			return
		}
		ctx.SetStatusCode(fasthttp.StatusAccepted)
	}
}

// appendBodies appends each record and a line end; what one poll gives is one
// write and one commit.
func appendBodies(client *kgo.Client, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "bodies.log.json"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	var lines []byte
	for {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return errors.Join(err, f.Close())
		}
		lines = lines[:0]
		fetches.EachRecord(func(r *kgo.Record) { lines = append(append(lines, r.Value...), '\n') })
		if _, err := f.Write(lines); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			return errors.Join(err, f.Close())
		}
		client.AllowRebalance()
	}
}
