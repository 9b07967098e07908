// Package config holds every setting of logforge and nothing else: its name in
// YAML, its environment variable, its meaning and, in Default, its default. No
// other place in the program writes a default.
//
// A setting is one field, and what there is to say of it is in the field's
// tags:
//
//	yaml             its key
//	env              its variable: LOGFORGE_ and the YAML path in upper snake case
//	env-description  its meaning
//	oneof            the words it may be
//	min, max, above  the bounds of a number, a size or a duration
//	pipeline         the only pipeline that uses it, or all of its section
//	secret           it is never shown, and xFile beside it may name a file with it
//
// The table in docs/configuration.md, the JSON schema, the commented sample and
// the checks are made from them. Rules between settings are in validate.go.
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
