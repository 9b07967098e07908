package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/valyala/fasthttp"

	"logforge/config"
)

// topic is the Kafka topic that a baseline produces to and consumes from.
type topic struct{ brokers, name, compression string }

// raw makes each body one Kafka record, as it came.
func (t topic) raw(addr, dir string) error {
	return t.run(dir, func(client *kgo.Client) error { return serve(addr, produceBody(client)) }, appendBodies)
}

// simple is the usual way: it makes each line one Kafka record.
func (t topic) simple(addr, dir string) error {
	return t.run(dir, func(client *kgo.Client) error { return http.ListenAndServe(addr, simpleProducer{client}) }, consumeSimple)
}

var compressions = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(),
}

// run serves and consumes until one of them fails.
func (t topic) run(dir string, serve func(*kgo.Client) error, consume func(*kgo.Client, string) error) error {
	compression, ok := compressions[t.compression]
	if !ok {
		return fmt.Errorf("-compression %s: use none, lz4, snappy or zstd", t.compression)
	}
	seeds := kgo.SeedBrokers(strings.Split(t.brokers, ",")...)
	defaults := config.Default().Kafka
	producer, err := kgo.NewClient(seeds,
		kgo.DefaultProduceTopic(t.name),
		kgo.ProducerBatchCompression(compression),
		kgo.ProducerLinger(defaults.Linger),
		kgo.ProducerBatchMaxBytes(int32(defaults.MaxMessageBytes)),
	)
	if err != nil {
		return err
	}
	consumer, err := kgo.NewClient(seeds,
		kgo.ConsumeTopics(t.name),
		kgo.ConsumerGroup(t.name),
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

// appendBodies appends each record as it is, with one write and one commit for
// each poll.
func appendBodies(client *kgo.Client, dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "bodies"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	var bodies []byte
	for {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			return errors.Join(err, f.Close())
		}
		bodies = bodies[:0]
		fetches.EachRecord(func(r *kgo.Record) { bodies = append(bodies, r.Value...) })
		if _, err := f.Write(bodies); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
			return errors.Join(err, f.Close())
		}
		client.AllowRebalance()
	}
}
