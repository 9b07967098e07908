package config

// The environment layer. cleanenv sets the values; before that each variable is
// read by values.go, because cleanenv stops at the first mistake and reports it in
// terms of Go's types; and variables that set nothing are found.

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ilyakaznacheev/cleanenv"
)

// readEnv lays the process's environment over cfg and returns the keys that it
// sets.
func readEnv(cfg *Config) (keys []string, warnings []string, err error) {
	var errs []error
	var scratch Config
	for s := range scratch.Settings() {
		text, ok := os.LookupEnv(s.Env)
		if !ok {
			continue
		}
		keys = append(keys, s.Key)
		if err := s.assign(text); err != nil {
			errs = append(errs, fmt.Errorf("environment: %s: %w", named(s.Key), err))
		}
	}
	warnings = unknownEnv(os.Environ())
	if len(errs) > 0 {
		return nil, warnings, errors.Join(errs...)
	}
	// cleanenv overwrites what a variable names and leaves the rest alone, as
	// long as no field has an env-default tag: with one, an explicit zero in
	// YAML would be taken for an absent value.
	if err := cleanenv.ReadEnv(cfg); err != nil {
		return nil, warnings, fmt.Errorf("environment: %w", err)
	}
	return keys, warnings, nil
}

// unknownEnv returns a warning for every LOGFORGE_ variable that no setting
// has. It is not an error: others may write the environment, Kubernetes for one,
// which gives every pod a set of variables for a service called logforge.
func unknownEnv(environ []string) (warnings []string) {
	var names []string
	var cfg Config
	for s := range cfg.Settings() {
		names = append(names, s.Env)
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "LOGFORGE_") || slices.Contains(names, name) || fromKubernetes(name) {
			continue
		}
		hint := ""
		if near := Nearest(name, names); near != "" {
			hint = "; did you mean " + near + "?"
		}
		warnings = append(warnings, fmt.Sprintf("environment variable %s sets nothing%s", name, hint))
	}
	slices.Sort(warnings)
	return warnings
}

func fromKubernetes(name string) bool {
	rest := strings.TrimPrefix(name, "LOGFORGE_")
	return strings.HasPrefix(rest, "SERVICE_") || rest == "PORT" || strings.HasPrefix(rest, "PORT_")
}
