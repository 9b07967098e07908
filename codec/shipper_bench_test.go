package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"logforge/bench/corpus"
	"logforge/codec"
)

// What shippers send, 1,000 records a body, by the rules of POST /ingest with
// extra members kept, beside canonical NDJSON, and beside the usual Go way:
// regexp for lines, encoding/json into a map for objects, fmt for the time, and
// the canonical line out.
//
//	go test -run '^$' -bench Shipper -count 10 ./codec

// shipperForms write one record each, as shippers do.
var shipperForms = []struct {
	name          string
	head, between string
	write         func(dst []byte, r corpus.Record) []byte
	usual         func(body []byte) int // the usual way; returns the records
}{
	{"ndjson", "", "\n", corpus.AppendLine, usualObjects},
	{"ndjson-extra", "", "\n", func(dst []byte, r corpus.Record) []byte {
		dst = corpus.AppendLine(dst, r)
		return append(dst[:len(dst)-1], `,"remoteAddr":"192.0.2.10","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":203023,"referer":"http://example.test/presentations/"}`...)
	}, usualObjects},
	{"combined", "", "\n", appendCombined, usualLines},
	{"common", "", "\n", func(dst []byte, r corpus.Record) []byte {
		return fmt.Appendf(dst, `192.0.2.10 - - [%s] "GET %s HTTP/1.1" 200 203023`, r.Time.Format("02/Jan/2006:15:04:05 -0700"), r.Path)
	}, nil},
	{"fluentbit", "[", ",", func(dst []byte, r corpus.Record) []byte {
		line, _ := json.Marshal(string(appendCombined(nil, r)))
		return fmt.Appendf(dst, `{"date":%d.506585,"log":%s}`, r.Time.Unix(), line)
	}, usualLog},
	{"fluentbit-apache2", "[", ",", func(dst []byte, r corpus.Record) []byte {
		p, _ := json.Marshal(r.Path)
		a, _ := json.Marshal(r.UserAgent)
		return fmt.Appendf(dst, `{"date":%d.0,"host":"192.0.2.10","user":"-","method":"GET","path":%s,"code":"200","size":"203023","referer":"http://example.test/presentations/","agent":%s}`, r.Time.Unix(), p, a)
	}, usualObjects},
	{"nginx-variables", "", "\n", func(dst []byte, r corpus.Record) []byte {
		p, _ := json.Marshal(r.Path)
		a, _ := json.Marshal(r.UserAgent)
		return fmt.Appendf(dst, `{"time_local":"%s","time_iso8601":"%s","msec":"%d.785","remote_addr":"127.0.0.1","request":"GET %s HTTP/1.1","request_uri":%s,"uri":%s,"status":"404","body_bytes_sent":"153","http_referer":"","http_user_agent":%s}`,
			r.Time.Format("02/Jan/2006:15:04:05 -0700"), r.Time.Format("2006-01-02T15:04:05-07:00"), r.Time.Unix(), strings.Trim(string(p), `"`), p, p, a)
	}, usualObjects},
	{"ecs", "", "\n", func(dst []byte, r corpus.Record) []byte {
		p, _ := json.Marshal(r.Path)
		a, _ := json.Marshal(r.UserAgent)
		return fmt.Appendf(dst, `{"@timestamp":"%s","url":{"path":%s},"http":{"response":{"status_code":200}},"user_agent":{"original":%s},"host":{"name":"web-1"}}`, r.Time.Format("2006-01-02T15:04:05.000Z"), p, a)
	}, usualObjects},
	{"alb", "", "\n", func(dst []byte, r corpus.Record) []byte {
		return fmt.Appendf(dst, `https %s app/my-lb/50dc 192.0.2.10:2817 10.0.0.1:80 0.086 0.048 0.037 200 201 0 57 "GET https://www.example.com:443%s HTTP/1.1" "%s" ECDHE TLSv1.2`,
			r.Time.Format("2006-01-02T15:04:05.000000Z"), r.Path, strings.ReplaceAll(r.UserAgent, `"`, `\x22`))
	}, nil},
	{"w3c", "#Fields: date time cs-method cs-uri-stem c-ip cs(User-Agent) sc-status\n", "\n", func(dst []byte, r corpus.Record) []byte {
		return fmt.Appendf(dst, "%s GET %s 192.0.2.10 %s 200", r.Time.Format("2006-01-02 15:04:05"), strings.ReplaceAll(r.Path, " ", "+"), strings.ReplaceAll(r.UserAgent, " ", "+"))
	}, nil},
	{"csv", "time,url,user_agent,status\n", "\n", func(dst []byte, r corpus.Record) []byte {
		return fmt.Appendf(dst, `%s,"%s","%s",200`, r.Time.Format("2006-01-02 15:04:05"), strings.ReplaceAll(r.Path, `"`, `""`), strings.ReplaceAll(r.UserAgent, `"`, `""`))
	}, nil},
}

