package main

import (
	"log/slog"
	"testing"

	"logforge/config"
)

func TestServe_KeepsDescriptorsForAcceptingConnections(t *testing.T) {
	for _, limit := range []uint64{0, 64, 128, 256, 1024, 4096, 20_000, 1 << 20} {
		cfg := config.Default()
		files, connections := cfg.Storage.MaxOpenFiles, cfg.Server.MaxConnections
		fitOpenFiles(&cfg, limit, slog.New(slog.DiscardHandler))
		switch all := cfg.Storage.MaxOpenFiles + cfg.Server.MaxConnections + reservedFiles; {
		case cfg.Storage.MaxOpenFiles < 1 || cfg.Server.MaxConnections < 1:
			t.Errorf("limit %d: %d files and %d connections", limit, cfg.Storage.MaxOpenFiles, cfg.Server.MaxConnections)
		case limit > reservedFiles+8 && uint64(all) > limit:
			t.Errorf("limit %d: %d descriptors may be used", limit, all)
		case limit >= uint64(files+connections+reservedFiles) && (cfg.Storage.MaxOpenFiles != files || cfg.Server.MaxConnections != connections):
			t.Errorf("limit %d: lowered without need", limit)
		}
	}
}
