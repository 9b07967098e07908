// Package dialect knows how other systems send logs: the routes that their
// clients insist on, the form of the bodies, and the answers that the clients
// expect. Everything leads through one endpoint: a body becomes a codec.Batch, and
// the records that are no web requests are set aside, whatever the route.
//
// A dialect is one file with a function from a body to records, and one entry in
// the table below. The server does the rest: keys, limits, inflation, the
// acknowledgement, metrics. Nothing here knows HTTP beyond a path, a few headers
// and a status.
//
//	ingest.go      POST /ingest: the forms of the codec, files out of forms
//	bulk.go        Elasticsearch's _bulk; elastic.go, what its clients ask beside it
//	otlp_proto.go  OpenTelemetry as protobuf, with otlp_value.go; otlp_json.go, as JSON, with otlp_json_value.go
//	loki.go        Grafana Loki
//	hec.go         Splunk's HTTP Event Collector
//	answer.go      the answers of all of them
//	writer.go      from a record in its envelope to the batch
//	scan.go        the JSON around records; unescape.go, its strings
//
// # Bounds
//
// A body is bounded by the server, the number of its records and their size by
// the codec. What is around records, the labels of a stream and the attributes
// of a resource, counts with each record: 256 MiB in all. A value of OTLP is nested
// at most 32 deep. A Writer holds one record at a time, and what is around it.
// Decoding allocates nothing once the memory
// of a Writer and its batch has grown to the work, but for records that are set
// aside and the labels of Loki's protobuf.
package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is a body that cannot be read as a whole. Nothing of it is to be
// stored.
var ErrMalformed = errors.New("malformed body")

// malformed returns an ErrMalformed that says what is wrong.
func malformed(what string) error { return fmt.Errorf("%w: %s", ErrMalformed, what) }

var noTime time.Time

// Dialect is how one kind of client sends logs.
type Dialect struct {
	// Route is the path, and what metrics, logs and records set aside call it.
	Route string
	// Others are more paths of the same; {index} stands for one part of any name.
	Others []string
	// Put says that PUT is taken as POST is.
	Put bool

	// decode fills the batch of w. The error is an ErrMalformed or a
	// *codec.LimitError.
	decode func(w *Writer, req *Request, body []byte) error
	// coding names a compression that clients do not declare; nil for none.
	coding func(req *Request, body []byte) string
	// answer and refuse write the answer to a body that was taken, and to one that
	// was not. A nil refuse leaves it to the server.
	answer func(dst []byte, req *Request, r *Result) Answer
	refuse func(dst []byte, req *Request, p Problem) Answer
}

// Table holds every dialect.
var Table = []*Dialect{
	{Route: "/ingest", decode: (*Writer).ingest, coding: magic, answer: answerIngest},
	{Route: "/_bulk", Put: true, Others: []string{"/{index}/_bulk", ElasticPrefix + "/_bulk", ElasticPrefix + "/{index}/_bulk"},
		decode: decodeBulk, coding: magic, answer: answerBulk, refuse: refuseElastic},
	{Route: "/v1/logs", Others: []string{"/otlp/v1/logs"}, decode: decodeOTLP, coding: magic, answer: answerOTLP, refuse: refuseOTLP},
	{Route: "/loki/api/v1/push", decode: decodeLoki, coding: lokiCoding, answer: answerLoki, refuse: refuseLoki},
	{Route: "/services/collector", Others: []string{"/services/collector/event", "/services/collector/event/1.0"},
		decode: decodeHEC, coding: magic, answer: answerHEC, refuse: refuseHEC},
	{Route: "/services/collector/raw", Others: []string{"/services/collector/raw/1.0"},
		decode: (*Writer).ingest, coding: magic, answer: answerHEC, refuse: refuseHEC},
	{Route: "/api/v2/logs", Others: []string{"/v1/input"}, decode: decodeDatadog, coding: magic, answer: answerDatadog, refuse: refuseDatadog},
}

// Strict is POST /logs with ?invalid=set-aside: the forms and rules of the strict
// endpoint. It is not in the Table.
var Strict = &Dialect{Route: "/logs", decode: (*Writer).strict, answer: answerIngest}

