package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"logforge/config"
	"logforge/sink"
)

// Whatever is wrong with 10,000 records, the answer fits what Fluent Bit reads.
func TestShippers_AnswersAreSmall(t *testing.T) {
	f, _ := startShippers(t, nil)
	junk := strings.Repeat(strings.Repeat("j", 500)+"\n", 10_000)
	for _, target := range []string{"/ingest", "/services/collector/raw", "/api/v2/logs", "/logs?invalid=set-aside"} {
		r := f.do("POST", target, strings.NewReader(junk), "Content-Type", "text/plain")
		size := len(r.body) + 20
		for name, values := range r.header {
			size += len(name) + len(values[0]) + 4
		}
		if r.status/100 != 2 || size > 3500 {
			t.Errorf("%s: %d, %d bytes: %.200s", target, r.status, size, r.body)
		}
	}
	r := f.do("POST", "/ingest", strings.NewReader(junk))
	var answer struct {
		Accepted, Rejected int
		Errors             []struct {
			Index         int
			Field, Reason string
		}
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil || answer.Accepted != 0 || answer.Rejected != 10_000 || len(answer.Errors) == 0 || answer.Errors[0].Reason == "" {
		t.Errorf("%v: %s", err, r.body)
	}
}

// What cannot be set aside is not acknowledged, and nothing of its batch stored.
func TestShippers_NothingIsAcknowledgedThatCouldNotBeSetAside(t *testing.T) {
	f, aside := startShippers(t, nil)
	aside.err = fmt.Errorf("%w: %w", sink.ErrNotSetAside, sink.ErrDiskFull)
	for target, kind := range map[string]string{
		"/ingest": "application/problem+json", "/_bulk": "application/json", "/services/collector/raw": "application/json", "/logs?invalid=set-aside": "application/problem+json",
	} {
		r := f.do("POST", target, strings.NewReader("{\"create\":{}}\n"+line1+"{\"create\":{}}\njunk\n"))
		if r.status != 503 || r.header.Get("Retry-After") == "" || r.header.Get("Content-Type") != kind {
			t.Errorf("%s: %d %v %s", target, r.status, r.header, r.body)
		}
	}
	if f.sink.records() != 0 {
		t.Errorf("stored %s", f.sink.text())
	}
	if got, want := f.value("logforge_records_received_total"), f.value("logforge_records_rejected_total"); got != want || got == 0 {
		t.Errorf("received %v, rejected %v", got, want)
	}
	aside.err = nil
	f.SetRejectSink(nil)
	if r := f.do("POST", "/ingest", strings.NewReader("junk")); r.status != 503 {
		t.Errorf("with nowhere to set aside: %d", r.status)
	}
}

// POST /logs stays strict, and sets aside only where it is asked to.
func TestShippers_TheStrictEndpointSetsAsideWhenAsked(t *testing.T) {
	body := line1 + `{"timestamp":"2026-02-09T15:23:00Z","path":"/x"}` + "\n" + combinedLine + "\n" + line2
	f, aside := startShippers(t, nil)
	const ndjson = "application/x-ndjson"
	if r := f.post(body, "Content-Type", ndjson); r.status != 400 || f.sink.records() != 0 || len(aside.all()) != 0 {
		t.Errorf("%d %s", r.status, f.sink.text())
	}
	r := f.do("POST", "/logs?invalid=set-aside&ack=synced", strings.NewReader(body), "Content-Type", ndjson)
	if r.status != 202 || !strings.HasPrefix(r.body, `{"accepted":2,"rejected":2,"errors":[{"index":1,"field":"userAgent"`) || f.sink.text() != line1+line2 {
		t.Errorf("%d %s: %s", r.status, r.body, f.sink.text())
	}
	if len(aside.all()) != 2 || aside.acks[0] != sink.Synced || aside.all()[0].Route != "/logs" {
		t.Errorf("set aside: %+v %v", aside.all(), aside.acks)
	}
	if r := f.do("POST", "/logs?invalid=perhaps", strings.NewReader(body)); r.status != 400 {
		t.Errorf("invalid=perhaps: %d", r.status)
	}

	f, aside = startShippers(t, func(c *config.Config) { c.Ingestion.Invalid = "set-aside" })
	if r := f.post(body, "Content-Type", ndjson); r.status != 202 || len(aside.all()) != 2 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("POST", "/logs?invalid=refuse", strings.NewReader(body), "Content-Type", ndjson); r.status != 400 {
		t.Errorf("invalid=refuse: %d", r.status)
	}
}

// Every kind of client has its key where it always has it, and elsewhere none is
// taken.
func TestShippers_KeysStandWhereEachClientHasThem(t *testing.T) {
	f, _ := startShippers(t, withKeys)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:k"))
	id := "ApiKey " + base64.StdEncoding.EncodeToString([]byte("id:k"))
	for _, header := range [][2]string{
		{"X-API-Key", "k"}, {"Authorization", "Splunk k"}, {"Authorization", "splunk k"}, {"Authorization", "Bearer k"},
		{"DD-API-KEY", "k"}, {"Authorization", "ApiKey k"}, {"Authorization", id}, {"Authorization", basic},
	} {
		for _, target := range []string{"/ingest", "/services/collector/raw", "/api/v2/logs"} {
			if r := f.do("POST", target, strings.NewReader(combinedLine), header[0], header[1]); r.status/100 != 2 {
				t.Errorf("%s with %v: %d %s", target, header, r.status, r.body)
			}
		}
	}
	for _, header := range [][2]string{{"X", "k"}, {"Authorization", "k"}, {"Authorization", "Splunk x"}, {"Authorization", "Splunk "}, {"DD-API-KEY", ""}, {"Authorization", "Basic k"}} {
		for _, d := range endpoints {
			r := f.do("POST", strings.ReplaceAll(d.paths[0], "{index}", "x"), strings.NewReader(combinedLine), header[0], header[1])
			if r.status != 401 || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %v: %d", d.route, header, r.status)
			}
		}
		if r := f.do("GET", "/elasticsearch", nil, header[0], header[1]); r.status != 401 {
			t.Errorf("/elasticsearch with %v: %d", header, r.status)
		}
	}
}