func appendCombined(dst []byte, r corpus.Record) []byte {
	escape := strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace
	return fmt.Appendf(dst, `192.0.2.10 - - [%s] "GET %s HTTP/1.1" 200 203023 "http://example.test/presentations/" "%s"`,
		r.Time.Format("02/Jan/2006:15:04:05 -0700"), escape(r.Path), escape(r.UserAgent))
}

// shipperBody is a body of that form.
func shipperBody(form int, recs []corpus.Record) []byte {
	f := shipperForms[form]
	body := []byte(f.head)
	for i, r := range recs {
		if i > 0 {
			body = append(body, f.between...)
		}
		body = f.write(body, r)
	}
	if f.head == "[" {
		body = append(body, ']')
	}
	return body
}

func BenchmarkShipper(b *testing.B) {
	const batch = 1000
	for i, f := range shipperForms {
		body := shipperBody(i, corpus.Records(1, batch, 1))
		run := func(name string, decode func() int) {
			b.Run(fmt.Sprintf("form=%s/impl=%s", f.name, name), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if decode() != batch {
						b.Fatal(errCount)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/record")
			})
		}
		var batch codec.Batch
		r := lenient(b, nil)
		run("logforge", func() int {
			if err := batch.DecodeWith(body, codec.Auto, r, arrival, setAside); err != nil {
				return -1
			}
			return batch.Records()
		})
		if f.usual != nil && !testing.Short() {
			run("usual", func() int { return f.usual(body) })
		}
	}
}

func setAside([]byte, codec.RecordError) {}

var combinedForm = regexp.MustCompile(`^(\S+) (\S+) (.+?) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?`)

// usualLine is what one writes first: an expression, time.Parse, encoding/json.
func usualLine(line string) ([]byte, error) {
	m := combinedForm.FindStringSubmatch(line)
	if m == nil {
		return nil, errCount
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[4])
	if err != nil {
		return nil, err
	}
	request := strings.Split(m[5], " ")
	if len(request) != 3 {
		request = []string{"", "-", ""}
	}
	return json.Marshal(struct {
		Timestamp time.Time `json:"timestamp"`
		Path      string    `json:"path"`
		UserAgent string    `json:"userAgent"`
		Addr      string    `json:"remoteAddr"`
		Method    string    `json:"method"`
		Protocol  string    `json:"protocol"`
		Status    string    `json:"status"`
		Bytes     string    `json:"bytes"`
		Referer   string    `json:"referer"`
	}{at.UTC(), request[1], m[9], m[1], request[0], request[2], m[6], m[7], m[8]})
}

func usualLines(body []byte) (n int) {
	for line := range bytes.Lines(body) {
		if _, err := usualLine(string(bytes.TrimSpace(line))); err == nil {
			n++
		}
	}
	return n
}

func usualLog(body []byte) (n int) {
	var list []map[string]any
	if json.Unmarshal(body, &list) != nil {
		return -1
	}
	for _, r := range list {
		line, _ := r["log"].(string)
		if _, err := usualLine(line); err == nil {
			n++
		}
	}
	return n
}

func usualObjects(body []byte) (n int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if body[0] == '[' {
		_, _ = dec.Token()
	}
	for dec.More() {
		var r map[string]any
		if dec.Decode(&r) != nil {
			return -1
		}
		for _, name := range []string{"timestamp", "@timestamp", "time", "date", "time_iso8601"} {
			switch v := r[name].(type) {
			case string:
				if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
					r["timestamp"] = t.UTC()
				}
			case float64:
				r["timestamp"] = time.Unix(int64(v), 0).UTC()
			}
		}
		if _, err := json.Marshal(r); err == nil {
			n++
		}
	}
	return n
}
