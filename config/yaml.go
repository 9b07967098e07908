package config

// The YAML layer. The document is walked beside the struct, key by key, because
// a message has to say which key on which line, and what else was meant.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// present holds the keys that a file set, whatever to.
type present map[string]bool

// readYAML lays the file's settings over cfg. A key without a value (null)
// counts as not written.
func readYAML(file string, text []byte, cfg *Config) (present, []string, error) {
	d := &document{file: file, root: cfg, present: present{}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var top yaml.Node
	switch err := decoder.Decode(&top); {
	case errors.Is(err, io.EOF): // empty, or comments only
		return d.present, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: holds more than one YAML document", file)
	}
	d.mapping(top.Content[0], reflect.ValueOf(cfg).Elem(), "")
	return d.present, d.warnings, errors.Join(d.errs...)
}

type document struct {
	file     string
	root     *Config
	present  present
	warnings []string
	errs     []error
}

func (d *document) fail(n *yaml.Node, format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, n.Line, fmt.Sprintf(format, args...)))
}

// mapping reads the keys below path into the fields of v.
func (d *document) mapping(n *yaml.Node, v reflect.Value, path string) {
	n = resolve(n)
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		where := path
		if where == "" {
			where = "the file"
		}
		d.fail(n, "%s must hold settings, one key: value a line", where)
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		full := join(path, key.Value)
		if line, ok := lines[key.Value]; ok {
			d.fail(key, "%s is already set on line %d", full, line)
			continue
		}
		lines[key.Value] = key.Line

		field, siblings := find(v, key.Value)
		switch {
		case !field.IsValid():
			d.unknown(key, full, siblings)
		case field.Kind() == reflect.Struct:
			d.mapping(value, field, full)
		case value.Tag == "!!null":
		default:
			d.present[full] = true
			if err := decode(value, field); err != nil {
				d.fail(value, "%s: %v", named(full), err)
			}
		}
	}
}

func (d *document) unknown(key *yaml.Node, full string, siblings []string) {
	if instead, ok := legacy[full]; ok {
		d.warnings = append(d.warnings, fmt.Sprintf("%s:%d: %s is a setting of the first design and has no effect: %s", d.file, key.Line, full, instead))
		return
	}
	hint := ""
	if near := nearest(key.Value, siblings); near != "" {
		hint = "; did you mean " + strings.TrimSuffix(full, key.Value) + near + "?"
	} else if elsewhere := d.elsewhere(key.Value); elsewhere != "" {
		hint = "; did you mean " + elsewhere + "?"
	}
	d.fail(key, "unknown key %s%s", full, hint)
}

// elsewhere returns the one setting with this name in another section.
func (d *document) elsewhere(name string) string {
	found := ""
	for s := range d.root.Settings() {
		if last := s.Key[strings.LastIndexByte(s.Key, '.')+1:]; strings.EqualFold(last, name) {
			if found != "" {
				return ""
			}
			found = s.Key
		}
	}
	return found
}

// find returns the field of v with this name, and the names it has.
func find(v reflect.Value, name string) (field reflect.Value, names []string) {
	for i := range v.NumField() {
		tag := yamlName(v.Type().Field(i))
		if tag == name {
			return v.Field(i), nil
		}
		names = append(names, tag)
	}
	return reflect.Value{}, names
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// decode reads one value. The library's errors name Go types, so the ones a
// person meets are worded here.
func decode(n *yaml.Node, field reflect.Value) error {
	switch field.Interface().(type) {
	case time.Duration:
		// The library refuses a plain 0, which needs no unit.
		v, err := time.ParseDuration(n.Value)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write for example 500ms, 30s or 2m", n.Value)
		}
		field.SetInt(int64(v))
		return nil
	case Bytes:
		return field.Addr().Interface().(*Bytes).UnmarshalText([]byte(n.Value))
	}
	if err := n.Decode(field.Addr().Interface()); err != nil {
		what := map[reflect.Kind]string{
			reflect.Int: "a whole number", reflect.Bool: "true or false", reflect.String: "one value",
			reflect.Slice: "a list, such as [a, b]",
		}[field.Kind()]
		if n.Kind == yaml.ScalarNode {
			return fmt.Errorf("%q is not %s", n.Value, what)
		}
		return fmt.Errorf("must be %s", what)
	}
	return nil
}
