package config

// The settings as a list, read off the struct, and the rule that turns a YAML
// path into the name of an environment variable.

import (
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Setting is one field of Config.
type Setting struct {
	Key         string // path in YAML: server.maxBodyBytes
	Env         string // environment variable
	Description string
	Value       any
	Secret      bool // never shown; KeyFile names a file with the value

	field    reflect.Value
	tag      reflect.StructTag
	pipeline string // the only pipeline that uses it; "" means both
}

// Settings yields every setting of c in the order of the file.
func (c *Config) Settings() iter.Seq[Setting] {
	return func(yield func(Setting) bool) { walk(reflect.ValueOf(c).Elem(), "", "", yield) }
}

func walk(v reflect.Value, path, pipeline string, yield func(Setting) bool) bool {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if yamlName(field) == "-" {
			continue
		}
		key := join(path, yamlName(field))
		only := pipeline
		if p := field.Tag.Get("pipeline"); p != "" {
			only = p
		}
		if field.Type.Kind() == reflect.Struct {
			if !walk(v.Field(i), key, only, yield) {
				return false
			}
			continue
		}
		s := Setting{
			Key: key, Env: field.Tag.Get("env"), Description: field.Tag.Get("env-description"),
			Value: v.Field(i).Interface(), Secret: field.Tag.Get("secret") != "",
			field: v.Field(i), tag: field.Tag, pipeline: only,
		}
		if !yield(s) {
			return false
		}
	}
	return true
}

// setting returns the setting with this key. It panics where there is none:
// only keys that are written in this package are asked for.
func (c *Config) setting(key string) Setting {
	for s := range c.Settings() {
		if s.Key == key {
			return s
		}
	}
	panic("config: there is no setting " + key)
}

// usedBy reports whether a pipeline, 1 or 2, uses the setting.
func (s Setting) usedBy(pipeline int) bool {
	return s.pipeline == "" || s.pipeline == fmt.Sprint(pipeline)
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// EnvName returns the environment variable of a YAML path: server.maxBodyBytes
// is LOGFORGE_SERVER_MAX_BODY_BYTES, kafka.groupID is LOGFORGE_KAFKA_GROUP_ID.
func EnvName(key string) string {
	var b strings.Builder
	b.WriteString("LOGFORGE_")
	runes := []rune(key)
	for i, r := range runes {
		switch {
		case r == '.':
			b.WriteByte('_')
			continue
		case i > 0 && unicode.IsUpper(r) && runes[i-1] != '.':
			// A word begins at an upper case letter after a lower case one, and
			// at the last of several before a lower case one: clientCAFile.
			begins := unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if begins {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// Text returns the value as YAML writes it on one line; that of a secret is
// masked.
func (s Setting) Text() string {
	switch v := s.Value.(type) {
	case time.Duration:
		return duration(v)
	case []string:
		return strings.Join(v, ",")
	case Keys:
		return strings.Join(v.shown(), ",")
	case string:
		if s.Secret && v != "" {
			return masked
		}
		return v
	default:
		return fmt.Sprint(v)
	}
}

// duration prints 2m0s as 2m.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Changes returns the keys of the settings that differ between two
// configurations.
func Changes(a, b *Config) []string {
	var keys []string
	other := map[string]any{}
	for s := range b.Settings() {
		other[s.Key] = s.Value
	}
	for s := range a.Settings() {
		if !s.isOlderName() && !reflect.DeepEqual(s.Value, other[s.Key]) {
			keys = append(keys, s.Key)
		}
	}
	return keys
}
