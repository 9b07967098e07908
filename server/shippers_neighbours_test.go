package server

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"logforge/codec"
	"logforge/config"
)

func nested(n int, open, inside, end string) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

// What is wrong with one record, or with what is around some, is not the doing of
// the others.
func TestShippers_OneThatCannotBeReadIsSetAsideAlone(t *testing.T) {
	quoted, _ := json.Marshal(combinedLine)
	line := string(quoted)
	const otlpJSON, lokiJSON, hec, ndjson = "/v1/logs application/json", "/loki/api/v1/push application/json", "/services/collector application/json", "/ingest application/json"
	record := `{"body":{"stringValue":` + line + `}}`
	logs := func(records string) string { return `{"scopeLogs":[{"logRecords":[` + records + `]}]}` }
	deepJSON := nested(200, `{"arrayValue":{"values":[`, `{"intValue":"1"}`, `]}}`)
	deepProto := proto(1, "x")
	for range 200 {
		deepProto = proto(5, proto(1, deepProto))
	}
	pair := func(key, value string) string { return proto(1, key) + proto(2, value) }
	recordProto := proto(2, proto(5, proto(1, combinedLine)))
	for _, c := range []struct {
		name, to, body string
		stored, aside  int
		reason         string
	}{
		{"OTLP JSON, a deep attribute", otlpJSON, `{"resourceLogs":[` + logs(record+`,{"attributes":[{"key":"a","value":`+deepJSON+`}]},`+record) + `]}`, 2, 1, "nested too deeply"},
		{"OTLP JSON, a deep body", otlpJSON, `{"resourceLogs":[` + logs(`{"body":`+deepJSON+`},`+record) + `]}`, 1, 1, "nested too deeply"},
		{"OTLP JSON, something deep that is not looked at", otlpJSON, `{"resourceLogs":[` + logs(`{"other":`+nested(500, "[", "", "]")+`,`+record[1:]) + `]}`, 1, 0, ""},
		{"OTLP JSON, a deep attribute of a resource", otlpJSON, `{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":` + deepJSON + `}]},` + logs(record + "," + record)[1:] + `,` + logs(record) + `]}`, 1, 2, "around it"},
		{"OTLP JSON, a deep attribute of a scope", otlpJSON, `{"resourceLogs":[{"scopeLogs":[{"scope":{"attributes":[{"key":"a","value":` + deepJSON + `}]},"logRecords":[` + record + `]},{"logRecords":[` + record + `]}]}]}`, 1, 1, "around it"},
		{"OTLP JSON, attributes that are none", otlpJSON, `{"resourceLogs":[{"resource":{"attributes":[7]},` + logs(record)[1:] + `,` + logs(record) + `]}`, 1, 1, "around it"},
		{"OTLP JSON, records that are none", otlpJSON, `{"resourceLogs":[` + logs(`7,null,"x",[],`+record) + `]}`, 1, 4, "no LogRecord"},
		{"OTLP JSON, resources and scopes that are none", otlpJSON, `{"resourceLogs":[7,{"scopeLogs":[null]},` + logs(record) + `]}`, 1, 2, "of OTLP"},
		{"OTLP, a deep attribute", "/v1/logs application/x-protobuf", proto(1, proto(2, recordProto+proto(2, proto(6, pair("a", deepProto)))+recordProto)), 2, 1, "nested too deeply"},
		{"OTLP, a deep attribute of a resource", "/v1/logs application/x-protobuf", proto(1, proto(1, proto(1, pair("a", deepProto)))+proto(2, recordProto+recordProto)) + proto(1, proto(2, recordProto)), 1, 2, "around it"},
		{"OTLP, a deep attribute of a scope", "/v1/logs application/x-protobuf", proto(1, proto(2, proto(1, proto(3, pair("a", deepProto)))+recordProto)+proto(2, recordProto)), 1, 1, "around it"},
		{"OTLP, a time after the year 2262", "/v1/logs application/x-protobuf", proto(1, proto(2, recordProto+proto(2, "\x09\xff\xff\xff\xff\xff\xff\xff\xff"+proto(5, proto(1, `{"path":"/","agent":"x"}`))))), 1, 1, "18446744073709551615"},
		{"OTLP JSON, times that are none", otlpJSON, `{"resourceLogs":[` + logs(`{"observedTimeUnixNano":"soon","body":{"stringValue":"{\"path\":\"/\",\"agent\":\"x\"}"}},{"observedTimeUnixNano":"soon","body":{"stringValue":`+line+`}}`) + `]}`, 1, 1, "soon"},
		{"Loki, entries and streams that are none", lokiJSON, `{"streams":[7,{"stream":{},"values":[1,{},"x",["1",` + line + `]]}]}`, 1, 4, "of Loki"},
		{"Loki, times that are none", lokiJSON, `{"streams":[{"stream":{},"values":[["soon",` + line + `],["soon","{\"path\":\"/\",\"agent\":\"x\"}"],[null,"{\"path\":\"/\",\"agent\":\"x\"}"]]}]}`, 2, 1, "soon"},
		{"HEC, times that are none", hec, `{"time":"soon","event":` + line + `}{"time":"soon","event":{"path":"/","agent":"x"}}{"time":"","event":{"path":"/","agent":"x"}}`, 2, 1, "soon"},
		{"HEC, a deep event", hec, `{"event":` + line + `}{"event":` + nested(500, "[", "", "]") + `}{"event":` + line + `}`, 2, 1, ""},
		{"HEC, a deep field", hec, `{"event":` + line + `,"fields":{"a":` + nested(90, "[", "", "]") + `}}`, 1, 0, ""},
		{"CSV with control characters", "/ingest text/csv", "2026-02-09T15:23:00Z,/a,x" + strings.Repeat("\x01", 400) + "\n2026-02-09T15:23:00Z,/a\n", 1, 1, "fields"},
		{"a byte order mark", hec, "\xef\xbb\xbf" + `{"event":` + line + `}`, 1, 0, ""},
		{"a byte order mark", otlpJSON, "\xef\xbb\xbf" + `{"resourceLogs":[` + logs(record) + `]}`, 1, 0, ""},
		{"a byte order mark", lokiJSON, "\xef\xbb\xbf" + `{"streams":[{"stream":{},"values":[["1",` + line + `]]}]}`, 1, 0, ""},
		{"a byte order mark", ndjson, "\xef\xbb\xbf" + `{"resourceLogs":[` + logs(record) + `]}`, 1, 0, ""},
	} {
		f, aside := startShippers(t, nil)
		target, kind, _ := strings.Cut(c.to, " ")
		r := f.do("POST", target, strings.NewReader(c.body), "Content-Type", kind)
		all := aside.all()
		if r.status/100 != 2 || f.sink.records() != c.stored || len(all) != c.aside || c.reason != "" && !strings.Contains(all[len(all)-1].Reason, c.reason) {
			t.Errorf("%s, %s: %d %.200s, %d stored, %+.500v set aside", c.name, c.to, r.status, r.body, f.sink.records(), all)
		}
		// The consumer has the same limits: it stores all of it.
		var consumer codec.Batch
		consumer.AppendLines([]byte(f.sink.text()), f.limits, func(line []byte, e codec.RecordError) {
			t.Errorf("%s, %s: the consumer refuses it: %s: %.200q", c.name, c.to, e.Reason, line)
		})
	}
}

