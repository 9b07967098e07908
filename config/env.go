package config

// What cleanenv does not do: notice variables that set nothing.

import (
	"fmt"
	"slices"
	"strings"
)

// unknownEnv returns a warning for every LOGFORGE_ variable that no setting
// has. It is not an error: others may write the environment, Kubernetes for one,
// which gives every pod a set of variables for a service called logforge.
func unknownEnv(environ []string) (warnings []string) {
	var names []string
	var cfg Config
	for s := range cfg.Settings() {
		names = append(names, s.Env)
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "LOGFORGE_") || slices.Contains(names, name) || fromKubernetes(name) {
			continue
		}
		hint := ""
		if near := nearest(name, names); near != "" {
			hint = "; did you mean " + near + "?"
		}
		warnings = append(warnings, fmt.Sprintf("environment variable %s sets nothing%s", name, hint))
	}
	slices.Sort(warnings)
	return warnings
}

func fromKubernetes(name string) bool {
	rest := strings.TrimPrefix(name, "LOGFORGE_")
	return strings.HasPrefix(rest, "SERVICE_") || rest == "PORT" || strings.HasPrefix(rest, "PORT_")
}

// nearest returns the candidate with the fewest single-letter edits from name,
// case not counted, or "" when none is near enough to have been meant.
func nearest(name string, candidates []string) string {
	best, allowed := "", 1+len(name)/4
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d <= allowed {
			best, allowed = c, d-1
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
