package main

// Settings of Go's runtime, where the environment does not set them.

import (
	"os"
	"runtime"
	"runtime/debug"

	"logforge/config"
)

// limitMemory sets a soft memory limit from the limits on what requests, the
// producer and the consumer hold, so that the garbage collector works harder before
// garbage doubles that amount. GOMEMLIMIT overrides it.
func limitMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetMemoryLimit(int64(memoryLimit(cfg)))
}

// ownBytes is what the process takes beside what is in flight: the summaries of the
// hour that is being counted most of all.
const ownBytes = 28 * config.MiB

// memoryLimit returns the limit that follows from the settings. The program itself,
// some 25 MB, is not in it.
func memoryLimit(cfg *config.Config) config.Bytes {
	limit := ownBytes + cfg.Server.MaxInFlightBytes
	if cfg.Pipeline == 2 {
		// What is fetched is there as it came and inflated.
		limit += cfg.Kafka.MaxBufferedBytes + 2*cfg.Consumer.MaxInflatedBytes
	}
	return limit
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
