package config

// The configuration as a YAML file: the one in effect, and a sample with every
// setting commented.

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// YAML returns the configuration as a file that Load reads, without the settings
// that its pipeline does not use, and with secrets masked. Where origin is not
// nil, a comment beside each setting says where its value comes from.
func (c *Config) YAML(origin func(key string) Origin) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": root}
	var unused []string
	for s := range c.Settings() {
		if s.isOlderName() {
			continue
		}
		if !s.usedBy(c.Pipeline) {
			if origin != nil && origin(s.Key).Layer != LayerDefault {
				unused = append(unused, fmt.Sprintf("%s (%v)", s.Key, origin(s.Key)))
			}
			continue
		}
		value, err := s.node()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Key, err)
		}
		if origin != nil {
			value.LineComment = origin(s.Key).String()
		}
		section, name := sectionOf(sections, s.Key)
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
		section.Content = append(section.Content, key, value)
	}
	if len(unused) > 0 {
		root.FootComment = fmt.Sprintf("not used by pipeline %d: %s", c.Pipeline, strings.Join(unused, ", "))
	}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return text.Bytes(), e.Close()
}

// isOlderName reports whether another setting says the same, and more clearly.
func (s Setting) isOlderName() bool {
	return s.Key == "version" || s.Key == "ingestion.syncOnIngest" || strings.HasPrefix(s.Key, "storage.minio.")
}

// sectionOf returns the mapping that holds a key, and the key's name in it.
func sectionOf(sections map[string]*yaml.Node, key string) (section *yaml.Node, name string) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return sections[""], key
	}
	path, name := key[:i], key[i+1:]
	if sections[path] == nil {
		parent, own := sectionOf(sections, path)
		sections[path] = &yaml.Node{Kind: yaml.MappingNode}
		parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: own}, sections[path])
	}
	return sections[path], name
}

// node returns the value as YAML, a secret masked.
func (s Setting) node() (*yaml.Node, error) {
	n := new(yaml.Node)
	switch v := s.Value.(type) {
	case time.Duration:
		n.SetString(duration(v))
		return n, nil
	case Bytes:
		if v%KiB == 0 && v != 0 {
			n.SetString(v.String())
			return n, nil
		}
		return n, n.Encode(int64(v))
	case Keys:
		n.Kind, n.Style = yaml.SequenceNode, yaml.FlowStyle
		for _, key := range v {
			item := &yaml.Node{}
			item.SetString(masked)
			if key.Name != "" {
				item = &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: key.Name}, item}}
			}
			n.Content = append(n.Content, item)
		}
		return n, nil
	case []string:
		err := n.Encode(v)
		n.Kind, n.Style = yaml.SequenceNode, yaml.FlowStyle
		return n, err
	case string:
		return n, n.Encode(s.Text())
	default:
		return n, n.Encode(v)
	}
}

// Sample returns a configuration file with every setting: its meaning, its
// variable, and its default, commented out. The file as it is changes nothing.
func Sample() []byte {
	var b bytes.Buffer
	b.WriteString(`# Settings of logforge. Every line that begins with # is a setting with its
# default: take the # away to change it. A section may stay empty.
#
# A flag beats an environment variable, a variable beats this file, this file
# beats the default. The variable of each setting follows its meaning.
#
#   logforge -config FILE -check-config
#
# checks this file and prints what is in effect.
`)
	cfg := Default()
	var open []string // the sections around the last setting
	for s := range cfg.Settings() {
		if s.isOlderName() {
			continue
		}
		path := strings.Split(s.Key, ".")
		sections, name := path[:len(path)-1], path[len(path)-1]
		for depth, section := range sections {
			if depth < len(open) && open[depth] == section {
				continue
			}
			open = open[:depth]
			fmt.Fprintf(&b, "\n%s%s:\n", strings.Repeat("  ", depth), section)
			open = append(open, section)
		}
		open = open[:len(sections)]
		indent := strings.Repeat("  ", len(sections))
		fmt.Fprintf(&b, "\n%s", wrap(s.Description+" ("+s.Env+")", indent+"# "))
		fmt.Fprintf(&b, "%s#%s: %s\n", indent, name, sampleValue(s))
	}
	return b.Bytes()
}

// sampleValue returns the default on one line.
func sampleValue(s Setting) string {
	n, err := s.node()
	if err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", s.Key, err))
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		panic(fmt.Sprintf("config: default of %s: %v", s.Key, err))
	}
	return strings.TrimSpace(string(text))
}

// wrap breaks text into lines of at most 80 columns that begin with prefix.
func wrap(text, prefix string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		if column > 0 && column+1+len(word) > 80 {
			b.WriteByte('\n')
			column = 0
		}
		if column == 0 {
			b.WriteString(prefix)
			column = len(prefix) - 1
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(word)
		column += 1 + len(word)
	}
	b.WriteByte('\n')
	return b.String()
}
