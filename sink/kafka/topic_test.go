package kafka

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"logforge/config"
	"logforge/sink/kafka/kafkatest"
)

func TestTopics_AreMadeOnceAndThenLeftAlone(t *testing.T) {
	broker := kafkatest.Shared(t)
	cfg := testConfig(t, broker.Addr, broker.TopicName(t)).Kafka
	cfg.Partitions = 10
	client := broker.Client(t)
	defer client.Close()
	admin := kadm.NewClient(client)
	check := func(partitions int) {
		t.Helper()
		topics, err := admin.ListTopics(t.Context(), cfg.Topic, DeadLetterTopic(cfg))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(topics[cfg.Topic].Partitions); n != partitions {
			t.Errorf("%d partitions", n)
		}
		if n := len(topics[DeadLetterTopic(cfg)].Partitions); n != 1 {
			t.Errorf("%d partitions for dead letters", n)
		}
		settings, err := admin.DescribeTopicConfigs(t.Context(), cfg.Topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range settings[0].Configs {
			if s.Key == "max.message.bytes" && s.MaybeValue() != "8388608" {
				t.Errorf("max.message.bytes is %s", s.MaybeValue())
			}
		}
	}
	ensure := func() {
		t.Helper()
		if err := EnsureTopics(t.Context(), cfg, quietLog()); err != nil {
			t.Fatal(err)
		}
	}
	ensure()
	until(t, "the topics are known", func() bool {
		topics, err := admin.ListTopics(t.Context(), cfg.Topic, DeadLetterTopic(cfg))
		return err == nil && topics.Error() == nil
	})
	check(10)
	cfg.Partitions, cfg.MaxMessageBytes = 3, config.MiB
	ensure()
	check(10)
}

func TestTopics_OfAClusterThatIsAwayAreAnErrorInTime(t *testing.T) {
	cfg := testConfig(t, "127.0.0.1:1", "logs").Kafka
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EnsureTopics(ctx, cfg, quietLog()); err == nil {
		t.Error("no error")
	}
}
