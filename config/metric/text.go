package metric

import (
	"bytes"
	_ "embed"
	"strings"
)

// runtimeText says what package metrics's own metrics mean, those of Go and of the
// process: a name and a sentence a line. One that begins with removed: is of a
// metric that Prometheus's own linter does not let pass.
//
//go:embed runtime.txt
var runtimeText string

const removed = "removed:"

func init() {
	for line := range strings.Lines(runtimeText) {
		name, help, _ := strings.Cut(strings.TrimSpace(line), " ")
		Describe(name, help)
	}
}

// helpOf returns what a family means; it is empty for one that is not known.
func helpOf(family string) string {
	help, _ := helps.Load(family)
	text, _ := help.(string)
	return text
}

// AppendDescribed appends the samples of text to dst, with HELP and TYPE before
// each family that was described. Samples of one family have to be together, as
// package metrics writes them.
func AppendDescribed(dst, text []byte) []byte {
	last, drop := "", false
	for line := range bytes.Lines(text) {
		end := bytes.IndexAny(line, "{ ")
		if end < 0 {
			continue
		}
		if name, kind := familyOf(line, string(line[:end])); name != last {
			help := helpOf(name)
			last, drop = name, strings.HasPrefix(help, removed)
			if help != "" && !drop {
				dst = append(dst, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
			}
		}
		if !drop {
			dst = append(dst, line...)
		}
	}
	return dst
}

// familyOf returns the family that a sample belongs to, and its type.
func familyOf(line []byte, name string) (family, kind string) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok || helpOf(base) == "" {
			continue
		}
		if base == "go_gc_duration_seconds" {
			return base, "summary"
		}
		return base, "histogram"
	}
	switch {
	case bytes.Contains(line, []byte(`{quantile="`)):
		return name, "summary"
	case strings.HasSuffix(name, "_total"):
		return name, "counter"
	}
	return name, "gauge"
}
