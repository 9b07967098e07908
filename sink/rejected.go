package sink

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"logforge/codec"
)

// Rejected is one record that was set aside: it came in a request that was
// accepted, but cannot be stored as a record. It is kept, with the reason, so
// that it can be submitted again once the cause is mended.
type Rejected struct {
	At     time.Time // when its request arrived
	From   string    // the client's address, without its port
	Route  string    // the route it came by, as metrics name it
	Field  string    // timestamp, path, userAgent, or record
	Reason string    // for a person
	Record []byte    // as it came, at most MaxRejectedBytes of it
	Bytes  int       // the length of the record if Record is only its beginning, otherwise 0
}

// MaxRejectedBytes is how much is kept of one record that is set aside.
const MaxRejectedBytes = 64 << 10

// RejectSink is where records that are set aside go: hourly.Rejected in pipeline
// 1, the dead-letter topic in pipeline 2.
type RejectSink interface {
	// Reject keeps records and returns when they are where ack says. The slice
	// and what it holds are the caller's again when Reject returns. An error
	// wraps ErrNotSetAside; nothing is then claimed, and the batch that the
	// records came with must not be acknowledged.
	Reject(ctx context.Context, records []Rejected, ack Ack) error
}

// ErrNotSetAside means that records could not be set aside.
var ErrNotSetAside = errors.New("records could not be set aside")

// rejectedLine is a Rejected as a line of JSON.
type rejectedLine struct {
	At       time.Time `json:"at"`
	From     string    `json:"from"`
	Route    string    `json:"route"`
	Reason   string    `json:"reason"`
	Field    string    `json:"field"`
	Record   string    `json:"record"`
	Encoding string    `json:"encoding,omitempty"` // base64, where the record is no UTF-8
	Bytes    int       `json:"bytes,omitempty"`
}

const base64Encoding = "base64"

// AppendJSON appends r as one line of JSON, with its newline.
func (r *Rejected) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"at":"`...)
	dst = r.At.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = appendMember(dst, `","from":`, r.From)
	dst = appendMember(dst, `,"route":`, r.Route)
	dst = appendMember(dst, `,"reason":`, r.Reason)
	dst = appendMember(dst, `,"field":`, r.Field)
	if utf8.Valid(r.Record) {
		dst = append(dst, `,"record":`...)
		dst = appendString(dst, r.Record)
	} else {
		dst = append(dst, `,"record":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, r.Record)
		dst = append(dst, `","encoding":"`+base64Encoding+`"`...)
	}
	if r.Bytes > 0 {
		dst = append(dst, `,"bytes":`...)
		dst = strconv.AppendInt(dst, int64(r.Bytes), 10)
	}
	return append(dst, '}', '\n')
}

func appendMember(dst []byte, name, value string) []byte {
	return appendString(append(dst, name...), []byte(value))
}

// appendString appends text as a JSON string, with U+FFFD for each byte that is no
// UTF-8.
func appendString(dst, text []byte) []byte {
	return append(codec.AppendText(append(dst, '"'), text), '"')
}

// ParseRejected reads one line of AppendJSON. The error is about the line: what
// a crash has torn off is one.
func ParseRejected(line []byte) (Rejected, error) {
	var l rejectedLine
	if err := json.Unmarshal(line, &l); err != nil {
		return Rejected{}, fmt.Errorf("not a rejected record: %w", err)
	}
	r := Rejected{At: l.At, From: l.From, Route: l.Route, Field: l.Field, Reason: l.Reason, Record: []byte(l.Record), Bytes: l.Bytes}
	switch l.Encoding {
	case "":
	case base64Encoding:
		record, err := base64.StdEncoding.DecodeString(l.Record)
		if err != nil {
			return Rejected{}, fmt.Errorf("not a rejected record: %w", err)
		}
		r.Record = record
	default:
		return Rejected{}, fmt.Errorf("not a rejected record: unknown encoding %q", l.Encoding)
	}
	if l.At.IsZero() {
		return Rejected{}, fmt.Errorf("not a rejected record: no member at")
	}
	return r, nil
}
