// Package config holds every setting of logforge and nothing else: its name in
// YAML, its environment variable, its meaning and, in Default, its default. No
// other place in the program writes a default.
//
// A setting is one field. Everything else is derived from it: the environment
// variable is LOGFORGE_ and the YAML path in upper snake case (a test holds the
// tags to that), the table in docs/configuration.md is generated from the fields, and messages
// name a setting by both of its names.
//
// There are four layers. Each one only replaces what it names, so that an
// explicit zero is a value and not an absence:
//
//	Default()  <  YAML file  <  LOGFORGE_* environment  <  command line
//
// Reading is strict, because a misspelt setting that is silently ignored is
// found weeks later, in production: an unknown or repeated key ends the start
// with its line and the nearest name there is. An unknown environment variable
// is only a warning, since the environment is not ours alone. Keys of the first
// design that have no meaning left are accepted with a warning that says what
// took their place (legacy.go).
package config
