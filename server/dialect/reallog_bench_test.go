package dialect

import (
	"regexp"
	"testing"
	"time"

	"logforge/bench/corpus"
)

// apacheLine has the parts of an access log line as the apache parsers of shippers name them.
var apacheLine = regexp.MustCompile(`^(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) (\S+) \S+" (\d+) (\S+) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$`)

// BenchmarkAccessLog decodes the lines of a real log, whose clients, sizes, referers and
// states are others from line to line, 1,000 a body.
func BenchmarkAccessLog(b *testing.B) {
	const n = 1000
	lines, err := corpus.AccessLogLines("../../bench/testdata/access.log.gz")
	if err != nil {
		b.Fatal(err)
	}
	forms := []struct {
		name, route string
		append      func(dst []byte, line []byte, m [][]byte) []byte
	}{
		{"combined", "/ingest", func(dst, line []byte, _ [][]byte) []byte { return append(append(dst, line...), '\n') }},
		{"fluentbit", "/ingest", func(dst, line []byte, _ [][]byte) []byte {
			return append(appendString(append(dst, `{"date":1431857103.506585,"log":`...), line), "}\n"...)
		}},
		{"apache", "/ingest", appendApache},
		{"bulk", "/_bulk", func(dst, line []byte, m [][]byte) []byte {
			return appendApache(append(dst, "{\"create\":{\"_index\":\"logs\"}}\n"...), line, m)
		}},
	}
	for _, f := range forms {
		b.Run(f.name, func(b *testing.B) {
			var bodies [][]byte
			var body []byte
			records := 0
			for _, l := range lines {
				line := []byte(l)
				m := apacheLine.FindSubmatch(line)
				if m == nil {
					continue
				}
				body = f.append(body, line, m)
				if records++; records%n == 0 {
					bodies, body = append(bodies, body), nil
				}
			}
			k := newTaking(b, form{f.route, "", ""})
			k.takeInTurn(b, bodies, n)
		})
	}
}

func appendApache(dst, _ []byte, m [][]byte) []byte {
	member := func(name string, value []byte) {
		dst = appendString(append(append(append(dst, `,"`...), name...), `":`...), value)
	}
	at, _ := time.Parse("02/Jan/2006:15:04:05 -0700", string(m[3]))
	start := len(dst)
	member("@timestamp", at.UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00"))
	dst[start] = '{'
	member("host", m[1])
	member("user", m[2])
	member("method", m[4])
	member("path", m[5])
	member("code", m[6])
	member("size", m[7])
	member("referer", m[8])
	member("agent", m[9])
	return append(dst, "}\n"...)
}
