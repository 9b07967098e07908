package corpus

import (
	"strings"
	"time"
)

// AppendCSV appends RFC 4180 lines in the order timestamp, path, userAgent,
// without a header.
func AppendCSV(dst []byte, recs []Record) []byte {
	for _, r := range recs {
		dst = r.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = appendField(append(dst, ','), r.Path)
		dst = appendField(append(dst, ','), r.UserAgent)
		dst = append(dst, '\n')
	}
	return dst
}

// AppendCSVHeaded appends a header line with the columns in another order, and
// CRLF line ends.
func AppendCSVHeaded(dst []byte, recs []Record) []byte {
	dst = append(dst, "path,timestamp,userAgent\r\n"...)
	for _, r := range recs {
		dst = appendField(dst, r.Path)
		dst = r.Time.UTC().AppendFormat(append(dst, ','), time.RFC3339Nano)
		dst = appendField(append(dst, ','), r.UserAgent)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// appendField quotes only where it has to be.
func appendField(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}
