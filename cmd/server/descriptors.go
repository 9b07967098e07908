package main

import (
	"log/slog"
	"math"
	"syscall"

	"logforge/config"
)

// reservedFiles is how many descriptors are kept for everything but hourly files
// and clients: directories, journal, log, summaries, archive, Kafka.
const reservedFiles = 128

// openFilesLimit returns how many descriptors the process may have. (The Go
// runtime has already raised the soft limit to the hard one.)
func openFilesLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64
	}
	return limit.Cur
}

// fitOpenFiles lowers storage.maxOpenFiles, and then server.maxConnections, to
// what the process may have open, so that neither takes what the other, or
// accepting a connection, needs. It says so.
func fitOpenFiles(cfg *config.Config, limit uint64, log *slog.Logger) {
	files, connections := uint64(cfg.Storage.MaxOpenFiles), uint64(cfg.Server.MaxConnections)
	if files+connections+reservedFiles <= limit {
		return
	}
	// A quarter is enough for the files: more are closed and opened again.
	room := max(limit, reservedFiles+8) - reservedFiles
	files = min(files, max(room/4, 4))
	connections = min(connections, room-files)
	log.Warn("the limit of open files is below storage.maxOpenFiles + server.maxConnections: keeping fewer (raise the limit with ulimit -n or LimitNOFILE)",
		"limit", limit, "storage.maxOpenFiles", files, "server.maxConnections", connections)
	cfg.Storage.MaxOpenFiles, cfg.Server.MaxConnections = int(files), int(connections)
}
