package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"logforge/bench/child"
)

type settings struct {
	rounds     int
	length     time.Duration
	warmUp     time.Duration
	batches    []int
	form       string
	serverCore string
	loadCore   string
	dir        string // of everything a run leaves behind; removed at the end
	contenders []contender
	load       generator
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 3, "rounds; medians over them are printed")
	flag.DurationVar(&s.length, "for", 3*time.Second, "length of one measurement, whole seconds")
	flag.DurationVar(&s.warmUp, "warm-up", time.Second, "load before a measurement, whole seconds")
	flag.StringVar(&s.form, "form", "json", "form of the bodies (see bench/corpus)")
	flag.StringVar(&s.serverCore, "server-core", "0", "core that the server is pinned to")
	flag.StringVar(&s.loadCore, "load-core", "1", "core that the load generator is pinned to")
	servers := flag.String("servers", "discard,append,first,v1,v1-synced", "servers to measure, of: "+strings.Join(names(), " "))
	batches := flag.String("batches", "1,100,1000", "records a batch")
	generatorName := flag.String("generator", "", "wrk or load; empty means wrk if it is installed")
	out := flag.String("json", "", "file to write all figures to, as JSON")
	parent := flag.String("dir", "", "where the servers write; empty means the system's temporary directory")
	touch := flag.Int("touch", 4096, "megabytes written and deleted before the first round, so that no server is the first to touch a virtual machine's memory")
	flag.StringVar(&broker.addr, "brokers", "localhost:19092", "Kafka that version 2 and its walls go through")
	flag.StringVar(&broker.pidFile, "broker-pid-file", ".kafka/broker.pid", "where that broker's process id is")
	flag.Parse()

	for _, b := range strings.Split(*batches, ",") {
		n, err := strconv.Atoi(b)
		if err != nil || n < 1 {
			return fmt.Errorf("-batches: %q is not a number of records", b)
		}
		s.batches = append(s.batches, n)
	}
	if s.dir, err = os.MkdirTemp(*parent, "logforge-compare"); err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(s.dir); err == nil {
			err = e
		}
	}()
	if s.contenders, err = choose(*servers); err != nil {
		return err
	}
	if err := s.build(); err != nil {
		return err
	}
	if s.load, err = newGenerator(*generatorName, s.dir); err != nil {
		return err
	}

	if err := touchMemory(s.dir, *touch); err != nil {
		return err
	}
	report := Report{Machine: thisMachine(), Generator: s.load.name(), Form: s.form, Seconds: s.length.Seconds(), Rounds: s.rounds}
	if err := s.measureAll(ctx, &report); err != nil {
		return err
	}
	report.summarise(s.contenders)
	report.print(os.Stdout)
	if *out != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(*out, append(text, '\n'), 0o644)
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

func (s *settings) measureAll(ctx context.Context, report *Report) error {
	for round := range s.rounds {
		for _, batch := range s.batches {
			for _, c := range s.contenders {
				if !c.takes(batch) {
					continue
				}
				m, err := s.measure(ctx, c, batch)
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
