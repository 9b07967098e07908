package archive

import (
	"errors"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
)

// Check returns why the archive of this configuration could not be made: a
// certificate that cannot be read, for example, or a file whose text is no URL.
// It asks no destination.
func Check(cfg config.Archive) (err error) {
	if cfg.S3.Bucket != "" {
		_, err = newS3(cfg.S3, slog.New(slog.DiscardHandler), metrics.NewSet())
		if _, secret := cfg.S3.Secret(); err == nil {
			err = secret
		}
	}
	if cfg.Postgres.Enabled() {
		_, url := connection(cfg.Postgres)
		err = errors.Join(err, url)
	}
	return err
}
