package dialect

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The times of OTLP are outside a record: they are the record's time or nothing, and
// never an extra member, whatever the encoding and whichever way the record is read.
func TestOTLP_ItsTimesAreNoExtraMembers(t *testing.T) {
	named := strings.Replace(accessLine, "192.0.2.10 - -", "192.0.2.10 - frank", 1) // is no line that is read at once
	const plain = `{"path":"/a","userAgent":"b","timestamp":"2026-02-09T15:23:00Z"}`
	at, observed := uint64(arrived.Add(time.Hour).UnixNano()), uint64(arrived.Add(2*time.Hour).UnixNano())
	for _, times := range [][2]uint64{{at, 0}, {0, observed}, {at, observed}, {0, 0}} {
		for _, attribute := range []string{"", "text", "number"} {
			json, proto := attribute, []byte(nil)
			switch attribute {
			case "text":
				json, proto = `,"attributes":[{"key":"x","value":{"stringValue":"y"}}]`, stringPair("x", "y")
			case "number":
				json = `,"attributes":[{"key":"x","value":{"intValue":"1"}}]`
				proto = appendProtoBytes(appendProtoBytes(nil, 1, []byte("x")), 2, appendProtoUint(nil, 3, 1))
			}
			var scope []byte
			var records []string
			for _, body := range []string{accessLine, accessLine, named, plain, accessLine} {
				record := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), times[0])
				record = protowire.AppendFixed64(protowire.AppendTag(record, 11, protowire.Fixed64Type), times[1])
				record = appendProtoBytes(record, 5, appendProtoBytes(nil, 1, []byte(body)))
				if proto != nil {
					record = appendProtoBytes(record, 6, proto)
				}
				scope = appendProtoBytes(scope, 2, record)
				records = append(records, fmt.Sprintf(`{"timeUnixNano":"%d","observedTimeUnixNano":"%d","body":{"stringValue":"%s"}%s}`,
					times[0], times[1], strings.ReplaceAll(body, `"`, `\"`), json))
			}
			of := map[string][]string{}
			for kind, body := range map[string]string{
				typeJSON:     `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[` + strings.Join(records, ",") + `]}]}]}`,
				typeProtobuf: string(appendProtoBytes(nil, 1, appendProtoBytes(nil, 2, scope))),
			} {
				k := newTaking(t, form{"/v1/logs", kind, body})
				k.take(t, len(records))
				for _, run := range k.batch.Runs() {
					of[kind] = append(of[kind], strings.SplitAfter(string(k.batch.Lines(run)), "\n")...)
				}
				if stored := strings.Join(of[kind], ""); strings.Contains(stored, "nix_nano") || strings.Contains(stored, "UnixNano") {
					t.Errorf("%s, times %v, attribute %q: %s", kind, times, attribute, stored)
				}
			}
			if a, b := strings.Join(of[typeJSON], ""), strings.Join(of[typeProtobuf], ""); a != b {
				t.Errorf("times %v, attribute %q:\n%s in JSON\n%s in protobuf", times, attribute, a, b)
			}
		}
	}
}

// FuzzIsText compares with the same rune by rune.
func FuzzIsText(f *testing.F) {
	for _, s := range []string{"", accessLine, "\x00\x01\x02\x03\x04\x05\x06\x07\x08", "a\x7fb\x7f\xff\xfe", "é\n\x1b[0m", strings.Repeat("\x00a", 3000), strings.Repeat("x", 4095) + "é\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		head := body[:min(len(body), 4<<10)]
		odd := 0
		for rest := head; len(rest) > 0; {
			r, n := utf8.DecodeRune(rest)
			if r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != 0x1b || r == 0x7f {
				odd++
			}
			rest = rest[n:]
		}
		want := odd*4 < len(head) || strings.Contains(string(body), "\n") && odd*2 < len(head)
		if got := isText(body); got != want {
			t.Errorf("%q: %v, rune by rune %v", body, got, want)
		}
	})
}
