package config

// The four layers, in order: Default, YAML, environment, command line.

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/ilyakaznacheev/cleanenv"
)

// Loader is the command line's share of the configuration. Bind makes it, the
// flag set parses, Load does the rest.
type Loader struct {
	fs   *flag.FlagSet
	file string
	cfg  *Config // the flags write here
}

// Bind defines the flags that are settings, and -config, in fs. Their defaults
// are Default's.
func Bind(fs *flag.FlagSet) *Loader {
	cfg := Default()
	l := &Loader{fs: fs, cfg: &cfg}
	fs.StringVar(&l.file, "config", "", "YAML `file` with settings; without one the defaults apply")
	fs.IntVar(&cfg.Version, "version", cfg.Version, "`pipeline`: 1 writes the files itself, 2 goes through Kafka")
	fs.StringVar(&cfg.Server.Addr, "addr", cfg.Server.Addr, "listen `address`")
	fs.StringVar(&cfg.Storage.LogsDir, "logs-dir", cfg.Storage.LogsDir, "`directory` of the hourly files")
	fs.StringVar(&cfg.Storage.AnalyticsDir, "analytics-dir", cfg.Storage.AnalyticsDir, "`directory` of the hourly summaries")
	fs.DurationVar(&cfg.Aggregation.Interval, "aggregation-interval", cfg.Aggregation.Interval, "`time` between two aggregations")
	fs.Var((*list)(&cfg.Kafka.Brokers), "brokers", "Kafka seed brokers, `host:port,...`")
	fs.StringVar(&cfg.Kafka.Topic, "topic", cfg.Kafka.Topic, "Kafka `topic` of the records")
	fs.StringVar(&cfg.Kafka.GroupID, "group", cfg.Kafka.GroupID, "Kafka consumer `group`")
	return l
}

// Load returns the effective configuration, complete and checked: Ingestion.Ack
// is never empty, lists hold no blanks. Call it once, after the flag set has
// parsed. The warnings are sentences for the log; the error names every
// setting that cannot be, each on a line of its own.
//
// The environment is the process's own.
func (l *Loader) Load() (*Config, []string, error) {
	given := map[string]string{}
	l.fs.Visit(func(f *flag.Flag) { given[f.Name] = f.Value.String() })

	*l.cfg = Default()
	cfg := l.cfg
	inFile := present{}
	var warnings []string
	if l.file != "" {
		text, err := os.ReadFile(l.file)
		if err != nil {
			return nil, nil, fmt.Errorf("read configuration: %w", err)
		}
		if inFile, warnings, err = readYAML(l.file, text, cfg); err != nil {
			return nil, warnings, err
		}
	}

	// cleanenv overwrites what a variable names and leaves the rest alone, as
	// long as no field has an env-default tag: with one, an explicit zero in
	// YAML would be taken for an absent value.
	if err := cleanenv.ReadEnv(cfg); err != nil {
		return nil, warnings, fmt.Errorf("environment: %w", err)
	}
	warnings = append(warnings, unknownEnv(os.Environ())...)

	for name, value := range given {
		if err := l.fs.Set(name, value); err != nil {
			return nil, warnings, fmt.Errorf("-%s: %w", name, err)
		}
	}

	cfg.Auth.Keys = trimmed(cfg.Auth.Keys)
	cfg.Kafka.Brokers = trimmed(cfg.Kafka.Brokers)
	warning, err := cfg.settleAck(inFile)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return cfg, warnings, errors.Join(err, cfg.Validate())
}

// settleAck turns the two names of one setting into one. The later layer wins;
// within a layer they must not contradict each other.
func (c *Config) settleAck(inFile present) (warning string, err error) {
	layer := func(key string) int {
		if _, ok := os.LookupEnv(EnvName(key)); ok {
			return 2
		}
		if inFile[key] {
			return 1
		}
		return 0
	}
	in := &c.Ingestion
	ackLayer, oldLayer := layer("ingestion.ack"), layer("ingestion.syncOnIngest")
	old, word := in.SyncOnIngest, ""
	in.SyncOnIngest = ""
	switch old {
	case "":
	case "true":
		word = "replicated"
	case "false":
		word = "enqueued"
	default:
		return "", problem("ingestion.syncOnIngest", old, "true or false")
	}

	switch {
	case word == "":
	case c.Version == 1:
		warning = "ingestion.syncOnIngest is about Kafka and means nothing in version 1; ingestion.ack is written or synced there"
	case oldLayer == ackLayer && in.Ack != word && in.Ack != "":
		return "", fmt.Errorf("ingestion.ack is %s but its older name ingestion.syncOnIngest: %s means %s; remove the older one", in.Ack, old, word)
	case oldLayer >= ackLayer:
		in.Ack = word
	}

	if in.Ack == "" {
		in.Ack = DefaultAck(c.Version)
	}
	return warning, nil
}

// DefaultAck returns what a 202 means in a pipeline when nothing else is
// configured.
func DefaultAck(version int) string {
	if version == 2 {
		return "replicated"
	}
	return "written"
}

func trimmed(words []string) []string {
	var kept []string
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

// list is a flag of comma-separated words.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = strings.Split(s, ",")
	return nil
}
