package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

const about = `logforge takes batches of access-log records (JSON, NDJSON, CSV) over HTTP and
keeps each record once, in hourly files, with hourly summaries beside them.

  server                                  version 1 on :8082, into ./logs and ./analytics
  server -addr :9000 -logs-dir /var/log/x
  server -config config.yaml              settings from a file
  server -config config.yaml -check-config
  server -version 2 -brokers k1:9092      through Kafka, exactly once

Try it:
  curl -d '{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"curl"}' localhost:8082/logs
  cat logs/2026-02-09/15.log.json
  curl 'localhost:8082/analytics?hour=2026-02-09T15'

Usage: server [command] [flags]

Commands:
`

const precedence = `
Every setting, those without a flag too, has a key in the YAML file and a
variable: LOGFORGE_ and the key's path in upper snake case, lists separated by
commas. storage.logsDir is LOGFORGE_STORAGE_LOGS_DIR.
A flag beats a variable, a variable beats the file, the file beats the default.
server -check-config prints them all as they are in effect.

PROFILE_CAPTURE=1 (PROFILE_NAME, PROFILE_DIR) writes profiles of the whole run;
PROFILE_ENABLED=1 (PROFILE_ADDR) serves /debug/pprof/.

SIGTERM or SIGINT stops it: what is under way finishes, and everything
acknowledged is in its place. A second signal ends it at once.
`

func usage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, about)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(tab, "  %s %s\t%s\n", name, commands[name].args, commands[name].help)
	}
	fmt.Fprintf(tab, "  version \tsays which build this is\n")
	_ = tab.Flush()
	fmt.Fprint(w, "\nFlags:\n")
	fs.SetOutput(w)
	fs.PrintDefaults()
	fmt.Fprint(w, precedence)
}
