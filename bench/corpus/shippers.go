package corpus

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// ShipperForms is what log shippers send of the same records: access log lines,
// and JSON and protobuf with lines or with other names in them. What they hold
// besides the three values is the same in all of them.
var ShipperForms = []Form{
	{"combined", "text/plain", AppendCombined},
	{"fluentbit", "application/json", AppendFluentBit},
	{"apache", "application/x-ndjson", AppendApache},
	{"bulk", "application/x-ndjson", AppendBulk},
	{"otlp", "application/x-protobuf", AppendOTLP},
	{"otlp-json", "application/json", AppendOTLPJSON},
	{"loki", "application/x-protobuf", AppendLoki},
	{"loki-json", "application/json", AppendLokiJSON},
}

// combinedLine is a record as an access log has it.
func combinedLine(r Record) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, " ", "%20")
	path := escape.Replace(r.Path)
	agent := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(r.UserAgent)
	return `192.0.2.10 - - [` + r.Time.UTC().Format(apacheTime) + `] "GET ` + path + ` HTTP/1.1" 200 2326 "-" "` + agent + `"`
}

// AppendCombined appends access log lines.
func AppendCombined(dst []byte, recs []Record) []byte {
	return list(dst, recs, "", "\n", "\n", func(dst []byte, r Record) []byte { return append(dst, combinedLine(r)...) })
}

// AppendFluentBit appends what Fluent Bit's http output sends of a file that it
// tails: the time of reading, and the line.
func AppendFluentBit(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[", ",", "]", func(dst []byte, r Record) []byte {
		dst = append(strconv.AppendInt(append(dst, `{"date":`...), r.Time.Unix(), 10), `.506585,"log":"`...)
		return append(appendText(dst, combinedLine(r)), `"}`...)
	})
}

// apacheObject is a record as Fluent Bit's and Fluentd's apache parsers make it.
func apacheObject(dst []byte, r Record) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = append(r.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00"), `","host":"192.0.2.10","user":"-","method":"GET","path":"`...)
	dst = append(appendText(dst, r.Path), `","code":"200","size":"2326","referer":"-","agent":"`...)
	return append(appendText(dst, r.UserAgent), `"}`...)
}

// AppendApache appends parsed records, an object a line.
func AppendApache(dst []byte, recs []Record) []byte {
	return list(dst, recs, "", "\n", "\n", apacheObject)
}

// AppendBulk appends the same as a body of _bulk.
func AppendBulk(dst []byte, recs []Record) []byte {
	return list(dst, recs, "", "\n", "\n", func(dst []byte, r Record) []byte {
		return apacheObject(append(dst, `{"create":{"_index":"logs"}}`+"\n"...), r)
	})
}

func field(dst []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), value)
}

// AppendOTLP appends an ExportLogsServiceRequest whose bodies are lines.
func AppendOTLP(dst []byte, recs []Record) []byte {
	var scope []byte
	for _, r := range recs {
		record := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uint64(r.Time.UnixNano()))
		scope = field(scope, 2, field(record, 5, field(nil, 1, []byte(combinedLine(r)))))
	}
	return field(dst, 1, field(field(nil, 1, nil), 2, scope))
}

// AppendOTLPJSON appends the same as JSON.
func AppendOTLPJSON(dst []byte, recs []Record) []byte {
	return list(dst, recs, `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[`, ",", `]}]}]}`, func(dst []byte, r Record) []byte {
		dst = fmt.Appendf(dst, `{"timeUnixNano":"%d","observedTimeUnixNano":"%d","body":{"stringValue":"`, r.Time.UnixNano(), r.Time.UnixNano())
		return append(appendText(dst, combinedLine(r)), `"}}`...)
	})
}

// AppendLoki appends a PushRequest of Loki, compressed with snappy.
func AppendLoki(dst []byte, recs []Record) []byte {
	stream := field(nil, 1, []byte(`{job="nginx"}`))
	for _, r := range recs {
		at := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(r.Time.Unix()))
		stream = field(stream, 2, field(field(nil, 1, at), 2, []byte(combinedLine(r))))
	}
	return append(dst, s2.EncodeSnappy(nil, field(nil, 1, stream))...)
}

// AppendLokiJSON appends the same as JSON.
func AppendLokiJSON(dst []byte, recs []Record) []byte {
	return list(dst, recs, `{"streams":[{"stream":{"job":"nginx"},"values":[`, ",", `]}]}`, func(dst []byte, r Record) []byte {
		dst = append(strconv.AppendInt(append(dst, '[', '"'), r.Time.UnixNano(), 10), `","`...)
		return append(appendText(dst, combinedLine(r)), `"]`...)
	})
}
