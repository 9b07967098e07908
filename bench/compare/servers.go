package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"logforge/bench/child"
)

// compareServers is the command without a name: every server at every batch
// size, in interleaved rounds.
func compareServers(ctx context.Context, s *settings) error {
	s.oneThread = true
	report := Report{Machine: thisMachine(), Command: s.command, Generator: s.load.name(), Form: s.form, Seconds: s.length.Seconds(), Rounds: s.rounds}
	if err := s.measureAll(ctx, &report); err != nil {
		return err
	}
	report.summarise(s.contenders)
	report.print(os.Stdout)
	return s.save(report)
}

func (s *settings) measureAll(ctx context.Context, report *Report) error {
	for round := range s.rounds {
		for _, batch := range s.batches {
			for _, c := range s.contenders {
				if !c.takes(batch) || c.slow && round > 0 {
					continue
				}
				m, err := s.measure(ctx, c, batch)
				if errors.Is(err, errNothing) {
					fmt.Fprintf(os.Stderr, "round %d  %-12s batch %-5d left out: %v\n", round+1, c.name, batch, err)
					continue
				}
				if err != nil {
					return fmt.Errorf("round %d, %s, batch %d: %w", round+1, c.name, batch, err)
				}
				m.Round = round + 1
				report.Measurements = append(report.Measurements, m)
				fmt.Fprintf(os.Stderr, "round %d  %-12s batch %-5d %9.0f records a CPU-second, %9.0f a second, %d MB\n",
					m.Round, m.Server, m.Batch, m.PerCPUSecond, m.PerSecond, m.PeakBytes>>20)
			}
		}
	}
	return nil
}

// touchMemory fills the page cache once. On a virtual machine the first use of
// a page of memory is several times as expensive as the next one.
func touchMemory(dir string, megabytes int) error {
	name := filepath.Join(dir, "touch")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for range megabytes {
		if _, err := f.Write(block); err != nil {
			return errors.Join(err, f.Close(), os.Remove(name))
		}
	}
	return errors.Join(f.Close(), os.Remove(name))
}

// packages are the programs that are started, by name.
var packages = map[string]string{"server": "logforge/cmd/server", "wall": "logforge/bench/wall", "load": "logforge/bench/load"}

// build compiles the load generator and every server that is measured.
func (s *settings) build() error {
	wanted := []string{"load"}
	for _, c := range s.contenders {
		wanted = append(wanted, c.command("", "")[0])
	}
	slices.Sort(wanted)
	for _, program := range slices.Compact(wanted) {
		if _, err := child.Build(packages[program], s.dir); err != nil {
			return err
		}
	}
	return nil
}
