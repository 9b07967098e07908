package config

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// masked stands for a secret in output.
const masked = "********"

// YAML returns the configuration as a file that Load reads, with secrets
// masked.
func (c *Config) YAML() ([]byte, error) {
	shown := *c
	shown.Auth.Keys = slices.Repeat([]string{masked}, len(c.Auth.Keys))
	if c.Kafka.SASL.Password != "" {
		shown.Kafka.SASL.Password = masked
	}
	return yaml.Marshal(&shown)
}