// A Loki client may compress its snappy once more, and a shipper a file that is
// compressed.
func TestShippers_TwoCompressionsAreUndone(t *testing.T) {
	for _, c := range []struct{ target, kind, encoding, body string }{
		{"/loki/api/v1/push", "application/x-protobuf", "gzip", gzipped(lokiProto(combinedLine))},
		{"/loki/api/v1/push", "application/x-protobuf", "snappy", lokiProto(combinedLine)},
		{"/loki/api/v1/push", "application/x-protobuf", "gzip", gzipped(proto(1, proto(1, `{job="x"}`)+proto(2, proto(2, combinedLine))))},
		{"/ingest", "", "gzip", gzipped(gzipped(combinedLine))},
		{"/ingest", "", "snappy", string(s2.EncodeSnappy(nil, []byte(gzipped(combinedLine))))},
	} {
		f, aside := startShippers(t, nil)
		if r := f.do("POST", c.target, strings.NewReader(c.body), "Content-Type", c.kind, "Content-Encoding", c.encoding); r.status/100 != 2 || f.sink.records() != 1 {
			t.Errorf("%s, %s: %d %s, %v", c.target, c.encoding, r.status, r.body, aside.all())
		}
	}
}

// What a record takes while it is put together is bounded by what a record may be,
// whatever is in the body.
func TestShippers_MemoryOfOneRecordIsBounded(t *testing.T) {
	const size = 6 << 20
	control, latin1 := strings.Repeat("\x01", size), strings.Repeat("\xe9", size)
	escaped := strings.Repeat(`\u0001`, size/6)
	many := strings.Repeat(`"a":1 ,`, size/7) + `"b":1`
	line := `{"path":"/","agent":"x"}`
	for name, c := range map[string]struct{ target, kind, body string }{
		"a label of Loki":                   {"/loki/api/v1/push", "application/x-protobuf", string(s2.EncodeSnappy(nil, []byte(proto(1, proto(1, `{a="`+control+`"}`)+proto(2, proto(2, line))))))},
		"labels of Loki in JSON":            {"/loki/api/v1/push", "application/json", `{"streams":[{"stream":{"a":"` + control + `"},"values":[["1","` + strings.ReplaceAll(line, `"`, `\"`) + `"]]}]}`},
		"metadata of Loki":                  {"/loki/api/v1/push", "application/x-protobuf", string(s2.EncodeSnappy(nil, []byte(proto(1, proto(2, proto(2, line)+proto(3, proto(1, "a")+proto(2, control)))))))},
		"an attribute of a resource":        {"/v1/logs", "application/x-protobuf", proto(1, proto(1, proto(1, proto(1, "a")+proto(2, proto(1, control))))+proto(2, proto(2, proto(5, proto(1, line)))))},
		"an attribute of a record":          {"/v1/logs", "application/x-protobuf", proto(1, proto(2, proto(2, proto(6, proto(1, "a")+proto(2, proto(1, control))))))},
		"an attribute in JSON":              {"/v1/logs", "application/json", `{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"` + escaped + `"}}]},"scopeLogs":[{"logRecords":[{}]}]}]}`},
		"fields of HEC":                     {"/services/collector", "", `{"event":"x","fields":{"a":"` + control + `",` + many + `}}`},
		"an event of HEC":                   {"/services/collector", "", `{"event":"` + escaped + `"}`},
		"members of an object":              {"/ingest", "", "{" + many + "}"},
		"members of an object in an object": {"/ingest", "", `{"log":"{` + strings.ReplaceAll(many, `"`, `\"`) + `}"}`},
		"a name":                            {"/ingest", "", `{"` + escaped + `":1}`},
		"columns of CSV":                    {"/ingest", "text/csv", "path,agent,more\n/,x," + strings.Repeat("y", size) + "\n"},
		"an Influx line":                    {"/ingest", "", `a b="` + latin1 + `"`},
		"a line":                            {"/ingest", "", combinedLine + latin1},
	} {
		f, aside := startShippers(t, func(c *config.Config) { c.Ingestion.MaxRecordBytes = 64 << 10 })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := f.do("POST", c.target, strings.NewReader(c.body), "Content-Type", c.kind)
		runtime.ReadMemStats(&after)
		if r.status/100 != 2 || len(aside.all()) != 1 || f.sink.records() != 0 {
			t.Errorf("%s: %d %.200s, %d set aside", name, r.status, r.body, len(aside.all()))
		}
		// The body, what it is inflated to, what is copied once.
		if took := after.TotalAlloc - before.TotalAlloc; took > 8*size {
			t.Errorf("%s: %d MiB of memory for a body of %d KiB", name, took>>20, len(c.body)>>10)
		}
	}
}
