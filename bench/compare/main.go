package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings is what a command was asked for.
type settings struct {
	command    string // as it was typed, to be repeated
	rounds     int
	length     time.Duration
	warmUp     time.Duration
	batches    []int
	rate       float64
	oneThread  bool // servers with a core of their own get one, rather than what they choose
	form       string
	serverCore string
	loadCore   string
	out        string // file for the figures; empty: none
	docs       string
	dir        string // of everything a run leaves behind; removed at the end
	contenders []contender
	load       generator
}

// commands take their settings and measure. The first is the one without a name.
var commands = map[string]func(context.Context, *settings) error{
	"":        compareServers,
	"latency": measureLatency,
	"soak":    soak,
	"report":  writeReport,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	s := settings{command: strings.Join(append([]string{"go run ./bench/compare"}, args...), " ")}
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	command, ok := commands[name]
	if !ok {
		return fmt.Errorf("no command is called %q: use latency, soak, report, or none", name)
	}
	servers, batches, rounds, length := "discard,append,simple,v1,v1-synced", "1,100,1000", 3, 3*time.Second
	switch name {
	case "latency":
		servers, batches, length = "v1,v1-synced", "100", 5*time.Second
	case "soak":
		servers, batches, rounds, length = "v1", "100", 1, 10*time.Minute
	}

	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.IntVar(&s.rounds, "rounds", rounds, "rounds; medians over them are printed")
	f.DurationVar(&s.length, "for", length, "length of one measurement, whole seconds")
	f.DurationVar(&s.warmUp, "warm-up", time.Second, "load before a measurement, whole seconds")
	f.Float64Var(&s.rate, "rate", 500, "soak: requests a second")
	f.StringVar(&s.form, "form", "json", "form of the bodies (see bench/corpus)")
	f.StringVar(&s.serverCore, "server-core", "0", "core that the server is pinned to")
	f.StringVar(&s.loadCore, "load-core", "1", "core that the load generator is pinned to")
	f.StringVar(&servers, "servers", servers, "servers to measure, of: "+strings.Join(names(), " "))
	f.StringVar(&batches, "batches", batches, "records a batch")
	generatorName := f.String("generator", "", "wrk or load; empty means wrk if it is installed")
	f.StringVar(&s.out, "json", "", "file to write all figures to, as JSON")
	f.StringVar(&s.docs, "docs", "docs", "report: directory with benchmarks/*.json; benchmarks.md is written there")
	parent := f.String("dir", "", "where the servers write; empty means the system's temporary directory")
	touch := f.Int("touch", 4096, "megabytes written and deleted, again and again, until two passes take as long: a virtual machine's memory is then warm")
	f.StringVar(&broker.addr, "brokers", "localhost:19092", "Kafka that version 2 and its baselines go through")
	f.StringVar(&broker.pidFile, "broker-pid-file", ".kafka/broker.pid", "where that broker's process id is")
	if err := f.Parse(args); err != nil {
		return err
	}
	if name == "report" {
		return command(ctx, &s)
	}

	for b := range strings.SplitSeq(batches, ",") {
		n, err := strconv.Atoi(b)
		if err != nil || n < 1 {
			return fmt.Errorf("-batches: %q is not a number of records", b)
		}
		s.batches = append(s.batches, n)
	}
	if s.contenders, err = choose(servers); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(*parent, "logforge-compare"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if err := s.build(); err != nil {
		return err
	}
	if s.load, err = newGenerator(*generatorName, s.dir); err != nil {
		return err
	}
	if err := warmMemory(s.dir, *touch); err != nil {
		return err
	}
	return command(ctx, &s)
}

// save writes figures where -json says.
func (s *settings) save(figures any) error {
	if s.out == "" {
		return nil
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(s.out, append(text, '\n'), 0o644)
}
