package main

// The program's own log: slog to standard error.

import (
	"io"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/config/logging"
	"logforge/config/metric"
)

// closeTimeout is how long the end of the process waits for the log's reader.
const closeTimeout = time.Second

// logger is the log and what changes it while the process runs.
type logger struct {
	*slog.Logger
	level  *slog.LevelVar
	writer *logging.Writer
	flush  func() // logs what the throttle has suppressed
}

// newLogger returns the log of cfg. Lines that w does not take in time are
// dropped, and counted in set.
func newLogger(w io.Writer, cfg config.Log, set *metrics.Set) *logger {
	dropped := metric.Counter(set, "logforge_log_dropped_lines_total", "Lines of the log that were dropped because its reader was stuck or gone.")
	l := &logger{level: new(slog.LevelVar), flush: func() {}}
	l.setLevel(cfg)
	l.writer = logging.NewWriter(w, dropped.Add)
	opts := &slog.HandlerOptions{Level: l.level}
	var h slog.Handler = slog.NewTextHandler(l.writer, opts)
	if cfg.Format == "json" {
		h = slog.NewJSONHandler(l.writer, opts)
	}
	unthrottled := slog.New(h)
	l.writer.Notice(func(lines int) {
		unthrottled.Warn("log lines were dropped, because what reads the log did not take them in time", "lines", lines)
	})
	if cfg.Throttle > 0 {
		h, l.flush = logging.Throttle(h, cfg.Throttle)
	}
	l.Logger = slog.New(h)
	return l
}

// setLevel sets the level of cfg, which has been validated.
func (l *logger) setLevel(cfg config.Log) {
	l.level.Set(map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[cfg.Level])
}

// close writes what has not been written yet, and waits for that for closeTimeout
// at most. The log cannot be used after that.
func (l *logger) close() {
	l.flush()
	l.writer.Close(closeTimeout)
}
