package corpus

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const apacheTime = "02/Jan/2006:15:04:05 -0700"

// OpenAccessLog reads the records of a gzipped Apache access log.
func OpenAccessLog(file string) ([]Record, error) {
	text, err := inflate(file)
	if err != nil {
		return nil, err
	}
	return ReadAccessLog(strings.NewReader(text))
}

// AccessLogLines returns the lines of a gzipped log as they are, without their ends.
func AccessLogLines(file string) ([]string, error) {
	text, err := inflate(file)
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), err
}

func inflate(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", fmt.Errorf("inflate %s: %w", file, err)
	}
	text, err := io.ReadAll(z)
	return string(text), err
}

// ReadAccessLog reads an access log in Apache's "combined" format, one record
// a line: the time, the middle word of the request line as the path, the last
// quoted field as the user agent. Both are taken as the log has them, with
// Apache's backslashes. A line cut off in its user agent keeps what is there.
func ReadAccessLog(r io.Reader) ([]Record, error) {
	var recs []Record
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		rec, err := parseCombined(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("access log, line %d: %w", n, err)
		}
		recs = append(recs, rec)
	}
	return recs, lines.Err()
}

func parseCombined(line string) (Record, error) {
	_, rest, ok := strings.Cut(line, "[")
	at, rest, ok2 := strings.Cut(rest, "]")
	if !ok || !ok2 {
		return Record{}, fmt.Errorf("no [time] in %q", line)
	}
	t, err := time.Parse(apacheTime, at)
	if err != nil {
		return Record{}, err
	}
	request, rest := quoted(rest)
	_, rest = quoted(rest) // referrer
	agent, _ := quoted(rest)
	words := strings.Split(request, " ")
	if len(words) < 2 || words[1] == "" || agent == "" {
		return Record{}, fmt.Errorf("no request or user agent in %q", line)
	}
	return Record{Time: t.UTC(), Path: words[1], UserAgent: agent}, nil
}

// quoted returns the first quoted field of s unchanged, and what is after it.
func quoted(s string) (field, rest string) {
	_, s, _ = strings.Cut(s, `"`)
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
