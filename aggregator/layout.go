package aggregator

import (
	"path/filepath"

	"logforge/codec"
)

// summaryPath returns where an hour's summary is within an analytics
// directory: 2026-02-09/summary_15.json.
func summaryPath(h codec.Hour) string {
	return h.Time().Format("2006-01-02/summary_15.json")
}

// temporary returns the file in which the next content of the summary at path
// is written: a dot file beside it, so that a rename can put it in place.
func temporary(path string) string {
	dir, name := filepath.Split(path)
	return dir + "." + name + ".tmp"
}
