package kafka

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
)

// producerOptions returns what the producer's client adds to clientOptions.
func producerOptions(cfg *config.Config) ([]kgo.Opt, error) {
	k := cfg.Kafka
	if k.RecordBytes < 1 {
		return nil, errors.New("kafka.recordBytes: must be at least 1 (one line a record)")
	}
	// One line may be longer than recordBytes, and six times as long as it was
	// sent: a control character in CSV becomes \u00XX.
	const batchOverhead = 1 << 10
	largest := max(int64(k.RecordBytes), 6*int64(cfg.Ingestion.MaxRecordBytes)) + batchOverhead
	if int64(k.RecordBytes)+batchOverhead > int64(k.MaxMessageBytes) || k.MaxMessageBytes > math.MaxInt32 {
		return nil, fmt.Errorf("kafka.recordBytes: %s does not fit into kafka.maxMessageBytes, %s", k.RecordBytes, k.MaxMessageBytes)
	}
	compression, err := compressionOf(k.Compression)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(k.Topic),
		kgo.RecordPartitioner(spread{}),
		compression,
		kgo.ProducerLinger(k.Linger),
		// No larger than needed: after an outage a request may hold a full
		// batch of each partition.
		kgo.ProducerBatchMaxBytes(int32(min(max(largest, 1<<20), int64(k.MaxMessageBytes)))),
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
		c, err := newLZ4Compressor()
		return kgo.WithCompressor(c), err
	case "snappy":
		return kgo.ProducerBatchCompression(kgo.SnappyCompression()), nil
	case "zstd":
		return kgo.ProducerBatchCompression(kgo.ZstdCompression()), nil
	}
	return nil, fmt.Errorf("kafka.compression: %q is none of none, lz4, snappy, zstd", name)
}
