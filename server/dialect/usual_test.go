package dialect

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The usual Go way beside ours: regexp for lines, encoding/json for the rest, and
// encoding/json to write the line that is stored.

var usualLine = regexp.MustCompile(`^(\S+) \S+ (\S+) \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d+) (\S+) "([^"]*)" "([^"]*)"`)

type usualRecord struct {
	Timestamp  time.Time `json:"timestamp"`
	Path       string    `json:"path"`
	UserAgent  string    `json:"userAgent"`
	RemoteAddr string    `json:"remoteAddr,omitempty"`
	Method     string    `json:"method,omitempty"`
	Protocol   string    `json:"protocol,omitempty"`
	Status     string    `json:"status,omitempty"`
	Bytes      string    `json:"bytes,omitempty"`
	Referer    string    `json:"referer,omitempty"`
}

func usual(b *testing.B, out *bytes.Buffer, line string) {
	m := usualLine.FindStringSubmatch(line)
	if m == nil {
		b.Fatal(line)
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[3])
	if err != nil {
		b.Fatal(err)
	}
	if err := json.NewEncoder(out).Encode(usualRecord{at.UTC(), m[5], m[10], m[1], m[4], m[6], m[7], m[8], m[9]}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkUsual is to be compared with BenchmarkDecode.
func BenchmarkUsual(b *testing.B) {
	const n = 1000
	for name, take := range map[string]func(b *testing.B, out *bytes.Buffer, body string){
		"lines": func(b *testing.B, out *bytes.Buffer, body string) {
			for line := range strings.Lines(body) {
				usual(b, out, line)
			}
		},
		"bulk": func(b *testing.B, out *bytes.Buffer, body string) {
			action := true
			for line := range strings.Lines(body) {
				if action = !action; !action {
					continue
				}
				var document map[string]any
				if err := json.Unmarshal([]byte(line), &document); err != nil {
					b.Fatal(err)
				}
				document["timestamp"], document["userAgent"] = document["@timestamp"], document["agent"]
				if err := json.NewEncoder(out).Encode(document); err != nil {
					b.Fatal(err)
				}
			}
		},
		"loki-json": func(b *testing.B, out *bytes.Buffer, body string) {
			var push struct {
				Streams []struct {
					Values [][2]string `json:"values"`
				} `json:"streams"`
			}
			if err := json.Unmarshal([]byte(body), &push); err != nil {
				b.Fatal(err)
			}
			for _, value := range push.Streams[0].Values {
				usual(b, out, value[1])
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			body := bodies(n)[name].body
			var out bytes.Buffer
			before := cpuTime(b)
			for b.Loop() {
				out.Reset()
				take(b, &out, body)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/n, "cpu-ns/record")
		})
	}
}
