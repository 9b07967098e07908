package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
)

var errDown = errors.New("down")

func TestLog_WithoutThrottleLogsEverything(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, config.Log{Level: "error", Format: "json"}, metrics.NewSet())

	for range 5 {
		log.Error("x", "err", errDown)
		log.Warn("below the level")
	}
	log.close()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5", len(lines))
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &fields); err != nil || fields[slog.MessageKey] != "x" || fields["err"] != "down" {
		t.Errorf("%v %v", fields, err)
	}
}
