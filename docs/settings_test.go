package docs

// What the documents say of settings is what the program does: defaults, and the
// names of members that are looked for.

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"logforge/codec"
	"logforge/config"
	"logforge/server/dialect"
)

// Ensure that where a document puts a number behind a setting, as in
// `archive.after` (5 minutes), it is the setting's default.
func TestDocuments_DefaultsBesideSettingsAreThoseOfTheProgram(t *testing.T) {
	settings := map[string]any{}
	defaults := config.Default()
	for s := range defaults.Settings() {
		settings[s.Key] = s.Value
	}
	beside := regexp.MustCompile("`([a-z]\\w*(?:\\.\\w+)+)` \\(([\\d,]+) ?(\\w*)\\)")
	checked := 0
	for _, file := range documents(t) {
		if filepath.Base(filepath.Dir(file)) == "decisions" || filepath.Base(file) == "CHANGELOG.md" {
			continue // they tell of their own time
		}
		_, prose := read(t, file)
		for n, line := range prose {
			for _, m := range beside.FindAllStringSubmatch(line, -1) {
				value, known := settings[m[1]]
				if !known {
					t.Errorf("%s:%d: there is no setting %s", file, n+1, m[1])
					continue
				}
				checked++
				number := strings.ReplaceAll(m[2], ",", "")
				if said := amount(t, number, m[3]); said != inUnits(value) {
					t.Errorf("%s:%d: %s is said to be %s %s, and is %v", file, n+1, m[1], m[2], m[3], value)
				}
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d defaults found", checked)
	}
}

// amount returns a number with its unit in nanoseconds, bytes, or as it is.
func amount(t *testing.T, number, unit string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]int64{
		"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "ms": int64(time.Millisecond),
		"s": int64(time.Second), "second": int64(time.Second), "seconds": int64(time.Second),
		"minute": int64(time.Minute), "minutes": int64(time.Minute), "h": int64(time.Hour), "hours": int64(time.Hour),
	}
	size, known := units[unit]
	if !known {
		t.Fatalf("what is a %s?", unit)
	}
	return n * size
}

// inUnits returns a setting's value as amount does; -1 for one that is no number.
func inUnits(value any) int64 {
	switch v := value.(type) {
	case int:
		return int64(v)
	case config.Bytes:
		return int64(v)
	case time.Duration:
		return int64(v)
	}
	return -1
}

// Ensure that docs/shippers.md has the names that are looked for, in their order.
func TestShippers_NamesOfThePageAreThoseOfTheProgram(t *testing.T) {
	names := dialect.Names(codec.DefaultNames())
	outside := func(name string) bool { return strings.HasSuffix(name, "_unix_nano") } // OTLP's, which no record has within it
	want := map[string][]string{"timestamp": slices.DeleteFunc(names.Timestamp, outside), "path": names.Path, "user agent": names.UserAgent, "a line in a member": names.Line}
	row := regexp.MustCompile("^\\| ([a-z ]+) \\| (`.*) \\|$")
	name := regexp.MustCompile("`([^`]+)`")
	_, prose := read(t, filepath.Join(root, "docs/shippers.md"))
	found := map[string][]string{}
	for _, line := range prose {
		m := row.FindStringSubmatch(line)
		if m == nil || want[m[1]] == nil {
			continue
		}
		// The query of a URI is looked for beside its path, and nowhere else.
		for _, n := range name.FindAllStringSubmatch(strings.ReplaceAll(m[2], " with `cs-uri-query`", ""), -1) {
			found[m[1]] = append(found[m[1]], n[1])
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}
