package hourly

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// Ensure that a position which is JSON stands in the journal as it is, so that the
// journal can be read, that any other does not get lost, and that what versions
// before this one wrote is read.
func TestJournal_APositionOfJSONStandsAsItIsAndAnyOtherInBase64(t *testing.T) {
	for _, p := range []string{`{"topic":"logs","spans":[{"base":1}]}`, `{not JSON`, "\x01\x00\xff", "[1]", `{"a":1} {`} {
		line := entry{Kind: kindPrepare, Position: []byte(p)}.line()
		e, ok := parseEntry(bytes.TrimSuffix(line, []byte{'\n'}))
		if !ok || string(e.Position) != p {
			t.Errorf("%q reads as %q, %v", p, e.Position, ok)
		}
		if plain := strings.HasPrefix(p, `{"topic`); strings.Contains(string(line), p) != plain {
			t.Errorf("%q stands as %s", p, line)
		}
	}
	body := []byte(`{"kind":"position","position":"AQNncnA="}`)
	e, ok := parseEntry(fmt.Appendf(nil, "%08x %s", crc32.Checksum(body, castagnoli), body))
	if !ok || string(e.Position) != "\x01\x03grp" {
		t.Errorf("the older form reads as %q, %v", e.Position, ok)
	}
}
