package archive

import (
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
)

// Check returns why the archive of this configuration could not be made: a
// certificate that cannot be read, for example. It asks no destination.
func Check(cfg config.Archive) error {
	if cfg.S3.Bucket == "" {
		return nil
	}
	_, err := newS3(cfg.S3, slog.New(slog.DiscardHandler), metrics.NewSet())
	return err
}
