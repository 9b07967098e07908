package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"logforge/bench/child"
)

// compareServers runs when no command is named: it measures every server at every
// batch size, in interleaved rounds.
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
				fmt.Fprintf(os.Stderr, "round %d  %-12s batch %-5d %9.0f records a CPU-second, %9.0f a second, %.3f CPU-s a million records in all, %d MB\n",
					m.Round, m.Server, m.Batch, m.PerCPUSecond, m.PerSecond, m.CPUPerMillion, m.PeakBytes>>20)
			}
		}
	}
	return nil
}

// warmMemory writes and deletes a file until two passes take about equally long. On a
// virtual machine the first use of a page of memory is several times as expensive
// as the next one, and large batches would measure that.
func warmMemory(dir string, megabytes int) error {
	const most, agree = 10, 1.1
	name := filepath.Join(dir, "warm")
	block := make([]byte, 1<<20)
	pass := func() (time.Duration, error) {
		began := time.Now()
		f, err := os.Create(name)
		if err != nil {
			return 0, err
		}
		for range megabytes {
			if _, err := f.Write(block); err != nil {
				return 0, errors.Join(err, f.Close(), os.Remove(name))
			}
		}
		return time.Since(began), errors.Join(f.Close(), os.Remove(name))
	}
	last := time.Duration(0)
	for range most {
		took, err := pass()
		if err != nil {
			return err
		}
		if last > 0 && float64(max(last, took)) <= agree*float64(min(last, took)) {
			return nil
		}
		last = took
	}
	fmt.Fprintf(os.Stderr, "the machine's memory is not steady: %d passes over %d MB differed by more than a tenth\n", most, megabytes)
	return nil
}

// packages are the programs that are started, by name.
var packages = map[string]string{"server": "logforge/cmd/server", "baseline": "logforge/bench/baseline", "load": "logforge/bench/load"}

// build compiles the load generator and every server that is measured.
func (s *settings) build() error {
	wanted := []string{"load"}
	for _, c := range s.contenders {
		if program := c.command("", "")[0]; program != victoriaLogs {
			wanted = append(wanted, program)
		}
	}
	slices.Sort(wanted)
	for _, program := range slices.Compact(wanted) {
		if _, err := child.Build(packages[program], s.dir); err != nil {
			return err
		}
	}
	return nil
}
