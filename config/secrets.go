package config

// API keys and other secrets: how they are written, where they are read from,
// and that they are never shown.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// masked stands for a secret in output. It is refused as a secret: a
// configuration that was printed and pasted back would accept it.
const masked = "********"

// Key is one accepted API key. Its name, if it has one, stands for it in
// metrics and in the log.
type Key struct {
	Name  string
	Value string
}

// String returns the name, or the mask: a key is not printed.
func (k Key) String() string {
	if k.Name != "" {
		return k.Name + ": " + masked
	}
	return masked
}

// MarshalText writes what String says.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Keys are the accepted API keys. In YAML they are a list, whose items are a key
// or name: key, or a mapping from name to key. In the environment they are
// separated by commas, in a file by line ends.
type Keys []Key

// parseKey reads "key" or "name: key". As in YAML the space is part of the
// separator, so that a key may hold a colon.
func parseKey(text string) Key {
	text = strings.TrimSpace(text)
	if name, value, ok := strings.Cut(text, ": "); ok {
		return Key{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
	}
	return Key{Value: text}
}

// UnmarshalText reads keys separated by commas.
func (k *Keys) UnmarshalText(text []byte) error {
	*k = nil
	for _, word := range trimmed(strings.Split(string(text), ",")) {
		*k = append(*k, parseKey(word))
	}
	return nil
}

// parseFile reads keys a line each; empty lines and those that begin with # are
// passed over.
func (k *Keys) parseFile(text string) {
	*k = nil
	for _, line := range trimmed(strings.Split(text, "\n")) {
		if !strings.HasPrefix(line, "#") {
			*k = append(*k, parseKey(line))
		}
	}
}

func (k *Keys) fromNode(n *yaml.Node) error {
	const form = "must be a list of keys, each a key or name: key, or a mapping from name to key"
	*k = nil
	named := func(n *yaml.Node) error {
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], resolve(n.Content[i+1])
			if name.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
				return errors.New(form)
			}
			*k = append(*k, Key{Name: name.Value, Value: strings.TrimSpace(value.Value)})
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return named(n)
	case yaml.SequenceNode:
	default:
		return errors.New(form)
	}
	for _, item := range n.Content {
		switch item = resolve(item); item.Kind {
		case yaml.ScalarNode:
			if text := strings.TrimSpace(item.Value); text != "" && item.Tag != "!!null" {
				*k = append(*k, Key{Value: text})
			}
		case yaml.MappingNode:
			if err := named(item); err != nil {
				return err
			}
		default:
			return errors.New(form)
		}
	}
	return nil
}

// shown returns the keys as they may be shown.
func (k Keys) shown() []string {
	var all []string
	for _, key := range k {
		all = append(all, key.String())
	}
	return all
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// problem returns what is wrong with the keys; it names none of them.
func (k Keys) problem() error {
	byName, byValue := map[string]bool{}, map[string]bool{}
	for i, key := range k {
		switch {
		case key.Value == "":
			return fmt.Errorf("key %d is empty", i+1)
		case strings.ContainsFunc(key.Value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return fmt.Errorf("key %d holds a control character, which no HTTP header can carry", i+1)
		case key.Name != "" && !keyName.MatchString(key.Name):
			return fmt.Errorf("the name of key %d must be 1 to 64 letters, digits, dots, underscores or dashes; a key that holds a colon and a space cannot be used", i+1)
		case key.Name != "" && byName[key.Name]:
			return fmt.Errorf("two keys are named %s", key.Name)
		case byValue[key.Value]:
			return fmt.Errorf("key %d is there twice", i+1)
		}
		byName[key.Name], byValue[key.Value] = true, true
	}
	return nil
}

// readSecrets reads the secrets that are named by a file: the setting xFile
// beside a secret x. A secret of a later layer replaces a file of an earlier
// one, and the other way round; both in one layer contradict each other.
func (c *Config) readSecrets(origins map[string]Origin) error {
	var errs []error
	for s := range c.Settings() {
		if !s.Secret {
			continue
		}
		file := c.setting(s.Key + "File")
		path, _ := file.Value.(string)
		own, other := origins[s.Key].Layer, origins[file.Key].Layer
		switch {
		case path == "":
			continue
		case own > other:
			file.field.SetString("") // is not in effect
			continue
		case own == other && own != LayerDefault:
			errs = append(errs, fmt.Errorf("%s and %s are both set: remove one of them", s.Key, file.Key))
			continue
		}
		err := regular(path)
		var text []byte
		if err == nil {
			text, err = readFile(path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", named(file.Key), err))
			continue
		}
		if keys, ok := s.field.Addr().Interface().(*Keys); ok {
			keys.parseFile(string(text))
		} else {
			s.field.SetString(secretOf(text))
		}
		if s.field.IsZero() {
			errs = append(errs, fmt.Errorf("%s: %s is empty", named(file.Key), path))
		}
	}
	return errors.Join(errs...)
}

// secretOf returns the secret in a file, which may end in a line end.
func secretOf(text []byte) string { return strings.TrimRight(string(text), "\r\n") }

// CurrentPassword returns what passwordFile holds now, for a new connection to a
// broker; the password that Load has read where there is no file, or where the
// file cannot be read at this moment.
func (s SASL) CurrentPassword() string {
	if s.PasswordFile != "" {
		if text, err := readFile(s.PasswordFile); err == nil && secretOf(text) != "" {
			return secretOf(text)
		}
	}
	return s.Password
}

// FromFile reports whether the setting with this key is a secret that is read
// from a file.
func (c *Config) FromFile(key string) bool {
	s := c.setting(key)
	return s.Secret && c.setting(key+"File").Value != ""
}

// regular returns an error unless path is a regular file, which can be read again
// and again.
func regular(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file, and could not be read again on a reload", path)
	}
	return err
}

// readFile reads a file of at most maxFileBytes, without a byte order mark.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %v", path, Bytes(maxFileBytes))
	}
	return bytes.TrimPrefix(text, []byte("\ufeff")), nil
}
