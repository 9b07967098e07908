package corpus

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// Form is one way to write a batch as a request body.
type Form struct {
	Name        string
	ContentType string
	// Append appends the records to dst in this form.
	Append func(dst []byte, recs []Record) []byte
}

// Forms is every form there is. All of them say the same records.
var Forms = []Form{
	{"json", "application/json", AppendJSON},
	{"objects", "application/json", AppendObjects},
	{"ndjson", "application/x-ndjson", AppendNDJSON},
	{"csv", "text/csv", AppendCSV},
	{"csv-headed", "text/csv", AppendCSVHeaded},
	{"pretty", "application/json", AppendPretty},
	{"reordered", "application/json", AppendReordered},
	{"escaped", "application/json", AppendEscaped},
	{"offset", "application/json", AppendOffset},
	{"extra", "application/json", AppendExtra},
}

// FormOf returns the form of that name.
func FormOf(name string) (Form, error) {
	for _, forms := range [][]Form{Forms, ShipperForms} {
		for _, f := range forms {
			if f.Name == name {
				return f, nil
			}
		}
	}
	return Form{}, fmt.Errorf("no form of a body is called %q", name)
}

// Bodies splits the records into batches of at most that many records, in order,
// and writes each in this form.
func (f Form) Bodies(recs []Record, batch int) [][]byte {
	var bodies [][]byte
	for len(recs) > 0 {
		n := min(batch, len(recs))
		bodies = append(bodies, f.Append(nil, recs[:n]))
		recs = recs[n:]
	}
	return bodies
}

// AppendLine appends the canonical form of one record, without a line end.
func AppendLine(dst []byte, r Record) []byte {
	dst = append(dst, `{"timestamp":"`...)
	dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","path":"`...)
	dst = appendText(dst, r.Path)
	dst = append(dst, `","userAgent":"`...)
	dst = appendText(dst, r.UserAgent)
	return append(dst, `"}`...)
}

// AppendJSON appends an array of canonical records, as Vector and Fluent Bit send it.
func AppendJSON(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[", ",", "]", AppendLine)
}

// AppendObjects appends canonical records one directly after another, as Fluent
// Bit's json_stream does.
func AppendObjects(dst []byte, recs []Record) []byte {
	return list(dst, recs, "", "", "", AppendLine)
}

// AppendNDJSON appends one canonical record a line, each line ended.
func AppendNDJSON(dst []byte, recs []Record) []byte {
	return list(dst, recs, "", "\n", "\n", AppendLine)
}

// AppendPretty appends an indented array with spaces after the colons.
func AppendPretty(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[\n  ", ",\n  ", "\n]\n", func(dst []byte, r Record) []byte {
		dst = append(dst, "{\n    \"timestamp\": \""...)
		dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, "\",\n    \"path\": \""...)
		dst = appendText(dst, r.Path)
		dst = append(dst, "\",\n    \"userAgent\": \""...)
		return append(appendText(dst, r.UserAgent), "\"\n  }"...)
	})
}

// AppendReordered appends an array whose members are in another order, as
// clients do that sort them or keep them in a hash map.
func AppendReordered(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[", ",", "]", func(dst []byte, r Record) []byte {
		dst = append(dst, `{"userAgent":"`...)
		dst = appendText(dst, r.UserAgent)
		dst = append(dst, `","path":"`...)
		dst = appendText(dst, r.Path)
		dst = append(dst, `","timestamp":"`...)
		return append(r.Time.UTC().AppendFormat(dst, time.RFC3339Nano), `"}`...)
	})
}

// AppendEscaped appends an array in which every slash and everything beyond
// ASCII is escaped, as PHP's json_encode does.
func AppendEscaped(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[", ",", "]", func(dst []byte, r Record) []byte {
		dst = append(dst, `{"timestamp":"`...)
		dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, `","path":"`...)
		dst = appendEscaped(dst, r.Path)
		dst = append(dst, `","userAgent":"`...)
		return append(appendEscaped(dst, r.UserAgent), `"}`...)
	})
}

var zones = [...]*time.Location{
	time.FixedZone("", 3600), time.FixedZone("", -5*3600), time.FixedZone("", 5*3600+1800), time.FixedZone("", 0), time.FixedZone("", -9*3600-1800),
}

// AppendOffset appends an array whose timestamps are in other zones than UTC,
// with a fraction of zeros.
func AppendOffset(dst []byte, recs []Record) []byte {
	n := 0
	return list(dst, recs, "[", ",", "]", func(dst []byte, r Record) []byte {
		zone := zones[n%len(zones)]
		n++
		dst = append(dst, `{"timestamp":"`...)
		dst = r.Time.In(zone).AppendFormat(dst, "2006-01-02T15:04:05.000000000-07:00")
		dst = append(dst, `","path":"`...)
		dst = appendText(dst, r.Path)
		dst = append(dst, `","userAgent":"`...)
		return append(appendText(dst, r.UserAgent), `"}`...)
	})
}

// AppendExtra appends an array of records with members that are to be skipped,
// nested ones among them.
func AppendExtra(dst []byte, recs []Record) []byte {
	return list(dst, recs, "[", ",", "]", func(dst []byte, r Record) []byte {
		dst = append(dst, `{"@version":"1","status":200,`...)
		dst = append(dst, AppendLine(nil, r)[1:]...)
		dst = dst[:len(dst)-1]
		return append(dst, `,"bytes":-1.5e3,"geo":{"country":"DE","at":[52.5,13.4]},"ok":true,"user":null}`...)
	})
}

func list(dst []byte, recs []Record, first, between, last string, one func([]byte, Record) []byte) []byte {
	dst = append(dst, first...)
	for i, r := range recs {
		if i > 0 {
			dst = append(dst, between...)
		}
		dst = one(dst, r)
	}
	return append(dst, last...)
}

const hexDigits = "0123456789abcdef"

// appendText escapes what JSON demands and nothing else.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		default:
			dst = appendControl(dst, c)
		}
	}
	return dst
}

func appendControl(dst []byte, c byte) []byte {
	if i := strings.IndexByte("\b\f\n\r\t", c); i >= 0 {
		return append(dst, '\\', "bfnrt"[i])
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

func appendEscaped(dst []byte, s string) []byte {
	for _, c := range s {
		switch {
		case c == '/' || c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c < 0x20:
			dst = appendControl(dst, byte(c))
		case c < 0x80:
			dst = append(dst, byte(c))
		case c < 0x10000:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			high, low := utf16.EncodeRune(c)
			dst = fmt.Appendf(dst, `\u%04x\u%04X`, high, low)
		}
	}
	return dst
}
