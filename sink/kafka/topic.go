package kafka

// The topics: made when they are not there, left alone when they are.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
)

// DeadLetterTopic is the topic of what does not parse.
func DeadLetterTopic(cfg config.Kafka) string {
	if cfg.DeadLetterTopic != "" {
		return cfg.DeadLetterTopic
	}
	return cfg.Topic + ".dlq"
}

// EnsureTopics creates cfg's topic and its dead-letter topic where they are
// missing. Topics that exist are left as they are: partitions and settings
// belong to whoever runs the cluster. It tries until ctx ends.
func EnsureTopics(ctx context.Context, cfg config.Kafka, log *slog.Logger) error {
	opts, err := clientOptions(cfg, log)
	if err != nil {
		return err
	}
	kc, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer kc.Close()
	return ensureTopics(ctx, kadm.NewClient(kc), cfg, log)
}

func ensureTopics(ctx context.Context, admin *kadm.Client, cfg config.Kafka, log *slog.Logger) error {
	largest := strconv.FormatInt(int64(cfg.MaxMessageBytes), 10)
	for _, t := range []struct {
		name       string
		partitions int
	}{
		{cfg.Topic, cfg.Partitions},
		{DeadLetterTopic(cfg), 1},
	} {
		// Ask first: a client without the right to create topics is fine when
		// there is nothing to create.
		topics, err := admin.ListTopics(ctx, t.name)
		if err != nil {
			return fmt.Errorf("ask for topic %s at %v: %w", t.name, cfg.Brokers, err)
		}
		existing := topics[t.name]
		if existing.Err == nil {
			log.Debug("topic exists", "topic", t.name, "partitions", len(existing.Partitions))
			continue
		}
		if !errors.Is(existing.Err, kerr.UnknownTopicOrPartition) {
			return fmt.Errorf("topic %s: %w", t.name, existing.Err)
		}
		_, err = admin.CreateTopic(ctx, int32(t.partitions), int16(cfg.Replication),
			map[string]*string{"max.message.bytes": &largest}, t.name)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists): // somebody else was faster
		case err != nil:
			return fmt.Errorf("create topic %s with %d partitions: %w", t.name, t.partitions, err)
		default:
			log.Info("topic created", "topic", t.name, "partitions", t.partitions)
		}
	}
	return nil
}
