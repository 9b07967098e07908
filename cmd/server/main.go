// Command server is logforge: it takes batches of web logs over HTTP and stores
// each record once, in hourly files with hourly summaries, directly (pipeline 1)
// or through Kafka (pipeline 2).
//
//	main.go      the command line
//	help.go      the commands, and what -h says of them
//	commands.go  the commands beside serve
//	audit.go     of these, verify and export
//	serve.go     the service from its start to its end
//	start.go     its parts: what is started, in which order
//	check.go     what the start needs of the machine
//	signals.go   what signals do
//	reload.go    what SIGHUP puts into effect
//	stages.go    the few lines that make stopping the reverse of starting
//	log.go       the program's log
//	profile.go   profiles of a run
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
	settings *config.Loader // reads the configuration, again if need be
	cfg      *config.Config
	log      *logger
	set      *metrics.Set
	audit    auditOptions
	args     []string  // the words after the command
	stdout   io.Writer // what was asked for
	stderr   io.Writer // everything else
}

// The exit statuses.
const (
	statusDone   = 0
	statusFailed = 1 // something failed that may work another time
	statusWrong  = 2 // the command line or the configuration is wrong
)

// errWrong is the error of a command for which the status is statusWrong.
var errWrong = errors.New("the configuration is wrong")

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors and help are printed below
	p := &program{settings: config.Bind(fs), set: metrics.NewSet(), stdout: stdout, stderr: stderr}
	checkOnly := fs.Bool("check-config", false, "check the configuration, print what is in effect and where it comes from, and exit")

	p.audit.bind(fs)

	words, err := parse(fs, args)
	asked := errors.Is(err, flag.ErrHelp)
	if err != nil && !asked {
		complain(stderr, fmt.Errorf("%w (server -h explains)", err))
		return statusWrong
	}
	name := "serve"
	if len(words) > 0 {
		name, words = words[0], words[1:]
	} else if asked {
		usage(stdout, fs)
		return statusDone
	}
	c := find(name)
	if c == nil {
		complain(stderr, fmt.Errorf("there is no command %q%s (server -h explains)", name, didYouMean("", name, names())))
		return statusWrong
	}
	if asked || name == "help" {
		return help(c, words, asked, fs, stdout, stderr)
	}
	if *checkOnly {
		c, words = find("config"), nil
	}
	if err := c.takes(words); err != nil {
		complain(stderr, err)
		return statusWrong
	}
	p.args = words
	return p.run(c)
}

// help answers "server help", "server help NAME" and "server NAME -h".
func help(c *command, words []string, asked bool, fs *flag.FlagSet, stdout, stderr io.Writer) int {
	switch {
	case asked:
		c.explain(stdout, fs)
	case len(words) == 0:
		usage(stdout, fs)
	case find(words[0]) == nil:
		complain(stderr, fmt.Errorf("there is no command %q%s", words[0], didYouMean("", words[0], names())))
		return statusWrong
	default:
		find(words[0]).explain(stdout, fs)
	}
	return statusDone
}

// run runs the command and returns the exit status.
func (p *program) run(c *command) int {
	if c.bare {
		switch err := c.run(p); {
		case errors.Is(err, errWrong): // the command has printed why
			return statusWrong
		case err != nil:
			complain(p.stderr, err)
			return statusFailed
		}
		return statusDone
	}
	cfg, warnings, err := p.settings.Load()
	if err != nil {
		complain(p.stderr, err)
		return statusWrong
	}
	p.cfg, p.log = cfg, newLogger(p.stderr, cfg.Log, p.set)
	defer p.log.close()
	for _, w := range warnings {
		p.log.Warn("configuration: " + w)
	}
	if err := c.run(p); err != nil {
		p.log.Error(c.name+" failed", "err", err)
		if errors.Is(err, errWrong) {
			return statusWrong
		}
		return statusFailed
	}
	return statusDone
}

// takes checks the words after the command.
func (c *command) takes(words []string) error {
	least, most := 0, 0
	for _, arg := range strings.Fields(c.args) {
		most++
		if !strings.HasPrefix(arg, "[") {
			least++
		}
	}
	if len(words) < least || len(words) > most {
		return fmt.Errorf("usage: server %s", strings.TrimSpace(c.name+" "+c.args))
	}
	return nil
}

// parse takes flags wherever they are and returns the other words. Where help
// is asked for, the words before that are returned with flag.ErrHelp.
func parse(fs *flag.FlagSet, args []string) (words []string, err error) {
	for {
		err := fs.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			return words, err
		case err != nil:
			return nil, flagError(fs, err)
		case fs.NArg() == 0:
			return words, nil
		}
		words, args = append(words, fs.Arg(0)), slices.Clone(fs.Args()[1:])
	}
}

// flagError adds to an error of package flag what may have been meant.
func flagError(fs *flag.FlagSet, err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		var flags []string
		fs.VisitAll(func(f *flag.Flag) { flags = append(flags, f.Name) })
		return fmt.Errorf("there is no flag -%s%s", name, didYouMean("-", name, flags))
	}
	if err.Error() == "flag needs an argument: -version" {
		return errors.New("-version is the older name of -pipeline and needs 1 or 2; which build this is says: server version")
	}
	return err
}

func didYouMean(prefix, name string, candidates []string) string {
	if near := config.Nearest(name, candidates); near != "" {
		return "; did you mean " + prefix + near + "?"
	}
	return ""
}

// complain prints an error, a line for each of those that it joins.
func complain(stderr io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "server: %s\n", strings.TrimSpace(line))
	}
}
