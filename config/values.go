package config

// Reading one value. The file, the environment and the command line all use this,
// so that the same mistake gives the same message in each of them.

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// problem names a setting by both of its names, its value, and what is allowed.
func problem(key string, value any, allowed string) error {
	if s, ok := value.(string); ok {
		if u, err := url.Parse(s); err == nil && u.User != nil {
			s = u.Redacted() // a password in a URL
		}
		value = strconv.Quote(s)
	}
	return fmt.Errorf("%s: %v is not allowed: must be %s", named(key), value, allowed)
}

func named(key string) string { return key + " (" + EnvName(key) + ")" }

// form says what a value of the setting looks like.
func (s Setting) form() string {
	switch s.field.Interface().(type) {
	case time.Duration:
		return "a duration: write for example 500ms, 30s or 2m"
	case Bytes:
		return "a size: write for example 262144, 256KiB or 32MiB"
	case int:
		return "a whole number"
	case bool:
		return "true or false"
	}
	return "one value"
}

// assign reads text, as the environment and the command line give it, into the
// setting. Lists are separated by commas. The error does not show a secret.
func (s Setting) assign(text string) error {
	wrong := fmt.Errorf("%q is not %s", text, s.form())
	switch into := s.field.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return wrong
		}
		*into = d
	case *Bytes:
		size, err := ParseBytes(text)
		if err != nil {
			return wrong
		}
		*into = size
	case *int:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 0, strconv.IntSize)
		if err != nil {
			return wrong
		}
		*into = int(n)
	case *bool:
		b, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return wrong
		}
		*into = b
	case *string:
		*into = text
	case *[]string:
		*into = trimmed(strings.Split(text, ","))
	case *Keys:
		return into.UnmarshalText([]byte(text))
	default:
		panic(fmt.Sprintf("config: %s has a type that no layer can read, %T", s.Key, into))
	}
	return nil
}

// assignNode reads a value of the YAML file into the setting.
func (s Setting) assignNode(n *yaml.Node) error {
	if keys, ok := s.field.Addr().Interface().(*Keys); ok {
		return keys.fromNode(n)
	}
	if list, ok := s.field.Addr().Interface().(*[]string); ok {
		words, err := scalars(n)
		if err != nil {
			return err
		}
		*list = trimmed(words)
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		return errors.New("must be " + s.form())
	}
	text := n.Value
	wrong := fmt.Errorf("%q is not %s", text, s.form())
	switch s.field.Interface().(type) {
	case bool: // YAML has more words for it than the environment
		value, ok := yamlBools[text]
		if !ok || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			return wrong
		}
		text = value
	case int, Bytes: // numbers as YAML writes them, such as 10_000 or 0x10
		var number int64
		switch {
		case n.Tag == "!!int" && n.Decode(&number) == nil:
			text = strconv.FormatInt(number, 10)
		case s.field.Kind() == reflect.Int:
			return wrong
		}
	}
	return s.assign(text)
}

// yamlBools are the words for true and false in YAML 1.1 and 1.2.
var yamlBools = func() map[string]string {
	words := map[string]string{}
	for word, value := range map[string]string{"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"} {
		words[word], words[strings.ToUpper(word)], words[strings.ToUpper(word[:1])+word[1:]] = value, value, value
	}
	return words
}()

// scalars returns the words of a list.
func scalars(n *yaml.Node) ([]string, error) {
	var words []string
	for _, item := range n.Content {
		item = resolve(item)
		if item.Kind != yaml.ScalarNode {
			return nil, errors.New("must be a list of single values, such as [a, b]")
		}
		if item.Tag != "!!null" {
			words = append(words, item.Value)
		}
	}
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("must be a list, such as [a, b]")
	}
	return words, nil
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
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
