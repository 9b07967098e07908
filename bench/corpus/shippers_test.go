package corpus

import (
	"bytes"
	"testing"

	"logforge/codec"
	"logforge/server/dialect"
)

// Ensure that what shippers send holds the same times and user agents, whichever
// form they send it in: read back by the server's own dialects.
func TestShipperForms_AllSayTheSameRecords(t *testing.T) {
	recs := Records(3, 500, 1)
	rules, err := codec.NewRules(codec.Options{Limits: codec.Limits{Depth: 64}, Shipper: true, Names: dialect.Names(codec.DefaultNames()), Blank: codec.DashForBlank})
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]string{"bulk": "/_bulk", "otlp": "/v1/logs", "otlp-json": "/v1/logs", "loki": "", "loki-json": "/loki/api/v1/push"}
	for _, f := range ShipperForms {
		route, other := routes[f.Name]
		if other && route == "" {
			continue // compressed, which the server undoes
		}
		if !other {
			route = "/ingest"
		}
		for _, d := range dialect.Table {
			if d.Route != route {
				continue
			}
			w := dialect.GetWriter()
			w.Batch, w.Rules = new(codec.Batch), rules
			w.SetAside = func(record []byte, e codec.RecordError) { t.Errorf("%s: %s %s: %s", f.Name, e.Field, e.Reason, record) }
			if _, err := d.Decode(w, &dialect.Request{ContentType: []byte(f.ContentType)}, f.Append(nil, recs)); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			i := 0
			for _, run := range w.Batch.Runs() {
				for line := range bytes.Lines(w.Batch.Lines(run)) {
					var l codec.Line
					want := appendText(nil, recs[i].UserAgent)
					if l.Split(line) != len(line) || !l.Valid() || string(l.Timestamp) != recs[i].Time.UTC().Format("2006-01-02T15:04:05Z07:00") || !bytes.Equal(l.UserAgent, want) {
						t.Errorf("%s, record %d: %s, want %s", f.Name, i, line, AppendLine(nil, recs[i]))
					}
					i++
				}
			}
			if i != len(recs) {
				t.Errorf("%s: %d records of %d", f.Name, i, len(recs))
			}
			dialect.PutWriter(w)
		}
	}
}
