package main

import (
	"runtime"
	"testing"
)

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
