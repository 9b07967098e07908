package dialect

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"logforge/codec"
)

// bodies of n records in each form, as shippers send them.
func bodies(n int) map[string]form {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = strings.Replace(accessLine, "kibana-search", fmt.Sprintf("kibana-search-%d", i), 1)
	}
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	each := func(f func(i int, line string) string) string {
		var b strings.Builder
		for i, line := range lines {
			b.WriteString(f(i, line))
		}
		return b.String()
	}
	list := func(f func(i int, line string) string) string {
		return strings.TrimSuffix(each(func(i int, line string) string { return f(i, line) + "," }), ",")
	}
	text := func(s string) []byte { return appendProtoBytes(nil, 1, []byte(s)) }
	pair := func(k, v string) []byte {
		return appendProtoBytes(appendProtoBytes(nil, 1, []byte(k)), 2, text(v))
	}
	var scope, scopeAttributes, stream []byte
	stream = appendProtoBytes(nil, 1, []byte(`{job="nginx"}`))
	for i, line := range lines {
		record := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uint64(arrived.Add(time.Duration(i)).UnixNano()))
		record = appendProtoBytes(record, 5, text(line))
		scope = appendProtoBytes(scope, 2, record)
		record = appendProtoBytes(record, 6, pair("log.file.name", "access.log"))
		scopeAttributes = appendProtoBytes(scopeAttributes, 2, record)
		at := appendProtoUint(appendProtoUint(nil, 1, uint64(arrived.Unix())), 2, uint64(i))
		stream = appendProtoBytes(stream, 2, appendProtoBytes(appendProtoBytes(nil, 1, at), 2, []byte(line)))
	}
	resource := appendProtoBytes(appendProtoBytes(nil, 1, pair("service.name", "nginx")), 1, pair("host.name", "web-1"))
	const agent = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36"
	canonical := each(func(i int, _ string) string {
		return fmt.Sprintf(`{"timestamp":"2015-05-17T10:05:03Z","path":"/presentations/kibana-search-%d.png","userAgent":"%s"}`+"\n", i, agent)
	})
	apache := func(i int, _ string) string {
		return fmt.Sprintf(`{"@timestamp":"2015-05-17T10:05:03.000Z","host":"192.0.2.10","user":"-","method":"GET","path":"/presentations/kibana-search-%d.png","code":"200","size":"203023","referer":"http://example.test/presentations/","agent":"%s"}`, i, agent)
	}
	return map[string]form{
		"canonical": {"/ingest", "", canonical},
		"lines":     {"/ingest", "", each(func(_ int, line string) string { return line + "\n" })},
		"fluentbit": {"/ingest", "", "[" + list(func(i int, line string) string {
			return fmt.Sprintf(`{"date":%d.5,"log":%s}`, 1795593680+i, quote(line))
		}) + "]"},
		"aliased": {"/ingest", "", each(func(i int, line string) string { return apache(i, line) + "\n" })},
		"bulk": {"/_bulk", "", each(func(i int, line string) string {
			return "{\"create\":{\"_index\":\"logs\"}}\n" + apache(i, line) + "\n"
		})},
		"bulk-lines":   {"/_bulk", "", each(func(i int, line string) string { return "{\"create\":{}}\n{\"message\":" + quote(line) + "}\n" })},
		"otlp":         {"/v1/logs", typeProtobuf, string(appendProtoBytes(nil, 1, appendProtoBytes(nil, 2, scope)))},
		"otlp-filelog": {"/v1/logs", typeProtobuf, string(appendProtoBytes(nil, 1, appendProtoBytes(nil, 2, scopeAttributes)))},
		"otlp-json": {"/v1/logs", typeJSON, `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[` + list(func(i int, line string) string {
			return fmt.Sprintf(`{"timeUnixNano":"%d","observedTimeUnixNano":"1","body":{"stringValue":%s},"attributes":[{"key":"log.file.name","value":{"stringValue":"access.log"}}]}`, arrived.UnixNano()+int64(i), quote(line))
		}) + `]}]}]}`},
		"otlp-resource": {"/v1/logs", typeProtobuf, string(appendProtoBytes(nil, 1, appendProtoBytes(appendProtoBytes(nil, 1, resource), 2, scope)))},
		"otlp-json-resource": {"/v1/logs", typeJSON, `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"nginx"}},{"key":"host.name","value":{"stringValue":"web-1"}}]},"scopeLogs":[{"scope":{},"logRecords":[` + list(func(i int, line string) string {
			return fmt.Sprintf(`{"timeUnixNano":"%d","observedTimeUnixNano":"1","body":{"stringValue":%s}}`, arrived.UnixNano()+int64(i), quote(line))
		}) + `]}]}]}`},
		"loki-json": {"/loki/api/v1/push", typeJSON, `{"streams":[{"stream":{"job":"nginx"},"values":[` + list(func(i int, line string) string {
			return fmt.Sprintf(`["%d",%s]`, arrived.UnixNano()+int64(i), quote(line))
		}) + `]}]}`},
		"loki": {"/loki/api/v1/push", typeProtobuf, string(appendProtoBytes(nil, 1, stream))},
		"hec": {"/services/collector", "", each(func(i int, line string) string {
			return fmt.Sprintf(`{"time":%d.5,"event":%s}`, 1431857103+i, quote(line))
		})},
	}
}

