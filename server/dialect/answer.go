package dialect

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Request is what a dialect may look at besides the body.
type Request struct {
	Path        []byte
	ContentType []byte
	Accept      []byte
	Query       func(name string) []byte // a parameter of the query; nil if it is not there
	Arrived     time.Time
	inflated    bool // the declared compressions are off
}

// Inflated returns r for a body from which the declared compressions are off.
func (r *Request) Inflated() *Request {
	r.inflated = true
	return r
}

// Took is how long the request has taken so far.
func (r *Request) Took() time.Duration { return time.Since(r.Arrived) }

// Answer is what a client gets.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
	Product     bool // with the header X-Elastic-Product
}

// Problem is why a request is refused as a whole.
type Problem struct {
	Status int
	Reason string // for programs
	Detail string // for a person
}

// maxAnswer bounds the body of every answer but those of _bulk: with its headers
// it stays below 3,500 bytes. Fluent Bit reads at most 4,096 and takes more for a
// broken connection.
const maxAnswer = 3000

// maxReason is how much of one reason an answer gives.
const maxReason = 300

// clip returns at most n bytes of text, whole characters of it.
func clip(text string, n int) []byte {
	if len(text) <= n {
		return []byte(text)
	}
	text = text[:n]
	for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	if len(text) > 0 && text[len(text)-1] >= utf8.RuneSelf {
		text = text[:len(text)-1]
	}
	return append([]byte(text), "..."...)
}

const typeJSON = "application/json"

// answerIngest is {"accepted":n,"rejected":m,"errors":[…]}.
func answerIngest(dst []byte, _ *Request, r *Result) Answer {
	dst = strconv.AppendInt(append(dst, `{"accepted":`...), int64(r.Accepted), 10)
	dst = strconv.AppendInt(append(dst, `,"rejected":`...), int64(r.Rejected), 10)
	if len(r.Errors) > 0 {
		dst = append(dst, `,"errors":[`...)
		for _, e := range r.Errors {
			before := len(dst)
			dst = strconv.AppendInt(append(comma(dst), `{"index":`...), int64(e.Index), 10)
			dst = appendString(append(dst, `,"field":`...), []byte(e.Field))
			dst = appendString(append(dst, `,"reason":`...), clip(e.Reason, maxReason))
			if dst = append(dst, '}'); len(dst) > maxAnswer {
				dst = dst[:before]
				break
			}
		}
		dst = append(dst, ']')
	}
	return Answer{Status: 200, ContentType: typeJSON, Body: append(dst, '}')}
}

// summary says in a sentence how many records were not stored and why.
func (r *Result) summary() string {
	if r.Rejected == 0 {
		return ""
	}
	s := strconv.Itoa(r.Rejected) + " of " + strconv.Itoa(r.Rejected+r.Accepted) + " records are no web requests and were set aside"
	if len(r.Errors) > 0 {
		e := r.Errors[0]
		s += "; the first is record " + strconv.Itoa(e.Index) + ": " + e.Field + " " + e.Reason
	}
	return string(clip(s, maxReason))
}

// --- OTLP

const typeProtobuf = "application/x-protobuf"

// isProtobuf reports whether the client speaks protobuf.
func (r *Request) isProtobuf() bool { return hasWord(r.ContentType, "protobuf") }

// hasWord reports whether text contains word, which is in lower case.
func hasWord(text []byte, word string) bool {
	return strings.Contains(strings.ToLower(string(text)), word)
}

// answerOTLP is an ExportLogsServiceResponse.
func answerOTLP(dst []byte, req *Request, r *Result) Answer {
	if req.isProtobuf() {
		if r.Rejected > 0 {
			partial := appendProtoUint(nil, 1, uint64(r.Rejected))
			partial = appendProtoBytes(partial, 2, []byte(r.summary()))
			dst = appendProtoBytes(dst, 1, partial)
		}
		return Answer{Status: 200, ContentType: typeProtobuf, Body: dst}
	}
	dst = append(dst, '{')
	if r.Rejected > 0 {
		dst = strconv.AppendInt(append(dst, `"partialSuccess":{"rejectedLogRecords":"`...), int64(r.Rejected), 10)
		dst = appendString(append(dst, `","errorMessage":`...), []byte(r.summary()))
		dst = append(dst, '}')
	}
	return Answer{Status: 200, ContentType: typeJSON, Body: append(dst, '}')}
}

