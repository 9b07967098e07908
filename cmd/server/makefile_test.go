package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Ensure that the commands people were promised are there. make -n shows what
// each would run and runs nothing.
func TestMakefile_HasEveryPromisedTarget(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"cpu", "heap", "goroutine"} {
		for _, v := range []string{"v1", "v2"} {
			if err := os.WriteFile(filepath.Join(dir, kind+"_"+v+".prof"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	f := func(shows string, targets ...string) {
		t.Helper()
		for _, target := range targets {
			cmd := exec.Command("make", "-n", "--no-print-directory", "PROFILES="+dir, target)
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), shows) {
				t.Errorf("make %s: %v, does not show %q:\n%s", target, err, shows, out)
			}
		}
	}
	f("go build", "build", "run", "kafka-topic")
	f("bin/server", "run")
	f("config.v1.local.yaml", "run-v1", "capture-profile-v1", "profile-run-v1")
	f("config.v2.local.yaml", "run-v2", "capture-profile-v2", "profile-run-v2")
	f("go test -timeout 20m ./...", "test")
	f("-race", "race", "check")
	f("golangci-lint", "lint", "check")
	f("-fuzz", "fuzz")
	f("-bench", "bench", "bench-compare")
	f("benchstat", "bench-compare")
	f("run.sh v1", "loadtest-v1")
	f("run.sh v2", "loadtest-v2")
	f("compose up", "stack-up", "infra-up")
	f("compose down", "stack-down")
	f("compose stop", "infra-down")
	f("broker.sh up", "kafka-up")
	f("broker.sh down", "kafka-down")
	f("server topic", "kafka-topic")
	f("PROFILE_CAPTURE=1", "capture-profile-v1", "capture-profile-v2")
	f("PROFILE_ENABLED=1", "profile-run-v1", "profile-run-v2")
	f("6062/debug/pprof/profile", "profile-cpu-v1")
	f("6063/debug/pprof/heap", "profile-heap-v2")
	f("6063/debug/pprof/goroutine", "profile-goroutine-v2")
	f("6062/debug/pprof/heap", "profile-heap-v1")
	f("6062/debug/pprof/goroutine", "profile-goroutine-v1")
	f("6063/debug/pprof/profile", "profile-cpu-v2")
	f("cpu_v1.prof", "profile-ui-cpu-v1", "profile-ui-cpu-compare")
	f("heap_v1.prof", "profile-ui-heap-v1", "profile-ui-heap-compare")
	f("goroutine_v1.prof", "profile-ui-goroutine-v1", "profile-ui-goroutine-compare")
	f("cpu_v2.prof", "profile-ui-cpu-v2", "profile-ui-cpu-compare")
	f("heap_v2.prof", "profile-ui-heap-v2", "profile-ui-heap-compare")
	f("goroutine_v2.prof", "profile-ui-goroutine-v2", "profile-ui-goroutine-compare")
}
