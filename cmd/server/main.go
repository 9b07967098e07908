// Command server is logforge: it takes batches of access-log records over HTTP
// and keeps each record once, in hourly files with hourly summaries, directly
// (version 1) or through Kafka (version 2).
//
//	main.go     the commands
//	usage.go    what -h says
//	serve.go    the service: what is started, in which order, and how it stops
//	stages.go   the few lines that make stopping the reverse of starting
//	log.go      the program's log
//	profile.go  profiles of a run
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
)

// program is what a command works with.
type program struct {
	settings *config.Loader // reads the configuration again
	cfg      *config.Config
	log      *logger
	set      *metrics.Set
	args     []string // the words after the command
}

// A command is one word after bin/server.
type command struct {
	args string // what it takes, for the usage
	help string
	run  func(*program) error
}

var commands = map[string]command{
	"serve":       {"", "takes batches until it is told to stop (the default)", serve},
	"topic":       {"", "creates the Kafka topics if they are not there", topic},
	"replay":      {"DIR", "sends the dead letters in DIR to Kafka again", replay},
	"healthcheck": {"", "asks the running server's /health; for containers without a shell", healthcheck},
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit status: 0, 1 for what failed, 2 for a wrong command line
// or configuration.
func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // what there is to say is said below
	settings := config.Bind(fs)
	checkOnly := fs.Bool("check-config", false, "check the configuration, print what is in effect and where it comes from, and exit")

	words, err := parse(fs, args)
	if errors.Is(err, flag.ErrHelp) {
		usage(stdout, fs)
		return 0
	}
	name := "serve"
	if len(words) > 0 {
		name, words = words[0], words[1:]
	}
	if err == nil && name == "version" {
		fmt.Fprintln(stdout, "logforge", build())
		return 0
	}
	cmd, known := commands[name]
	if err == nil && !known {
		err = fmt.Errorf("there is no command %q", name)
	}
	if err == nil && len(words) != len(strings.Fields(cmd.args)) {
		err = fmt.Errorf("usage: server %s %s", name, cmd.args)
	}
	if err != nil {
		fmt.Fprintf(stderr, "server: %v (server -h explains)\n", err)
		return 2
	}

	cfg, warnings, err := settings.Load()
	if err != nil {
		complain(stderr, err)
		return 2
	}
	p := &program{settings: settings, cfg: cfg, set: metrics.NewSet(), args: words}
	if *checkOnly {
		return p.printConfig(warnings, stdout, stderr)
	}
	p.log = newLogger(stderr, cfg.Log, p.set)
	defer p.log.close()
	for _, w := range warnings {
		p.log.Warn("configuration: " + w)
	}
	if err := cmd.run(p); err != nil {
		p.log.Error(name+" failed", "err", err)
		return 1
	}
	return 0
}

// parse takes flags wherever they stand and returns the other words.
func parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if fs.NArg() == 0 {
			return words, nil
		}
		words, args = append(words, fs.Arg(0)), slices.Clone(fs.Args()[1:])
	}
}

// printConfig prints the configuration in effect, and what would keep the
// service from starting with it.
func (p *program) printConfig(warnings []string, stdout, stderr io.Writer) int {
	for _, w := range warnings {
		fmt.Fprintln(stderr, "server: warning:", w)
	}
	text, err := p.cfg.YAML(p.settings.Origin)
	if err == nil {
		_, err = stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(stderr, "server:", err)
		return 1
	}
	if err := check(p); err != nil {
		complain(stderr, err)
		return 2
	}
	return 0
}

// complain prints an error, a line for each of those that it joins.
func complain(stderr io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "server: %s\n", strings.TrimSpace(line))
	}
}
