package main

// What Go's runtime is told, unless the environment tells it something else.

import (
	"os"
	"runtime"
	"runtime/debug"

	"logforge/config"
)

// limitMemory lets the garbage collector work harder before what the limits allow
// in flight is doubled by what is no longer used. GOMEMLIMIT overrides it.
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

// twoAtATime makes the runtime use two threads where there is one processor.
// With one, a goroutine that computes for long (the aggregation of a large
// hour) keeps it for 10 ms at a time, requests included; the system is fairer
// between threads. GOMAXPROCS overrides it. See docs/decisions/0007.
func twoAtATime() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}
