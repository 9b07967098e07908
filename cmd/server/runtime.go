package main

// Settings of Go's runtime, where the environment does not set them.

import (
	"os"
	"runtime"
	"runtime/debug"

	"logforge/config"
)

// limitMemory sets a soft memory limit from the limits on what is in flight, so
// that the garbage collector works harder before garbage doubles that amount.
// GOMEMLIMIT overrides it.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := 48*config.MiB + cfg.Server.MaxInFlightBytes
	if cfg.Version == 2 {
		limit += cfg.Kafka.MaxBufferedBytes / 2
	}
	debug.SetMemoryLimit(int64(limit))
}

// useTwoThreads makes the runtime use two threads where there is one processor.
// With one, a goroutine that computes for long (the aggregation of a large
// hour) keeps it for 10 ms at a time, requests included; the system is fairer
// between threads. GOMAXPROCS overrides it. See docs/decisions/0007.
func useTwoThreads() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}