func TestShippers_ElasticsearchClientsFindWhatTheyAsk(t *testing.T) {
	f, _ := startShippers(t, func(c *config.Config) { c.Server.Dashboard = true })
	ask := func(method, path string, header ...string) reply {
		t.Helper()
		r := f.do(method, path, nil, header...)
		if r.status != 200 || r.header.Get("X-Elastic-Product") != "Elasticsearch" || method != "HEAD" && !json.Valid([]byte(r.body)) {
			t.Errorf("%s %s %v: %d %v %s", method, path, header, r.status, r.header, r.body)
		}
		return r
	}
	for _, header := range [][]string{{"Accept", "application/vnd.elasticsearch+json; compatible-with=9"}, {"User-Agent", "Elastic-filebeat/8.19.0"}, {"User-Agent", "Logstash/8"}, {"User-Agent", "elasticsearch-py/9"}} {
		if r := ask("GET", "/", header...); !strings.Contains(r.body, `"number":"8.`) {
			t.Errorf("%v: %s", header, r.body)
		}
		ask("HEAD", "/", header...)
	}
	for _, path := range []string{"/_license", "/_xpack", "/_nodes", "/_nodes/http", "/_ilm/policy/filebeat", "/_index_template/filebeat-8", "/_template/x", "/_ingest/pipeline/x", "/_cluster/health", "/_data_stream/x"} {
		for _, prefix := range []string{"", "/elasticsearch"} {
			ask("GET", prefix+path)
			ask("HEAD", prefix+path)
			ask("PUT", prefix+path)
		}
	}
	ask("GET", "/elasticsearch")
	ask("GET", "/elasticsearch/")
	// Vector asks for the version, Logstash and Fluentd make an index and its alias.
	ask("GET", "/", "User-Agent", "Vector/0.49.0 (x86_64-unknown-linux-gnu)")
	for _, path := range []string{"/logstash", "/%3Clogstash-%7Bnow%2Fd%7D-000001%3E", "/logs-2026/_alias/logs", "/logs/_refresh"} {
		ask("PUT", path, "User-Agent", "Logstash/8.19.0 (OS=Linux)")
		ask("PUT", "/elasticsearch"+path)
		if r := f.do("HEAD", path, nil, "User-Agent", "Logstash/8"); r.status != 404 || r.header.Get("X-Elastic-Product") == "" {
			t.Errorf("%s is there before it is made: %d", path, r.status)
		}
		if r := f.do("PUT", path, nil); r.status != 404 || r.header.Get("X-Elastic-Product") != "" {
			t.Errorf("%s, of any other client: %d", path, r.status)
		}
	}
	for _, path := range []string{"/logs/_doc", "/logs/_doc/1", "/logs/_create/1", "/logs/_update/1", "/_msearch", "/logs/_search"} {
		for _, prefix := range []string{"", "/elasticsearch"} {
			if r := f.do("POST", prefix+path, strings.NewReader(line1), "User-Agent", "Logstash/8"); r.status != 404 && r.status != 405 {
				t.Errorf("%s is answered, and nothing is stored: %d %s", prefix+path, r.status, r.body)
			}
		}
	}
	if r := f.do("GET", "/elasticsearch/nothing", nil); r.status != 404 || !strings.Contains(r.body, `"status":404`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.do("GET", "/", nil, "User-Agent", "Mozilla/5.0 (X11) Gecko Firefox", "Accept", "text/html"); r.header.Get("X-Elastic-Product") != "" || !strings.Contains(r.body, "<html") {
		t.Errorf("a browser gets %v %.100s", r.header, r.body)
	}
}

// The answers to Filebeat and Logstash, which ask for a part of them.
func TestShippers_BulkAnswersHaveWhatFilterPathSays(t *testing.T) {
	f, _ := startShippers(t, nil)
	body := "{\"index\":{}}\n" + line1 + "{\"create\":{}}\njunk\n"
	for filter, want := range map[string]string{
		"errors,items.*.error,items.*.status": `{"errors":true,"items":[{"index":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":`,
		"errors":                              `{"errors":true}`,
		"items.*.error":                       `{"items":[{"create":{"error":{"type":`,
		"-took":                               `{"errors":true,"items":[{"index":{"status":201}},{"create":{"status":400`,
		"took":                                `{"took":`,
	} {
		r := f.do("POST", "/_bulk?filter_path="+filter, strings.NewReader(body))
		if r.status != 200 || !strings.HasPrefix(r.body, want) || !json.Valid([]byte(r.body)) {
			t.Errorf("%s: %d %s", filter, r.status, r.body)
		}
	}
}

// Names of a request, and what a time without an offset means.
func TestShippers_NamesOfARequestReplaceThoseOfTheSettings(t *testing.T) {
	f, aside := startShippers(t, func(c *config.Config) { c.Ingestion.TimeZone = "Europe/Berlin"; c.Ingestion.Extra = "drop" })
	body := `{"when":"2026-02-09 15:23:00","where":"/w","who":"w","path":"/p","agent":"a","time":1}`
	if r := f.do("POST", "/ingest?timestamp=x,when&path=where&userAgent=who", strings.NewReader(body)); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if want := `{"timestamp":"2026-02-09T14:23:00Z","path":"/w","userAgent":"w"}` + "\n"; f.sink.text() != want {
		t.Errorf("stored %s, set aside %v", f.sink.text(), aside.all())
	}
	if r := f.do("POST", "/ingest?format=xml", strings.NewReader(body)); r.status != 400 || !strings.Contains(r.body, "w3c") {
		t.Errorf("format=xml: %d %s", r.status, r.body)
	}
}

// The page's data, and the warning in the log.
func TestShippers_WhatWasSetAsideIsShown(t *testing.T) {
	f, _ := startShippers(t, func(c *config.Config) { c.Server.Dashboard = true })
	for i := range 60 {
		f.do("POST", "/ingest", strings.NewReader(fmt.Sprintf("junk %d\xff\n%s", i, combinedLine)))
	}
	f.do("POST", "/_bulk", strings.NewReader("{\"create\":{}}\n{}\n"))
	var report struct {
		Counts []struct {
			Route, Reason string
			Records       int
		}
		Newest []struct{ From, Route, Reason, Field, Record string }
	}
	r := f.do("GET", "/dashboard/rejected", nil)
	if err := json.Unmarshal([]byte(r.body), &report); err != nil {
		t.Fatal(err, r.body)
	}
	if fmt.Sprint(report.Counts) != "[{/ingest record 60} {/_bulk record 1}]" || len(report.Newest) != 50 || report.Newest[0].Route != "/_bulk" {
		t.Errorf("%+v", report)
	}
	if n := f.value(`logforge_records_set_aside_total{route="/ingest",reason="record"}`); n != 60 {
		t.Errorf("counted %v", n)
	}
	if !strings.Contains(f.log.String(), "records were set aside") || !strings.Contains(f.log.String(), "from=127.0.0.1") {
		t.Error("the log says nothing of them")
	}
	if n := f.value("logforge_records_timed_on_arrival_total"); n != 0 {
		t.Errorf("%v timed on arrival", n)
	}
	f.do("POST", "/ingest", strings.NewReader(`{"path":"/","agent":"x"}`))
	if n := f.value("logforge_records_timed_on_arrival_total"); n != 1 {
		t.Errorf("%v timed on arrival", n)
	}
}
