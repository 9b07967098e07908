package kafka

// The topics: created where they are missing, otherwise left as they are, and
// checked for settings with which this program cannot work.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config"
	"logforge/sink"
)

// DeadLetterTopic is the topic of what does not parse.
func DeadLetterTopic(cfg config.Kafka) string {
	if cfg.DeadLetterTopic != "" {
		return cfg.DeadLetterTopic
	}
	return cfg.Topic + ".dlq"
}

// EnsureTopics creates cfg's topic and its dead-letter topic where they are
// missing. Topics that exist are left as they are: their
// partitions and settings are the cluster administrator's to decide. It tries until ctx ends.
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
		case errors.Is(err, kerr.TopicAlreadyExists): // another process was faster
		case err != nil:
			return fmt.Errorf("create topic %s with %d partitions: %w", t.name, t.partitions, err)
		default:
			log.Info("topic created", "topic", t.name, "partitions", t.partitions)
		}
	}
	return nil
}

// topicState is what the cluster says of the topic.
type topicState struct {
	id         topicID
	cluster    string // cluster id
	partitions int
	replicas   int // of the partition that has the fewest
	settings   topicSettings
}

// topicSettings are the settings of a topic that this program depends on.
type topicSettings struct {
	// batchBytes is the size of the largest record batch that the topic takes:
	// the smaller one of its max.message.bytes and segment.bytes.
	batchBytes    int
	cleanupPolicy string
	minInSync     int
}

// unreadSettings stand for those of a topic whose settings may not be read (the
// right DescribeConfigs): what Kafka has by default.
var unreadSettings = topicSettings{batchBytes: 1_048_588, cleanupPolicy: "delete", minInSync: 1}

// topicNeeds is what a client wants of the topic.
type topicNeeds struct {
	right      kadm.ACLOperation // to the topic
	batchBytes int               // of the smallest batch that has to fit; 0 for a client that does not produce
	inSync     bool              // acknowledgements need min.insync.replicas
	// read is called, in the goroutine that watches the cluster, whenever the
	// settings have been read, and before the client becomes usable by that.
	read func(topicState)
}

// describeTopic asks for what changes rarely and decides about it. The error
// names what the topic's administrator has to change.
func (c *client) describeTopic(ctx context.Context, admin *kadm.Client, md kadm.Metadata) (topicState, error) {
	topic := md.Topics[c.cfg.Topic]
	s := topicState{id: topicID(topic.ID), cluster: md.Cluster, partitions: len(topic.Partitions)}
	for _, p := range topic.Partitions {
		if n := len(p.Replicas); s.replicas == 0 || n < s.replicas {
			s.replicas = n
		}
	}
	configs, err := admin.DescribeTopicConfigs(ctx, c.cfg.Topic)
	var found kadm.ResourceConfig
	if err == nil {
		found, err = configs.On(c.cfg.Topic, func(r *kadm.ResourceConfig) error { return r.Err })
	}
	switch group, _ := groupOfError(err); {
	case err == nil:
		s.settings = settingsOf(found)
	case group.class == refusing:
		s.settings = unreadSettings
		if !c.warned {
			c.warned = true
			c.log.Warn("the topic's settings may not be read: taking Kafka's defaults; grant DescribeConfigs on the topic", "topic", c.cfg.Topic, "err", err)
		}
	default:
		return s, fmt.Errorf("asking for the settings of topic %s: %w", c.cfg.Topic, err)
	}
	return s, c.examine(s, topic.AuthorizedOperations)
}

func settingsOf(r kadm.ResourceConfig) topicSettings {
	s := unreadSettings
	number := func(c kadm.Config, into *int) {
		if n, err := strconv.Atoi(c.MaybeValue()); err == nil {
			*into = n
		}
	}
	segment := 0
	for _, c := range r.Configs {
		switch c.Key {
		case "max.message.bytes":
			number(c, &s.batchBytes)
		case "segment.bytes":
			number(c, &segment)
		case "min.insync.replicas":
			number(c, &s.minInSync)
		case "cleanup.policy":
			s.cleanupPolicy = c.MaybeValue()
		}
	}
	if segment > 0 {
		s.batchBytes = min(s.batchBytes, segment)
	}
	return s
}

// examine returns what makes the topic unusable, wrapping sink.ErrRefused.
func (c *client) examine(s topicState, rights []kadm.ACLOperation) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: topic %s: %w", sink.ErrRefused, c.cfg.Topic, fmt.Errorf(format, args...))
	}
	switch {
	case strings.Contains(s.settings.cleanupPolicy, "compact"):
		return refuse("cleanup.policy is %s: compaction refuses records without a key and removes others; set it to delete", s.settings.cleanupPolicy)
	case s.settings.batchBytes < c.needs.batchBytes:
		return refuse("it takes record batches of at most %d bytes (max.message.bytes, segment.bytes), and one line may need %d: raise them, or lower ingestion.maxRecordBytes",
			s.settings.batchBytes, c.needs.batchBytes)
	case c.needs.inSync && s.replicas > 0 && s.replicas < s.settings.minInSync:
		return refuse("it has %d replicas, and min.insync.replicas wants %d acknowledgements: lower it, or add replicas", s.replicas, s.settings.minInSync)
	case len(rights) > 0 && !slices.Contains(rights, c.needs.right) && !slices.Contains(rights, kadm.OpAll):
		return refuse("this user has no right to %v there: grant it", c.needs.right)
	}
	return nil
}