// refuseOTLP is a google.rpc.Status.
func refuseOTLP(dst []byte, req *Request, p Problem) Answer {
	const invalidArgument, resourceExhausted, internal, unavailable, unauthenticated = 3, 8, 13, 14, 16
	code := invalidArgument
	switch {
	case p.Status == 401, p.Status == 403:
		code = unauthenticated
	case p.Status == 413:
		code = resourceExhausted
	case p.Status == 503:
		code = unavailable
	case p.Status >= 500:
		code = internal
	}
	detail := clip(p.Detail, maxReason)
	if req.isProtobuf() {
		dst = appendProtoUint(dst, 1, uint64(code))
		return Answer{Status: p.Status, ContentType: typeProtobuf, Body: appendProtoBytes(dst, 2, detail)}
	}
	dst = strconv.AppendInt(append(dst, `{"code":`...), int64(code), 10)
	dst = append(appendString(append(dst, `,"message":`...), detail), '}')
	return Answer{Status: p.Status, ContentType: typeJSON, Body: dst}
}

// --- Loki

func answerLoki(dst []byte, _ *Request, _ *Result) Answer { return Answer{Status: 204, Body: dst} }

func refuseLoki(dst []byte, _ *Request, p Problem) Answer {
	dst = append(append(dst, clip(p.Detail, maxReason)...), '\n')
	return Answer{Status: p.Status, ContentType: "text/plain; charset=utf-8", Body: dst}
}

// --- Splunk

func answerHEC(dst []byte, _ *Request, r *Result) Answer {
	if r.Accepted+r.Rejected == 0 {
		return Answer{Status: 400, ContentType: typeJSON, Body: append(dst, `{"text":"No data","code":5}`...)}
	}
	return Answer{Status: 200, ContentType: typeJSON, Body: append(dst, `{"text":"Success","code":0}`...)}
}

func refuseHEC(dst []byte, _ *Request, p Problem) Answer {
	const invalidToken, invalidData, internal, busy = 4, 6, 8, 9
	code := invalidData
	switch {
	case p.Status == 401, p.Status == 403:
		code = invalidToken
	case p.Status == 503:
		code = busy
	case p.Status >= 500:
		code = internal
	}
	dst = appendString(append(dst, `{"text":`...), clip(p.Detail, maxReason))
	dst = strconv.AppendInt(append(dst, `,"code":`...), int64(code), 10)
	return Answer{Status: p.Status, ContentType: typeJSON, Body: append(dst, '}')}
}

// --- Datadog

func answerDatadog(dst []byte, _ *Request, _ *Result) Answer {
	return Answer{Status: 202, ContentType: typeJSON, Body: append(dst, '{', '}')}
}

func refuseDatadog(dst []byte, _ *Request, p Problem) Answer {
	dst = strconv.AppendInt(append(dst, `{"errors":[{"status":"`...), int64(p.Status), 10)
	dst = appendString(append(dst, `","title":`...), []byte(p.Reason))
	dst = appendString(append(dst, `,"detail":`...), clip(p.Detail, maxReason))
	return Answer{Status: p.Status, ContentType: typeJSON, Body: append(dst, `}]}`...)}
}

// --- Elasticsearch

func refuseElastic(dst []byte, req *Request, p Problem) Answer {
	kind := "illegal_argument_exception"
	switch {
	case p.Status == 401, p.Status == 403:
		kind = "security_exception"
	case p.Status == 404:
		kind = "resource_not_found_exception"
	case p.Status == 413:
		kind = "content_too_long_exception"
	case p.Status == 503:
		kind = "es_rejected_execution_exception"
	case p.Status >= 500:
		kind = "exception"
	}
	dst = append(append(dst, `{"error":{"type":"`...), kind...)
	dst = appendString(append(dst, `","reason":`...), clip(p.Detail, maxReason))
	dst = strconv.AppendInt(append(dst, `},"status":`...), int64(p.Status), 10)
	return req.elastic(Answer{Status: p.Status, Body: append(dst, '}')})
}
