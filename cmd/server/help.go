package main

// What -h and help say. docs/command-line.md is made of the same texts.

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

const about = `logforge takes web logs (access log lines, JSON, CSV) over HTTP and stores each
record once, in hourly files, with hourly summaries beside them: directly
(pipeline 1) or through Kafka (pipeline 2).

  server                                  pipeline 1 on :8082, into ./logs and ./analytics
  server -addr :9000 -logs-dir /var/log/x
  server -config config.yaml              settings from a file
  server -config config.yaml -check-config
  server -pipeline 2 -brokers k1:9092     through Kafka, exactly once

Try it:
  curl -d '{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"curl"}' localhost:8082/logs
  cat logs/2026-02-09/15.log.json
  curl 'localhost:8082/analytics?hour=2026-02-09T15'

Usage: server [command] [flags]

Commands:
`

const precedence = `
Every setting, those without a flag too, has a key in the YAML file and an
environment variable: LOGFORGE_ and the key's path in upper snake case, lists
separated by commas. storage.logsDir is LOGFORGE_STORAGE_LOGS_DIR.
A flag beats a variable, a variable beats the file, the file beats the default.
server config sample prints all of them with their meaning, server config those
in effect and where each comes from.

PROFILE_CAPTURE=1 (PROFILE_NAME, PROFILE_DIR) writes profiles of the whole run;
PROFILE_ENABLED=1 (PROFILE_ADDR) serves /debug/pprof/.

Signals: SIGTERM and SIGINT stop it gracefully. A second one ends it at once;
what is only enqueued then goes to the dead-letter directory. SIGHUP reads API
keys, certificates and the log level again. SIGUSR1 writes the stacks of all
goroutines to the log, SIGQUIT does so and stops. SIGPIPE and SIGUSR2 do nothing.

Exit status: 0 done, or stopped by a signal; 1 something failed, or the stop was
interrupted; 2 the command line or the configuration is wrong, and nothing was started.
`

// A command is one word after bin/server.
type command struct {
	name  string
	args  string // what it takes, for the usage; in brackets what may be left out
	short string // one line
	long  string // the text of -h
	flags string // the names of the flags that it uses; empty means all of them
	run   func(*program) error
	bare  bool // run needs no configuration
}

// commands are in the order of the usage. They are set by init, because help
// reads them.
var commands []*command

