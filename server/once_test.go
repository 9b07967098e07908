package server

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"logforge/codec"
	"logforge/sink"
)

func TestServer_ARequestWithTheKeyOfOneBeforeIsNotStoredAgain(t *testing.T) {
	f, _ := startShippers(t, nil)
	body := combinedLine + "\njunk\n"
	instance := f.do("GET", "/version", nil).header.Get("Logforge-Instance")
	for i := range 3 {
		r := f.do("POST", "/ingest", strings.NewReader(body), "Idempotency-Key", "a", "Logforge-Instance", instance)
		if r.status != 200 || !strings.HasPrefix(r.body, `{"accepted":1,"rejected":1`) || (r.header.Get("Idempotency-Replayed") == "true") != (i > 0) {
			t.Errorf("sending %d: %d %s %v", i, r.status, r.body, r.header)
		}
	}
	if r := f.do("POST", "/ingest", strings.NewReader(body), "Idempotency-Key", "b"); r.status != 200 {
		t.Errorf("another key: %d", r.status)
	}
	if n := f.sink.records(); n != 2 {
		t.Errorf("%d records are stored", n)
	}
	if r := f.do("POST", "/ingest", strings.NewReader(body), "Idempotency-Key", "c", "Logforge-Instance", "other"); r.status != 409 || !strings.Contains(r.body, `"reason":"instance"`) {
		t.Errorf("for another process: %d %s", r.status, r.body)
	}
	if r := f.do("POST", "/ingest", strings.NewReader(body), "Idempotency-Key", strings.Repeat("x", 200)); r.status != 400 {
		t.Errorf("a long key: %d", r.status)
	}
}

// A client that got no answer sends the same again with its key, and gets the answer
// it would have got, by every route: Elasticsearch's clients count its items.
func TestServer_ARepeatedRequestIsAnsweredAsTheFirst(t *testing.T) {
	quoted, _ := json.Marshal(combinedLine)
	line := string(quoted)
	for target, body := range map[string]string{
		"/ingest":                   combinedLine + "\njunk\n",
		"/_bulk":                    "{\"create\":{}}\n{\"message\":" + line + "}\n{\"index\":{}}\njunk\n{\"delete\":{\"_id\":\"1\"}}\n",
		"/otlp/v1/logs":             `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":` + line + `}},{}]}]}]}`,
		"/loki/api/v1/push":         `{"streams":[{"stream":{},"values":[["1",` + line + `],[1]]}]}`,
		"/services/collector/event": `{"event":` + line + `}{"event":"junk"}`,
		"/services/collector/raw":   combinedLine + "\njunk\n",
		"/api/v2/logs":              `[{"message":` + line + `},1]`,
	} {
		f, aside := startShippers(t, nil)
		post := func(body string) reply {
			return f.do("POST", target, strings.NewReader(body), "Idempotency-Key", "k", "Content-Type", "application/json")
		}
		first := post(body)
		received := f.value("logforge_records_received_total")
		kept := len(aside.all())
		again := post(body)
		took := regexp.MustCompile(`"took":\d+`)
		if first.status/100 != 2 || again.status != first.status || took.ReplaceAllString(again.body, "") != took.ReplaceAllString(first.body, "") ||
			again.header.Get("Idempotency-Replayed") != "true" || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("%s: %d %s, and again %d %s", target, first.status, first.body, again.status, again.body)
		}
		if f.sink.records() != 1 || len(aside.all()) != kept || kept == 0 || f.value("logforge_records_received_total") != received {
			t.Errorf("%s: %d stored, %d set aside", target, f.sink.records(), len(aside.all()))
		}
		other := strings.Replace(body, "junk", combinedLine, 1) + body
		if r := post(other); r.status/100 == 2 || f.sink.records() != 1 {
			t.Errorf("%s: the key of another body: %d %s", target, r.status, r.body)
		}
	}
}

func TestServer_AKeyIsFreeAfterARefusalAndUnknownAfterDoubt(t *testing.T) {
	f, _ := startShippers(t, nil)
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return fails }
	post := func() reply { return f.do("POST", "/ingest", strings.NewReader(combinedLine), "Idempotency-Key", "k") }
	fails = fmt.Errorf("x: %w", sink.ErrDiskFull)
	if r := post(); r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
	fails = sink.ErrUnavailable
	if r := post(); r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
	fails = nil
	if r := post(); r.status != 409 || !strings.Contains(r.body, `"reason":"unknown"`) {
		t.Errorf("after a doubtful outcome: %d %s", r.status, r.body)
	}
}

// A batch that was written and could not be synced may be there: its key does not
// become free, and the answer says so.
func TestServer_AKeyIsUnknownAfterAFailedSync(t *testing.T) {
	f, _ := startShippers(t, nil)
	var fails error
	f.sink.write = func(context.Context, *codec.Batch, sink.Ack) error { return fails }
	for _, kind := range []error{sink.ErrStorage, sink.ErrDiskFull} {
		key := kind.Error()
		fails = fmt.Errorf("%w: %w", sink.ErrUnsynced, kind)
		if r := f.do("POST", "/ingest", strings.NewReader(combinedLine), "Idempotency-Key", key); r.status != 503 || !strings.Contains(r.body, "may have been stored or not") {
			t.Errorf("%d %s", r.status, r.body)
		}
		fails = nil
		if r := f.do("POST", "/ingest", strings.NewReader(combinedLine), "Idempotency-Key", key); r.status != 409 || !strings.Contains(r.body, `"reason":"unknown"`) {
			t.Errorf("again: %d %s", r.status, r.body)
		}
		fails = kind
		if r := f.do("POST", "/ingest", strings.NewReader(combinedLine), "Idempotency-Key", "other"+key); r.status != 503 || strings.Contains(r.body, "may have been") {
			t.Errorf("%d %s", r.status, r.body)
		}
		fails = nil
		if r := f.do("POST", "/ingest", strings.NewReader(combinedLine), "Idempotency-Key", "other"+key); r.status != 200 {
			t.Errorf("after an error that says that nothing was stored: %d %s", r.status, r.body)
		}
	}
}

func TestServer_KnowsTheLastKeysOnly(t *testing.T) {
	l := newOnceLog()
	for i := range knownKeys + 10 {
		if l.begin(fmt.Sprint(i)) != nil {
			t.Fatal(i)
		}
	}
	if len(l.known) != knownKeys || len(l.order) != knownKeys || l.begin("0") != nil || l.begin(fmt.Sprint(knownKeys)) == nil {
		t.Errorf("%d keys, %d in order", len(l.known), len(l.order))
	}
}
