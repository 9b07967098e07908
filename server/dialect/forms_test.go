package dialect

import (
	"testing"

	"github.com/klauspost/compress/s2"

	"logforge/bench/corpus"
)

// BenchmarkForms decodes what bench/compare sends, 1,000 records a body, several
// bodies in turn; canonical NDJSON by the same rules beside it.
func BenchmarkForms(b *testing.B) {
	const n = 1000
	routes := map[string]string{"bulk": "/_bulk", "otlp": "/v1/logs", "otlp-json": "/v1/logs", "loki": "/loki/api/v1/push", "loki-json": "/loki/api/v1/push"}
	canonical, err := corpus.FormOf("ndjson")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range append([]corpus.Form{canonical}, corpus.ShipperForms...) {
		b.Run(f.Name, func(b *testing.B) {
			bodies := f.Bodies(corpus.Records(1, 16*n, 1), n)
			if f.Name == "loki" {
				for i := range bodies {
					if bodies[i], err = s2.Decode(nil, bodies[i]); err != nil {
						b.Fatal(err)
					}
				}
			}
			route := routes[f.Name]
			if route == "" {
				route = "/ingest"
			}
			k := newTaking(b, form{route, f.ContentType, string(bodies[0])})
			b.SetBytes(int64(len(k.body)))
			b.ReportAllocs()
			k.takeInTurn(b, bodies, n)
		})
	}
}

// takeInTurn decodes the bodies, of n records each, in turn, and reports the processor
// time of a record. Each has been taken once before.
func (k *taking) takeInTurn(b *testing.B, bodies [][]byte, n int) {
	for _, k.body = range bodies {
		k.take(b, n)
	}
	i := 0
	before := cpuTime(b)
	for b.Loop() {
		k.body = bodies[i%len(bodies)]
		i++
		k.take(b, n)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N)/float64(n), "cpu-ns/record")
}
