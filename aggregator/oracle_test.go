package aggregator

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"logforge/codec"
)

// The oracle: what a summary has to say, found the slow and obvious way.

// failer is a test, one of testing's or of rapid's.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// recount is a summary as a reader of the file sees it, without what is only
// for resuming.
type recount struct {
	Hour                 time.Time         `json:"hour"`
	Records              uint64            `json:"records"`
	Malformed            uint64            `json:"malformed"`
	RequestsPerPath      map[string]uint64 `json:"requestsPerPath"`
	RequestsPerUserAgent map[string]uint64 `json:"requestsPerUserAgent"`
}

func newRecount(h codec.Hour) recount {
	return recount{Hour: h.Time(), RequestsPerPath: map[string]uint64{}, RequestsPerUserAgent: map[string]uint64{}}
}

// recountOf counts the whole lines of text.
func recountOf(h codec.Hour, text string) recount {
	r := newRecount(h)
	text = text[:strings.LastIndexByte(text, '\n')+1]
	for line := range strings.Lines(text) {
		r.line(strings.TrimSuffix(line, "\n"))
	}
	return r
}

func (r *recount) line(line string) {
	if strings.Trim(line, " \t\r") == "" { // the white space of JSON
		return
	}
	path, agent, ok := recordOf(line, r.Hour)
	if !ok {
		r.Malformed++
		return
	}
	r.Records++
	r.RequestsPerPath[path]++
	r.RequestsPerUserAgent[agent]++
}

// add adds what other has counted.
func (r *recount) add(other recount) {
	r.Records += other.Records
	r.Malformed += other.Malformed
	for k, n := range other.RequestsPerPath {
		r.RequestsPerPath[k] += n
	}
	for k, n := range other.RequestsPerUserAgent {
		r.RequestsPerUserAgent[k] += n
	}
}

// rfc3339 is the part of the grammar that time.Time does not hold to: at most
// nine digits of a fraction, after a point.
var rfc3339 = regexp.MustCompile(`^[^.,]*(\.[0-9]{1,9})?([Zz]|[+-]..:..)$`)

// recordOf reads a line as the contract's record of an hour.
func recordOf(line string, hour time.Time) (path, agent string, ok bool) {
	line = strings.TrimPrefix(line, "\ufeff")
	var members map[string]any // the last of a repeated member, exact names
	if json.Unmarshal([]byte(line), &members) != nil || members == nil || depth(members) > maxDepth+1 {
		return "", "", false
	}
	stamp, ok1 := members["timestamp"].(string)
	path, ok2 := members["path"].(string)
	agent, ok3 := members["userAgent"].(string)
	if !ok1 || !ok2 || !ok3 || strings.TrimSpace(path) == "" || strings.TrimSpace(agent) == "" {
		return "", "", false
	}
	var at time.Time
	if !rfc3339.MatchString(stamp) || at.UnmarshalText([]byte(strings.ToUpper(stamp))) != nil {
		return "", "", false
	}
	return path, agent, at.UTC().Truncate(time.Hour).Equal(hour)
}

func depth(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, v := range v {
			n = max(n, depth(v))
		}
	case []any:
		for _, v := range v {
			n = max(n, depth(v))
		}
	default:
		return 0
	}
	return n + 1
}

// readRecount reads a summary file, and checks what every one promises.
func readRecount(t failer, file string) recount {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r recount
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, text)
	}
	for _, m := range []map[string]uint64{r.RequestsPerPath, r.RequestsPerUserAgent} {
		var sum uint64
		for _, n := range m {
			sum += n
		}
		if sum != r.Records {
			t.Fatalf("%s: counts add up to %d of %d records", file, sum, r.Records)
		}
	}
	return r
}

func TestTheOracleKnowsARecord(t *testing.T) {
	hour := codec.Hour(491847).Time()
	stamp := hour.Format(time.RFC3339)
	f := func(line string, want bool) {
		t.Helper()
		if _, _, ok := recordOf(line, hour); ok != want {
			t.Errorf("%s: %v", line, ok)
		}
	}
	f(`{"timestamp":"`+stamp+`","path":"/a","userAgent":"b"}`, true)
	f(`{"timestamp":"`+stamp+`","path":" ","userAgent":"b"}`, false)
	f(`{"timestamp":"`+stamp+`","path":"/a"}`, false)
	f(`{"timestamp":"2001-01-01T00:00:00Z","path":"/a","userAgent":"b"}`, false)
	f(`{"timestamp":"`+stamp+`","path":"/a","userAgent":"b"}}`, false)
}