func init() {
	commands = []*command{
		{name: "serve", short: "take batches until told to stop (the default)", run: serve, long: `
Starts the service and runs it until a signal stops it. Once it says "listening"
it takes batches at POST /logs. It does not start when another process holds its
directories or its address, or when a setting is not valid; the message then
says what to do.`},
		{name: "config", args: "[sample|schema]", short: "check and print the configuration", run: printConfig, bare: true, long: `
Without a word: checks the configuration as the start would, files and directories
included, and prints what is in effect as YAML, with a comment beside each value
that says where it comes from. Secrets are masked, and what the pipeline does not
use is left out. Nothing is started and nothing is left behind. -check-config does
the same. The exit status is 2 when the service would not start.

  sample   prints a configuration file with every setting, its meaning and its
           default, all of it commented out
  schema   prints the JSON schema of the configuration file, for editors

  server config sample > logforge.yaml
  server -config logforge.yaml config`},
		{name: "topic", short: "create the Kafka topics that are missing", run: topic, flags: "config pipeline version brokers topic", long: `
Creates kafka.topic and the topic of dead letters, as kafka.partitions,
kafka.replication and kafka.maxMessageBytes say. A topic that exists is left as it
is, so that the command can be repeated. The service does the same by itself; this
is for clusters on which only an administrator may create topics.

  server topic -config config.yaml`},
		{name: "replay", args: "DIR", short: "send the dead letters in DIR to Kafka again", run: replay, flags: "config pipeline version brokers topic", long: `
Sends the batches that were acknowledged as enqueued and could not be delivered to
the topic again, and removes each file once the topic has all of it. After an error
or a signal it can be repeated. The log names the directory, and prints the whole
command, when it writes dead letters.

  server replay -config config.yaml logs/.deadletter`},
		{name: "resubmit", args: "PATH|topic[:OFFSET] [skip|again]", short: "send records that were set aside to the server again", run: resubmit, flags: "config pipeline version addr logs-dir brokers topic", long: `
Sends records that were set aside through POST /ingest of the running server with
this configuration: those of a file or of all files in a directory, or those of the
dead-letter topic, from an offset on. What is no web request now either is set aside
again.

  server resubmit logs/.rejected
  server resubmit logs/.rejected/2026-02-09/15.ndjson
  server resubmit -config config.yaml topic:1234

It can be stopped and repeated at any time: how far it has come is on disk, in a dot
file beside each file (of the topic: in storage.logsDir/.rejected), and no record is
sent twice. A chunk that was under way is sent again with the same Idempotency-Key,
and a server that has it already does not store it again. Only when the server has
ended together with this command is it unknown whether a chunk was stored: the
command then stops, and has to be told skip (it is stored) or again (it is not).`},
		{name: "verify", short: "check that what is stored is whole", run: verify, flags: "config logs-dir analytics-dir archive from to", long: `
Reads every hour: the file, line by line; its summary, against a recount; and with
-archive what each destination has: its parts must follow each other without a gap
or an overlap, hold what they say (SHA-256), and be the lines of the file. Prints
one line for each hour, and then one that begins with DAMAGED for each thing that is
damaged; the exit status is then 1. It changes nothing, takes no lock, and can run
beside a live server. What is not summarised or archived yet is printed, but is not
damage.

  server verify -config config.yaml -archive -from 2026-02-09T00`},
		{name: "export", short: "write the records of some hours to one file", run: export, flags: "config logs-dir from to format o", long: `
Writes every record of the hours from -from to -to: those in storage.logsDir, and
those that only the archive has. Without -o it writes to the standard output.

  ndjson   the lines as they are stored
  csv      timestamp,path,userAgent,extra with a header line
  parquet  the same columns, as archive.s3.format: parquet has them

  server export -config config.yaml -from 2026-02-09T00 -to 2026-02-09T23 -format csv -o day.csv`},
		{name: "healthcheck", short: "ask the running server whether it is alive", run: healthcheck, flags: "config addr", long: `
Asks GET /health of the server with this configuration on this machine. It says
nothing but its exit status, 0 or 1, and the reason: for containers without a shell.

  server healthcheck -config config.yaml`},
		{name: "openapi", short: "print what the server answers, as OpenAPI 3.1", run: printOpenAPI, bare: true, flags: "-", long: `
Prints the description of every route, in OpenAPI 3.1. A running server has it at
GET /openapi.json.`},
		{name: "version", short: "print which build this is", run: printVersion, bare: true, flags: "-", long: `
Prints version, commit, date of the commit, and the version of Go.`},
		{name: "help", args: "[COMMAND]", short: "explain a command", bare: true, flags: "-", long: `
Explains what a command does, its arguments and its flags. server COMMAND -h says
the same.`},
	}
}

// find returns the command of this name; nil where there is none.
func find(name string) *command {
	for _, c := range commands {
		if c.name == name {
			return c
		}
	}
	return nil
}

func names() []string {
	var all []string
	for _, c := range commands {
		all = append(all, c.name)
	}
	return all
}

// usage explains the program.
func usage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, about)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(tab, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.short)
	}
	_ = tab.Flush()
	fmt.Fprint(w, "\nFlags:\n")
	fs.SetOutput(w)
	fs.PrintDefaults()
	fmt.Fprint(w, precedence)
}

// explain explains a command.
func (c *command) explain(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprintf(w, "server %s: %s\n%s\n", c.name, c.short, c.long)
	fmt.Fprintf(w, "\nUsage: server %s\n", strings.Join(strings.Fields(c.name+" "+c.args+" "+c.flagsWord()), " "))
	if c.flags == "-" {
		return
	}
	fmt.Fprint(w, "\nFlags:\n")
	own := flag.NewFlagSet("", flag.ContinueOnError)
	own.SetOutput(w)
	fs.VisitAll(func(f *flag.Flag) {
		if c.flags == "" && !slices.Contains(auditFlags, f.Name) || slices.Contains(strings.Fields(c.flags), f.Name) {
			own.Var(f.Value, f.Name, f.Usage)
			own.Lookup(f.Name).DefValue = f.DefValue
		}
	})
	own.PrintDefaults()
	fmt.Fprint(w, "\nserver help lists what has no flag of its own, signals and exit statuses.\n")
}

func (c *command) flagsWord() string {
	if c.flags == "-" {
		return ""
	}
	return "[flags]"
}
