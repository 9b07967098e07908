package sink

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestRejected_LinesComeBackAsTheyWere(t *testing.T) {
	at := time.Date(2026, 2, 9, 15, 23, 0, 120, time.UTC)
	for _, record := range []string{"", "plain", `{"a":"b\"c"}`, "tab\t nul\x00 bell\x07 line\nend\r", "caf\xe9 is Windows-1252", "ünï\u2028cödé", "\x16\x03\x01\x00\xee"} {
		r := Rejected{At: at, From: "192.0.2.1", Route: "/ingest", Field: "record", Reason: `is not "JSON"`, Record: []byte(record)}
		line := r.AppendJSON(nil)
		if !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q is not one line of JSON: %s", record, line)
		}
		got, err := ParseRejected(line)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%q came back as %+v, %v", record, got, err)
		}
	}
}

func TestRejected_LinesSayHowLongARecordWas(t *testing.T) {
	r := Rejected{At: time.Unix(1, 0).UTC(), Record: []byte("be"), Bytes: 1 << 20}
	got, err := ParseRejected(r.AppendJSON(nil))
	if err != nil || got.Bytes != 1<<20 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRejected_TornLinesAreErrors(t *testing.T) {
	r := Rejected{At: time.Unix(1, 0), From: "a", Route: "b", Field: "record", Reason: "c", Record: []byte("\xff")}
	line := r.AppendJSON(nil)
	for n := range len(line) - 2 {
		if _, err := ParseRejected(line[:n]); err == nil {
			t.Errorf("%q was taken for a rejected record", line[:n])
		}
	}
	for _, other := range []string{"{}", "[]", `{"at":"2026-02-09T15:23:00Z","encoding":"rot13","record":"x"}`, `{"at":"2026-02-09T15:23:00Z","encoding":"base64","record":"!"}`} {
		if _, err := ParseRejected([]byte(other)); err == nil {
			t.Errorf("%q was taken for a rejected record", other)
		}
	}
}