// Decode fills the batch of w with the records of body, and hands the others to
// w.SetAside. The result is valid until PutWriter. The error is an ErrMalformed
// or a *codec.LimitError; nothing is to be stored then.
func (d *Dialect) Decode(w *Writer, req *Request, body []byte) (*Result, error) {
	w.Arrived = req.Arrived
	body = bytes.TrimPrefix(body, byteOrderMark)
	if err := d.decode(w, req, body); err != nil {
		return nil, err
	}
	return &w.result, nil
}

// Coding names the compression of a body that declares none, or of what is left
// when the declared ones are off: gzip, snappy, or nothing.
func (d *Dialect) Coding(req *Request, body []byte) string {
	if d.coding == nil {
		return ""
	}
	return d.coding(req, body)
}

// Answer appends the answer to a body that was taken to dst.
func (d *Dialect) Answer(dst []byte, req *Request, r *Result) Answer { return d.answer(dst, req, r) }

// Refuse appends the answer to a request that was refused to dst. ok is false if
// these clients have no form of their own for it.
func (d *Dialect) Refuse(dst []byte, req *Request, p Problem) (a Answer, ok bool) {
	if d.refuse == nil {
		return Answer{}, false
	}
	return d.refuse(dst, req, p), true
}

// take runs f, which reads an envelope of records, between the two ends of a
// batch.
func (w *Writer) take(f func() bool, what string) error {
	w.Batch.Begin(w.Rules, w.Arrived)
	whole := f()
	err := w.Batch.End()
	switch {
	case w.noRoom != nil:
		return w.noRoom
	case err != nil:
		return err
	case w.full:
		return w.over
	case !whole:
		return malformed(what)
	}
	w.result.Accepted = w.Batch.Records()
	return nil
}

func decodeBulk(w *Writer, _ *Request, body []byte) error {
	return w.take(func() bool { w.bulk(body); return true }, "")
}

func decodeHEC(w *Writer, _ *Request, body []byte) error {
	return w.take(func() bool { w.hec(body); return true }, "")
}

// decodeDatadog takes what POST /ingest does. The agent sends an empty object when it
// starts, to see whether somebody is there: it is no record.
func decodeDatadog(w *Writer, req *Request, body []byte) error {
	if string(bytes.TrimSpace(body)) == "{}" {
		return nil
	}
	return w.ingest(req, body)
}

func decodeOTLP(w *Writer, req *Request, body []byte) error {
	if req.isProtobuf() || !startsObject(body) {
		return w.take(func() bool { return w.otlpProto(body) }, "the body is no ExportLogsServiceRequest in protobuf, or is cut short")
	}
	return w.takeOTLPJSON(body)
}

func (w *Writer) takeOTLPJSON(body []byte) error {
	return w.take(func() bool { return w.otlpJSON(body) }, "the body is no ExportLogsServiceRequest in JSON, or is cut short")
}

func decodeLoki(w *Writer, req *Request, body []byte) error {
	if req.isProtobuf() || !startsObject(body) {
		return w.take(func() bool { return w.lokiProto(body) }, "the body is no PushRequest of Loki in protobuf, or is cut short")
	}
	return w.takeLokiJSON(body)
}

func (w *Writer) takeLokiJSON(body []byte) error {
	return w.take(func() bool { return w.lokiJSON(body) }, "the body is no push of Loki in JSON, or is cut short")
}

// byteOrderMark is what some programs begin a text in UTF-8 with.
var byteOrderMark = []byte("\xef\xbb\xbf")

// startsObject reports whether body begins as a JSON object does.
func startsObject(body []byte) bool {
	i := 0
	if bytes.HasPrefix(body, byteOrderMark) {
		i = len(byteOrderMark)
	}
	i = space(body, i)
	return i < len(body) && body[i] == '{'
}

// magic tells gzip by its first bytes: some shippers compress and do not say so.
func magic(_ *Request, body []byte) string {
	if len(body) >= 3 && body[0] == 0x1f && body[1] == 0x8b && body[2] == 8 {
		return "gzip"
	}
	return ""
}

// lokiCoding tells protobuf that is compressed with snappy, as Loki's clients
// send it without a Content-Encoding.
func lokiCoding(req *Request, body []byte) string {
	if c := magic(req, body); c != "" {
		return c
	}
	switch {
	case len(body) == 0, !req.isProtobuf() && startsObject(body):
		return ""
	case req.inflated && fields(body, skip): // not compressed with it as well
		return ""
	}
	return "snappy"
}

func appendProtoUint(dst []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), v)
}

func appendProtoBytes(dst []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), v)
}
