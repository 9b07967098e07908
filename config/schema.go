package config

// The JSON schema of the configuration file, made from the settings.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// schema is the part of JSON Schema, draft 2020-12, that is needed. An encoder
// keeps the order of the fields.
type schema struct {
	Schema      string      `json:"$schema,omitempty"`
	Title       string      `json:"title,omitempty"`
	Description string      `json:"description,omitempty"`
	Deprecated  bool        `json:"deprecated,omitempty"`
	Type        any         `json:"type,omitempty"` // a word or several
	Properties  *properties `json:"properties,omitempty"`
	Additional  any         `json:"additionalProperties,omitempty"` // false or a schema
	Items       *schema     `json:"items,omitempty"`
	Names       *schema     `json:"propertyNames,omitempty"`
	AnyOf       []*schema   `json:"anyOf,omitempty"`
	Enum        []any       `json:"enum,omitempty"`
	Pattern     string      `json:"pattern,omitempty"`
	Not         *schema     `json:"not,omitempty"`
	Minimum     *int64      `json:"minimum,omitempty"`
	Maximum     *int64      `json:"maximum,omitempty"`
	Default     any         `json:"default,omitempty"`
}

// properties are the members of an object in their order.
type properties struct {
	names   []string
	schemas []*schema
}

// MarshalJSON writes the members in their order.
func (p *properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range p.names {
		if i > 0 {
			b.WriteByte(',')
		}
		text, err := json.Marshal(p.schemas[i])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%q:%s", name, text)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (p *properties) add(name string, s *schema) {
	p.names, p.schemas = append(p.names, name), append(p.schemas, s)
}

// newSection returns the schema of a mapping. A section may be empty.
func newSection() *schema {
	return &schema{Type: []string{"object", "null"}, Properties: &properties{}, Additional: false}
}

// Schema returns the JSON schema of the configuration file. It holds what the
// file may say; rules between settings are left to the check of the program.
func Schema() []byte {
	root := newSection()
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Configuration of logforge"
	sections := map[string]*schema{"": root}
	cfg := Default()
	for s := range cfg.Settings() {
		section, name := schemaSection(sections, s.Key)
		section.Properties.add(name, s.schema())
	}
	for _, key := range slices.Sorted(maps.Keys(legacy)) {
		section, name := schemaSection(sections, key)
		section.Properties.add(name, &schema{Description: "has no effect: " + legacy[key], Deprecated: true})
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error()) // nothing in it can fail
	}
	return append(text, '\n')
}

// schemaSection returns the section that holds a key, and the key's name in it.
func schemaSection(sections map[string]*schema, key string) (section *schema, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return sections[""], key
	}
	path, name := key[:i], key[i+1:]
	if sections[path] == nil {
		parent, own := schemaSection(sections, path)
		sections[path] = newSection()
		parent.Properties.add(own, sections[path])
	}
	return sections[path], name
}

// Texts of values that YAML and JSON have no type for.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$`
	sizePattern     = `^ *[0-9]+ *(GiB|MiB|KiB|GB|MB|kB|KB|B)? *$`
)

// schema returns the schema of one setting. A key without a value counts as not
// written, and so every setting may be null.
func (s Setting) schema() *schema {
	out := &schema{Description: s.Description + " (" + s.Env + ")", Default: s.Text(), Deprecated: s.isOlderName()}
	switch v := s.Value.(type) {
	case time.Duration:
		out.Type, out.Pattern = []string{"string", "integer", "null"}, durationPattern
		zero := int64(0) // the only number that needs no unit
		out.Minimum, out.Maximum = &zero, &zero
		if _, above := s.tag.Lookup("above"); above {
			out.Type, out.Minimum, out.Maximum = []string{"string", "null"}, nil, nil
			out.Not = &schema{Type: "string", Pattern: `^[0.a-zµμ]*$`} // zeros only
		}
	case Bytes:
		out.Type, out.Pattern = []string{"string", "integer", "null"}, sizePattern
		zero := int64(0)
		out.Minimum = &zero
	case int:
		out.Type, out.Default = []string{"integer", "null"}, v
	case bool:
		out.Type, out.Default = []string{"boolean", "string", "null"}, v
		out.Pattern = `^([Yy]es|YES|[Oo]n|ON|[Nn]o|NO|[Oo]ff|OFF)$`
		if s.Key == "auth.enabled" {
			out.Default = nil // it follows from the keys
		}
	case []string:
		out.Type, out.Default = []string{"array", "null"}, v
		out.Items = &schema{Type: []string{"string", "number", "boolean", "null"}}
	case Keys:
		key := []string{"string", "number", "boolean"}
		named := &schema{Type: "object", Names: &schema{Pattern: keyName.String()}, Additional: &schema{Type: key}}
		out.Default = nil
		out.AnyOf = []*schema{{Type: "array", Items: &schema{AnyOf: []*schema{{Type: append(key, "null")}, named}}}, named, {Type: "null"}}
	default:
		out.Type = []string{"string", "number", "boolean", "null"}
	}
	if words, ok := s.tag.Lookup("oneof"); ok {
		out.Type, out.Enum = nil, []any{nil}
		for word := range strings.SplitSeq(words, " ") {
			if _, number := s.Value.(int); number {
				out.Enum = append(out.Enum, json.Number(word))
			} else {
				out.Enum = append(out.Enum, word)
			}
		}
	}
	if _, number := s.Value.(time.Duration); !number {
		for tag, bound := range map[string]**int64{"min": &out.Minimum, "max": &out.Maximum} {
			if _, ok := s.tag.Lookup(tag); ok {
				limit := s.bound(tag).Int()
				*bound = &limit
			}
		}
	}
	return out
}
