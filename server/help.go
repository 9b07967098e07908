package server

// What /metrics says beside the numbers: for each metric its type and what it
// means. metrics.txt holds the meanings, a name and a sentence a line.

import (
	"bytes"
	_ "embed"
	"strings"
)

//go:embed metrics.txt
var metricsText string

// meanings is metrics.txt by name. A sentence that begins with removed: names a
// metric of package metrics that Prometheus's own linter does not let pass.
var meanings = func() map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(metricsText) {
		name, sentence, _ := strings.Cut(strings.TrimSpace(line), " ")
		m[name] = sentence
	}
	return m
}()

const removed = "removed:"

// appendDescribed appends the samples of text to dst, with HELP and TYPE before
// each metric that metrics.txt names. Samples of one metric have to be together,
// as package metrics writes them.
func appendDescribed(dst, text []byte) []byte {
	last, drop := "", false
	for line := range bytes.Lines(text) {
		end := bytes.IndexAny(line, "{ ")
		if end < 0 {
			continue
		}
		if name, kind := familyOf(line, string(line[:end])); name != last {
			meaning, known := meanings[name]
			last, drop = name, strings.HasPrefix(meaning, removed)
			if known && !drop {
				dst = append(dst, "# HELP "+name+" "+meaning+"\n# TYPE "+name+" "+kind+"\n"...)
			}
		}
		if !drop {
			dst = append(dst, line...)
		}
	}
	return dst
}

// familyOf returns the metric that a sample belongs to, and its type.
func familyOf(line []byte, name string) (family, kind string) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok || meanings[base] == "" {
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
