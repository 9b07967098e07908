package config

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the candidate with the fewest single-letter edits from name,
// case not counted, or "" when none is near enough to have been meant. It
// answers "did you mean" for keys, variables, flags and commands.
func Nearest(name string, candidates []string) string {
	best, allowed := "", 1+len(name)/4
	for _, c := range candidates {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil); d <= allowed {
			best, allowed = c, d-1
		}
	}
	return best
}
