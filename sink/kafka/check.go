package kafka

import (
	"errors"
	"log/slog"

	"logforge/config"
)

// Check returns why no client could be made with this configuration: a
// certificate that cannot be read, for example. It does not ask the cluster.
func Check(cfg *config.Config) error {
	_, connect := clientOptions(cfg.Kafka, slog.New(slog.DiscardHandler))
	_, produce := producerOptions(cfg, func(string) int32 { return batchBytes })
	return errors.Join(connect, produce)
}
