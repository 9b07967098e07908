package config

// Settings whose value follows from more than one key: two names of one
// setting, and the switch that keys turn on.

import (
	"fmt"
	"strconv"
)

// settlePipeline makes Pipeline and Version, its older name, the same. The later
// layer wins; within a layer they must not contradict each other. Everything but
// this function reads Pipeline.
func (c *Config) settlePipeline(origins map[string]Origin) error {
	clear, older := origins["pipeline"], origins["version"]
	if clear.Layer == older.Layer && c.Pipeline != c.Version {
		return fmt.Errorf("pipeline is %d (%v), but its older name version is %d (%v): remove the older one", c.Pipeline, clear, c.Version, older)
	}
	if older.Layer > clear.Layer {
		c.Pipeline = c.Version
		origins["pipeline"] = older
	}
	if clear.Layer > older.Layer {
		c.Version = c.Pipeline
	}
	return nil
}

// settleAck turns the two names of the acknowledgement level into one. The
// later layer wins; within a layer they must not contradict each other.
func (c *Config) settleAck(origins map[string]Origin) (warning string, err error) {
	in := &c.Ingestion
	own, older := origins["ingestion.ack"], origins["ingestion.syncOnIngest"]
	old, word := in.SyncOnIngest, ""
	in.SyncOnIngest = ""
	if old != "" {
		replicated, err := strconv.ParseBool(old)
		switch {
		case err != nil:
			return "", problem("ingestion.syncOnIngest", old, "true or false")
		case replicated:
			word = "replicated"
		default:
			word = "enqueued"
		}
	}

	switch {
	case word == "":
	case c.Pipeline == 1:
		warning = "ingestion.syncOnIngest is about Kafka and means nothing in pipeline 1; ingestion.ack is written or synced there"
	case older.Layer == own.Layer && in.Ack != word && in.Ack != "":
		return "", fmt.Errorf("ingestion.ack is %s but its older name ingestion.syncOnIngest: %s means %s; remove the older one", in.Ack, old, word)
	case older.Layer >= own.Layer:
		in.Ack = word
		origins["ingestion.ack"] = older
	}

	if in.Ack == "" {
		in.Ack = DefaultAck(c.Pipeline)
	}
	return warning, nil
}

// DefaultAck returns what a 202 means in a pipeline when nothing else is
// configured.
func DefaultAck(pipeline int) string {
	if pipeline == 2 {
		return "replicated"
	}
	return "written"
}

// settleAuth decides whether clients are asked for a key. Keys switch that on,
// unless enabled: false is said in the same layer as the keys or a later one: a
// false in the file cannot have been meant for keys that are added in the
// environment.
func (c *Config) settleAuth(origins map[string]Origin) (warning string) {
	a := &c.Auth
	said := origins["auth.enabled"].Layer
	keys := max(origins["auth.keys"].Layer, origins["auth.keysFile"].Layer)
	switch {
	case a.Enabled || len(a.Keys) == 0:
	case said == LayerDefault || said < keys:
		a.Enabled = true
		origins["auth.enabled"] = Origin{keys, "(there are keys)"}
	default:
		return fmt.Sprintf("AUTHENTICATION IS OFF although there are %d keys: auth.enabled is false (%v), so everybody is let in; remove it and the keys are asked for",
			len(a.Keys), origins["auth.enabled"])
	}
	return ""
}
