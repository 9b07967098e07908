package config

// The YAML layer. The library walks the document and finds what is no setting;
// which key that was, on which line, and what else may have been meant is added
// here. Values are read like those of every other layer (values.go).

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a configuration file and a file with a secret.
const maxFileBytes = 1 << 20

// readYAML lays the file's settings over cfg and returns the line of each of
// them. A key without a value (null) counts as not written.
func readYAML(file string, text []byte, cfg *Config) (lines map[string]int, warnings []string, err error) {
	shapeType, sections := documentShape()
	shape := reflect.New(shapeType)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var errs []error
	var unknown *yaml.TypeError
	switch err := decoder.Decode(shape.Interface()); {
	case errors.Is(err, io.EOF): // empty, or comments only
	case errors.As(err, &unknown):
		for _, message := range unknown.Errors {
			warning, err := explain(file, message, sections)
			if warning != "" {
				warnings = append(warnings, warning)
			}
			errs = append(errs, err)
		}
	case err != nil && strings.Contains(err.Error(), "unknown anchor"):
		// The library's message shows the word, which may be a secret.
		return nil, nil, fmt.Errorf("%s: a value that begins with * refers to an anchor, and there is no such anchor: put the value in quotes", file)
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(errs) == 0 {
		if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
			return nil, nil, fmt.Errorf("%s: holds more than one YAML document", file)
		}
	}

	lines = map[string]int{}
	for s := range cfg.Settings() {
		n := resolve(leaf(shape.Elem(), s.Key))
		if n.IsZero() || n.Tag == "!!null" {
			continue
		}
		lines[s.Key] = n.Line
		if err := s.assignNode(n); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %w", file, n.Line, named(s.Key), err))
		}
	}
	return lines, warnings, errors.Join(errs...)
}

// documentShape returns the shape of the whole file and the paths of its sections.
var documentShape = sync.OnceValues(func() (reflect.Type, map[string]string) {
	sections := map[string]string{}
	return shapeOf(reflect.TypeFor[Config](), "", sections), sections
})

// shapeOf returns the type of t with a yaml.Node for each setting, so that the
// library keeps each value with its line. sections gets the path of each
// section by the text of its type, which is how the library's messages name it.
func shapeOf(t reflect.Type, path string, sections map[string]string) reflect.Type {
	var fields []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		if yamlName(f) == "-" {
			continue
		}
		field := reflect.StructField{Name: f.Name, Type: reflect.TypeFor[yaml.Node]()}
		if f.Type.Kind() == reflect.Struct {
			field.Type = shapeOf(f.Type, join(path, yamlName(f)), sections)
		}
		// The path makes the types of two sections with the same keys differ.
		field.Tag = reflect.StructTag(fmt.Sprintf("yaml:%q section:%q", yamlName(f), path))
		fields = append(fields, field)
	}
	shape := reflect.StructOf(fields)
	sections[shape.String()] = path
	return shape
}

// leaf returns what the document has for a key; a zero node where it has nothing.
func leaf(shape reflect.Value, key string) *yaml.Node {
	for name := range strings.SplitSeq(key, ".") {
		for i := range shape.NumField() {
			if shape.Type().Field(i).Tag.Get("yaml") == name {
				shape = shape.Field(i)
				break
			}
		}
	}
	return shape.Addr().Interface().(*yaml.Node)
}

// The library's messages about the structure of a document.
var (
	unknownField = regexp.MustCompile(`(?s)^line (\d+): field (.*) not found in type (struct .*)$`)
	repeatedKey  = regexp.MustCompile(`(?s)^line (\d+): mapping key "(.*)" already defined at line (\d+)$`)
	noMapping    = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into (struct .*)$`)
)

// explain turns a message of the library into the warning or the error that a
// user is told.
func explain(file, message string, sections map[string]string) (warning string, err error) {
	if m := unknownField.FindStringSubmatch(message); m != nil {
		path := sections[m[3]]
		key := join(path, m[2])
		if instead, ok := legacy[key]; ok {
			return fmt.Sprintf("%s:%s: %s is a setting of an earlier program and has no effect: %s", file, m[1], key, instead), nil
		}
		return "", fmt.Errorf("%s:%s: unknown key %s%s", file, m[1], key, hint(path, m[2]))
	}
	if m := repeatedKey.FindStringSubmatch(message); m != nil {
		return "", fmt.Errorf("%s:%s: the key %s is already set on line %s", file, m[1], m[2], m[3])
	}
	if m := noMapping.FindStringSubmatch(message); m != nil {
		where := sections[m[2]]
		if where == "" {
			where = "the file"
		}
		return "", fmt.Errorf("%s:%s: %s must hold settings, one key: value a line", file, m[1], where)
	}
	return "", fmt.Errorf("%s: %s", file, message)
}

// hint says which key may have been meant: one with a similar name in the same
// section, or the only one of this name in another.
func hint(path, name string) string {
	var siblings, elsewhere []string
	var cfg Config
	for s := range cfg.Settings() {
		if rest, ok := strings.CutPrefix(s.Key, join(path, "")); ok || path == "" {
			first, _, _ := strings.Cut(strings.TrimPrefix(rest, "."), ".")
			siblings = append(siblings, first)
		}
		if last := s.Key[strings.LastIndexByte(s.Key, '.')+1:]; strings.EqualFold(last, name) {
			elsewhere = append(elsewhere, s.Key)
		}
	}
	if near := Nearest(name, siblings); near != "" {
		return "; did you mean " + join(path, near) + "?"
	}
	if len(elsewhere) == 1 {
		return "; did you mean " + elsewhere[0] + "?"
	}
	return ""
}
