package kafka

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
)

const (
	// batchOverhead is what may surround the lines of a record batch, in bytes.
	batchOverhead = 1 << 10
	// batchBytes is how much of a partition is sent at once, before compression:
	// after an outage a request may hold that much of each partition.
	batchBytes = 1536 << 10
	// otherTopicBytes is the same for the dead-letter topic, which may have
	// Kafka's default max.message.bytes of 1 MiB.
	otherTopicBytes = 1000 << 10
)

// producerOptions returns what the producer's client adds to clientOptions.
// limit returns the size of the largest record batch for a topic; a client asks
// it once for each topic.
func producerOptions(cfg *config.Config, limit func(topic string) int32) ([]kgo.Opt, error) {
	k := cfg.Kafka
	if k.RecordBytes < 1 {
		return nil, errors.New("kafka.recordBytes: must be at least 1 (one line a record)")
	}
	if int64(k.RecordBytes)+batchOverhead > int64(k.MaxMessageBytes) || k.MaxMessageBytes > math.MaxInt32 {
		return nil, fmt.Errorf("kafka.recordBytes: %s does not fit into kafka.maxMessageBytes, %s", k.RecordBytes, k.MaxMessageBytes)
	}
	compression, err := compressionOf(k.Compression)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(k.Topic),
		kgo.RecordPartitioner(kgo.LeastBackupPartitioner()),
		compression,
		kgo.ProducerLinger(k.Linger),
		kgo.ProducerBatchMaxBytesFn(limit),
		kgo.MaxBufferedRecords(math.MaxInt), // Producer.room is the bound
		// No RecordDeliveryTimeout: what has been sent once may be in the log,
		// whatever the answers to later tries were, and only trying again, with
		// the same sequence number, tells. kafka.deliveryTimeout is for what was
		// never sent; see Producer.join. A missing topic is no exception, it
		// is missing for a moment after a broker's restart.
		kgo.UnknownTopicRetries(-1),
	}
	if k.RequireAllAcks {
		opts = append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
	} else {
		// Idempotence needs all acknowledgements.
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(5))
	}
	return opts, nil
}

func compressionOf(name string) (kgo.Opt, error) {
	switch name {
	case "none":
		return kgo.ProducerBatchCompression(kgo.NoCompression()), nil
	case "lz4":
		return kgo.ProducerBatchCompression(kgo.Lz4Compression()), nil
	case "snappy":
		return kgo.ProducerBatchCompression(kgo.SnappyCompression()), nil
	case "zstd":
		return kgo.ProducerBatchCompression(kgo.ZstdCompression()), nil
	}
	return nil, fmt.Errorf("kafka.compression: %q is none of none, lz4, snappy, zstd", name)
}
