package hourly

import (
	"path/filepath"
	"time"

	"logforge/codec"
)

// The layout of a logs directory: one folder a UTC day, one file an hour.
// Everything else in it begins with a dot.
const (
	dayLayout  = "2006-01-02"
	fileLayout = "15.log.json"

	instanceName = ".instance"
	journalName  = ".journal"
	probeName    = ".probe"
	// tornEnd follows the name of an hour's file in those of what was cut off it.
	tornEnd = ".torn-"
	// keepEnd follows it in that of a mark that retention must not remove the hour.
	keepEnd = ".keep"
)

// Path returns where an hour's file is within a logs directory:
// 2026-02-09/15.log.json.
func Path(h codec.Hour) string {
	return h.Time().Format(dayLayout + "/" + fileLayout)
}

// ParsePath is the inverse of Path. It reports false for any other name.
func ParsePath(name string) (codec.Hour, bool) {
	t, err := time.Parse(dayLayout+"/"+fileLayout, filepath.ToSlash(name))
	if err != nil {
		return 0, false
	}
	h := codec.HourOf(t)
	return h, Path(h) == filepath.ToSlash(name)
}

// isDay reports whether name is that of a day's directory.
func isDay(name string) bool {
	_, err := time.Parse(dayLayout, name)
	return err == nil
}
