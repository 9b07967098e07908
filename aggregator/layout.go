package aggregator

import (
	"path/filepath"
	"strings"
	"time"

	"logforge/codec"
)

// The layout of an analytics directory: one folder a UTC day, one summary an
// hour. Everything else in it begins with a dot.
const (
	dayLayout  = time.DateOnly
	fileLayout = "summary_15.json"

	// asideSuffix ends the name of a damaged summary that was moved aside.
	asideSuffix = ".damaged"
)

// dayPath returns the folder of an hour's day within an analytics directory:
// 2026-02-09.
func dayPath(h codec.Hour) string { return h.Time().Format(dayLayout) }

// summaryPath returns where an hour's summary is within an analytics
// directory: 2026-02-09/summary_15.json.
func summaryPath(h codec.Hour) string {
	return h.Time().Format(dayLayout + "/" + fileLayout)
}

// parseDay is the inverse of dayPath: it returns the first hour of the day. It
// reports false for any other name.
func parseDay(name string) (codec.Hour, bool) {
	t, err := time.Parse(dayLayout, name)
	if err != nil {
		return 0, false
	}
	h := codec.HourOf(t)
	return h, dayPath(h) == name
}

// parseSummary returns the hour of the day that a summary with the given file
// name is of. It reports false for any other name.
func parseSummary(name string) (clock int, ok bool) {
	t, err := time.Parse(fileLayout, name)
	if err != nil || t.Format(fileLayout) != name {
		return 0, false
	}
	return t.Hour(), true
}

// aside returns the path to which a damaged summary at path is moved: that of a
// dot file beside it.
func aside(path string) string {
	dir, name := filepath.Split(path)
	return dir + "." + name + asideSuffix
}

// parseAside is parseSummary for the names that aside makes.
func parseAside(name string) (clock int, ok bool) {
	name, ok1 := strings.CutPrefix(name, ".")
	name, ok2 := strings.CutSuffix(name, asideSuffix)
	if !ok1 || !ok2 {
		return 0, false
	}
	return parseSummary(name)
}
