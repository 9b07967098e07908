package config

// The four layers, in order: Default, YAML, environment, command line.

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Layer is where a value comes from. A later layer replaces an earlier one.
type Layer int

// The layers in their order.
const (
	LayerDefault Layer = iota
	LayerFile
	LayerEnvironment
	LayerFlag
)

// Origin says where the value of a setting comes from.
type Origin struct {
	Layer Layer
	Place string // file and line, variable or flag; empty for a default
}

// String returns for example "file c.yaml:3".
func (o Origin) String() string {
	word := [...]string{"default", "file", "environment", "flag"}[o.Layer]
	return strings.TrimSpace(word + " " + o.Place)
}

// Loader is the command line's share of the configuration. Bind makes it, the
// flag set parses, Load does the rest.
type Loader struct {
	fs      *flag.FlagSet
	file    string
	loaded  bool              // Load has been called before
	flags   map[string]string // name of a flag to the key of its setting
	origins map[string]Origin
}

// settingFlags are the flags that are settings.
var settingFlags = []struct{ name, key, usage string }{
	{"pipeline", "pipeline", "`number` of the pipeline: 1 writes the files itself, 2 goes through Kafka"},
	{"version", "version", "older name of -pipeline"},
	{"addr", "server.addr", "listen `address`"},
	{"logs-dir", "storage.logsDir", "`directory` of the hourly files"},
	{"analytics-dir", "storage.analyticsDir", "`directory` of the hourly summaries"},
	{"aggregation-interval", "aggregation.interval", "`time` between two aggregations"},
	{"brokers", "kafka.brokers", "Kafka seed brokers, `host:port,...`"},
	{"topic", "kafka.topic", "Kafka `topic` of the records"},
	{"group", "kafka.groupID", "Kafka consumer `group`"},
}

// Bind defines the flags that are settings, and -config, in fs. Their defaults
// are Default's.
func Bind(fs *flag.FlagSet) *Loader {
	l := &Loader{fs: fs, flags: map[string]string{}}
	fs.StringVar(&l.file, "config", "", "YAML `file` with settings; without one the defaults apply")
	cfg := Default()
	for _, f := range settingFlags {
		l.flags[f.name] = f.key
		fs.Var(&settingFlag{cfg.setting(f.key)}, f.name, f.usage)
	}
	return l
}

// settingFlag checks the value of a flag when it is parsed; Load reads it again.
type settingFlag struct{ setting Setting }

func (f *settingFlag) String() string {
	if f.setting.field.IsValid() {
		f.setting.Value = f.setting.field.Interface()
		return f.setting.Text()
	}
	return "" // the zero value, which package flag asks
}

func (f *settingFlag) Set(text string) error { return f.setting.assign(text) }

// Origin returns where the value of the setting with this key comes from, after
// Load.
func (l *Loader) Origin(key string) Origin { return l.origins[key] }

// Load returns the effective configuration, complete and checked: Pipeline and
// Version are the same, Ingestion.Ack is never empty, Auth.Enabled is settled,
// lists hold no blanks, secrets are read from their files. The warnings are
// sentences for the log; the error names every setting with an impossible value, each on
// a line of its own.
//
// Call it once the flag set has parsed; every call reads the file, the
// environment (the process's own) and the files of secrets anew.
func (l *Loader) Load() (*Config, []string, error) {
	cfg := Default()
	l.origins = map[string]Origin{}
	var warnings []string
	var errs []error
	text, err := l.read()
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	if l.file != "" {
		lines, warned, err := readYAML(l.file, text, &cfg)
		warnings, errs = append(warnings, warned...), append(errs, err)
		for key, line := range lines {
			l.origins[key] = Origin{LayerFile, fmt.Sprintf("%s:%d", l.file, line)}
		}
	}
	keys, warned, err := readEnv(&cfg)
	warnings, errs = append(warnings, warned...), append(errs, err)
	for _, key := range keys {
		l.origins[key] = Origin{LayerEnvironment, EnvName(key)}
	}
	l.fs.Visit(func(f *flag.Flag) {
		if key, ok := l.flags[f.Name]; ok {
			l.origins[key] = Origin{LayerFlag, "-" + f.Name}
			errs = append(errs, cfg.setting(key).assign(f.Value.String()))
		}
	})
	if err := errors.Join(errs...); err != nil {
		return nil, warnings, err
	}

	cfg.Kafka.Brokers = trimmed(cfg.Kafka.Brokers)
	errs = append(errs, cfg.settlePipeline(l.origins))
	warning, err := cfg.settleAck(l.origins)
	errs = append(errs, err)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	errs = append(errs, cfg.readSecrets(l.origins))
	warning, err = cfg.settleMinio(l.origins)
	errs = append(errs, err)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	if warning := cfg.settleAuth(l.origins); warning != "" {
		warnings = append(warnings, warning)
	}
	errs = append(errs, cfg.Validate())
	return &cfg, warnings, errors.Join(errs...)
}

// Flags returns the flags with which another command works with the same
// configuration file and the same values of the settings with these keys, as
// words for a shell. Paths are absolute. A setting that comes from the file, or
// has its default, needs no flag.
func (l *Loader) Flags(c *Config, keys ...string) string {
	var words []string
	if l.file != "" {
		file, err := filepath.Abs(l.file)
		if err != nil {
			file = l.file
		}
		words = append(words, "-config", ShellWord(file))
	}
	for _, f := range settingFlags {
		if slices.Contains(keys, f.key) && l.origins[f.key].Layer > LayerFile {
			words = append(words, "-"+f.name, ShellWord(c.setting(f.key).Text()))
		}
	}
	return strings.Join(words, " ")
}

// ShellWord quotes s for a POSIX shell, where it has to be.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./:,@%+=", r))
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// read returns what the configuration file holds.
func (l *Loader) read() ([]byte, error) {
	again := l.loaded
	l.loaded = true
	if l.file == "" {
		given := false
		l.fs.Visit(func(f *flag.Flag) { given = given || f.Name == "config" })
		if given {
			return nil, errors.New("-config names no file: leave it out for the defaults")
		}
		return nil, nil
	}
	if again {
		// A pipe would be empty now, or wait for somebody to write.
		if err := regular(l.file); err != nil {
			return nil, err
		}
	}
	return readFile(l.file)
}