type form struct{ route, kind, body string }

// taking is a Writer with what it needs, used again and again.
type taking struct {
	d     *Dialect
	req   *Request
	rules *codec.Rules
	body  []byte
	batch *codec.Batch
	dst   []byte

	fields FieldSet
	aside  func(record []byte, e codec.RecordError)
}

func newTaking(t testing.TB, f form) *taking {
	t.Helper()
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{SentBytes: 1 << 20, RecordBytes: 1 << 20, Depth: 64, Records: 100_000},
		Shipper: true, Names: Names(codec.DefaultNames()), NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra})
	if err != nil {
		t.Fatal(err)
	}
	k := &taking{aside: func(record []byte, e codec.RecordError) { t.Errorf("%s %s: %s", e.Field, e.Reason, record) }, fields: NewFieldSet(Names(codec.DefaultNames())), rules: rules, body: []byte(f.body), batch: new(codec.Batch),
		req: &Request{ContentType: []byte(f.kind), Query: func(string) []byte { return nil }, Arrived: arrived}}
	for _, d := range Table {
		if d.Route == f.route {
			k.d = d
		}
	}
	return k
}

func (k *taking) take(t testing.TB, n int) {
	w := GetWriter()
	w.Fields = k.fields
	w.Batch, w.Rules, w.MaxRecords, w.SetAside = k.batch, k.rules, 100_000, k.aside
	r, err := k.d.Decode(w, k.req, k.body)
	if err != nil || r.Accepted != n {
		t.Fatal(err, n)
	}
	k.dst = k.d.Answer(k.dst[:0], k.req, r).Body
	PutWriter(w)
}

func TestDialects_AllocateNothingARecord(t *testing.T) {
	const n = 1000
	for name, f := range bodies(n) {
		k := newTaking(t, f)
		for range 3 {
			k.take(t, n)
		}
		if allocs := testing.AllocsPerRun(20, func() { k.take(t, n) }); allocs > 0 {
			t.Errorf("%s: %v allocations a body of %d records", name, allocs, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	const n = 1000
	for _, name := range []string{"canonical", "lines", "fluentbit", "aliased", "bulk", "bulk-lines", "otlp", "otlp-filelog", "otlp-resource", "otlp-json", "otlp-json-resource", "loki-json", "loki", "hec"} {
		b.Run(name, func(b *testing.B) {
			k := newTaking(b, bodies(n)[name])
			b.SetBytes(int64(len(k.body)))
			b.ReportAllocs()
			before := cpuTime(b)
			for b.Loop() {
				k.take(b, n)
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/n, "cpu-ns/record")
		})
	}
}

// cpuTime is the processor time of this process: what a benchmark on a busy
// machine can compare.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
