package main

import (
	"runtime"
	"testing"

	"logforge/config"
)

func TestRuntime_TheMemoryLimitFollowsFromTheSettings(t *testing.T) {
	cfg := config.Default()
	one := memoryLimit(&cfg)
	if one > 96*config.MiB {
		t.Errorf("pipeline 1 may take %v by default, with the program that is no less than 150 MB", one)
	}
	cfg.Server.MaxInFlightBytes += 10 * config.MiB
	if got := memoryLimit(&cfg); got != one+10*config.MiB {
		t.Errorf("with 10 MiB more in flight: %v, want %v", got, one+10*config.MiB)
	}
	cfg = config.Default()
	cfg.Pipeline = 2
	if two := memoryLimit(&cfg); two <= one || two > 240*config.MiB {
		t.Errorf("pipeline 2 may take %v by default, with the program that is no less than 300 MB", two)
	}
}

func TestRuntime_OneProcessorIsUsedByTwoThreadsUnlessToldOtherwise(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	f := func(env string, before, after int) {
		t.Helper()
		t.Setenv("GOMAXPROCS", env)
		runtime.GOMAXPROCS(before)
		useTwoThreads()
		if got := runtime.GOMAXPROCS(0); got != after {
			t.Errorf("GOMAXPROCS=%s, %d processors: %d", env, before, got)
		}
	}
	f("", 1, 2)
	f("1", 1, 1)
	f("", 3, 3)
}
