package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"logforge/config"
	"logforge/server"
)

// Set by the Makefile: -ldflags "-X main.version=…".
var version, commit, date string

// build describes the program: by the values that the linker has set, otherwise by
// those that the Go toolchain has recorded.
func build() string {
	b := buildOf(nil)
	return fmt.Sprintf("%s (commit %s, %s, %s)", b.Version, b.Commit, b.BuildDate, runtime.Version())
}

// buildOf is the same for GET /version. cfg may be nil.
func buildOf(cfg *config.Config) server.Build {
	noted := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if ok {
		noted["version"] = info.Main.Version
		for _, s := range info.Settings {
			noted[s.Key] = s.Value
		}
	}
	b := server.Build{
		Version:   cmp.Or(version, noted["version"], "unknown"),
		Commit:    cmp.Or(commit, noted["vcs.revision"], "unknown"),
		BuildDate: cmp.Or(date, noted["vcs.time"], "unknown"),
	}
	if cfg != nil {
		b.PipelineMode = "v" + strconv.Itoa(cfg.Pipeline)
	}
	return b
}
