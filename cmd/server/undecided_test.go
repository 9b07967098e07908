package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
)

func TestServer_Version1DoesNotStartBesideAnUndecidedTransaction(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default().Storage
	cfg.LogsDir = filepath.Join(dir, "logs")
	files, err := hourly.Open(cfg, sink.Synced, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	if err := b.Decode([]byte(`{"timestamp":"2026-02-09T15:00:00Z","path":"/","userAgent":"a"}`), codec.JSON, codec.Limits{}); err != nil {
		t.Fatal(err)
	}
	if err := files.Append(b); err != nil {
		t.Fatal(err)
	}
	if err := files.Prepare(hourly.NewTxID(), []byte("position")); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and changes nothing
		c := launch(t, dir, nil, "-addr", "127.0.0.1:0", "-version", "1")
		c.expect(1, "start pipeline 2 on this directory once")
	}
	files, err = hourly.Open(cfg, sink.Synced, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	if _, pending := files.Pending(); !pending {
		t.Error("the transaction is no longer there to be decided")
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
}
