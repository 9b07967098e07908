package server

import (
	"context"
	"errors"

	"logforge/codec"
	"logforge/server/dialect"
	"logforge/sink"
)

// What the server itself has to say to a client. The text is the detail of the
// answer; what varies (a limit, a list) is added by problem.
var (
	errKey       = errors.New("no accepted API key in the request")
	errOrigin    = errors.New("a web page of another site may not do this: see server.allowedOrigins")
	errNoIngest  = errors.New("this process takes no batches, as its kafka.role is consume: send them to one whose role is ingest or both")
	errNoReports = errors.New("this process has no summaries, as its kafka.role is ingest: ask one whose role is consume or both")
	errExpect    = errors.New("only 100-continue can be expected")
	errNoRoute   = errors.New("there is nothing at this path")
	errMethod    = errors.New("this path does not take this method")
	errQuery     = errors.New("bad query") // wrapped with the form that is right
	errNoSummary = errors.New("there is no summary for this time")
	errRecount   = errors.New("the summary of this hour was damaged, and is being made again")
	errNoTime    = errors.New("the answer took too long to put together: ask for fewer hours, or for top=N of each")
	errAnswer    = errors.New("the answer is larger than half of server.maxInFlightBytes: ask for fewer hours, or for top=N of each")
	errAck       = errors.New("this acknowledgement level is not offered here")
	errType      = errors.New("this Content-Type is not supported")
	errCoding    = errors.New("this Content-Encoding is not supported")
	errTooLarge  = errors.New("the body, as sent or inflated, is over server.maxBodyBytes")
	errNeverFits = errors.New("the batch would take more memory than server.maxInFlightBytes, and could never be stored: send smaller ones")
	errTruncated = errors.New("the body ended before its Content-Length or its last chunk")
	errChunk     = errors.New("the body is not validly chunked")
	errCorrupt   = errors.New("the body cannot be inflated: its compressed stream is cut short or damaged")
	errFraming   = errors.New("Transfer-Encoding together with Content-Length is refused")
	errRequest   = errors.New("this is not a valid HTTP request")
	errHeader    = errors.New("request line and headers are over server.maxHeaderBytes")
	errLines     = errors.New("the request has more than 128 header lines")
	errArguments = errors.New("bad query: it has more than 64 parameters")
	errSlow      = errors.New("the request did not arrive within server.readTimeout")
	errBusy      = errors.New("no room for this request within server.waitForRoom")
	errDraining  = errors.New("draining: this server is about to stop")
	errConns     = errors.New("too many connections: see server.maxConnections and server.maxConnectionsPerIP")
	errPanic     = errors.New("internal error")
)

// mapping is how one error is answered.
type mapping struct {
	err    error
	status int
	// reason is the word for programs: a member of the answer, and the label of
	// logforge_records_rejected_total.
	reason string
}

// clientText replaces the text of errors that are not written for clients.
var clientText = map[error]string{
	context.DeadlineExceeded: "the acknowledgement did not come within server.requestTimeout; the batch may have been stored or not",
	context.Canceled:         "shutting down; the batch may have been stored or not",
	sink.ErrStorage:          "the files cannot be written for now; /ready and the log say why. Nothing of the batch was stored",
	sink.ErrUnavailable:      "Kafka could not be reached; the batch may have been stored or not",
	sink.ErrRefused:          "Kafka refuses the batch until a right, a setting or the topic is changed; /ready and the log say which. Nothing of the batch was stored",
	sink.ErrAck:              errAck.Error(),
	sink.ErrNotSetAside:      "records of this batch that are no web requests could not be set aside; nothing of the batch was stored",
}

// statuses is the one place where an error becomes a status. The first entry that
// matches (errors.Is) counts; an error that is not listed is 500. Everything temporary is
// 503 with Retry-After: 429, 507 and 408 make common log shippers give up, and
// with them the data. That goes for a body that stalled, too: the same body will
// pass once the network does.
var statuses = []mapping{
	{sink.ErrFull, 503, "full"},
	{sink.ErrDiskFull, 503, "disk_full"},
	{sink.ErrStorage, 503, "storage"},
	{sink.ErrUnavailable, 503, "unavailable"},
	{sink.ErrRefused, 503, "refused"},
	{sink.ErrClosed, 503, "closed"},
	{sink.ErrAck, 400, "ack"},
	{context.DeadlineExceeded, 503, "timeout"},
	{context.Canceled, 503, "closed"},
	{errNoSummary, 404, "no_summary"},
	{errRecount, 503, "recount"},
	{errNoTime, 503, "timeout"},
	{errAnswer, 400, "answer"},
	{errKey, 401, "key"},
	{errOrigin, 403, "origin"},
	// 421: another process may take it. A 503 would be sent here again for ever.
	{errNoIngest, 421, "role"},
	{errNoReports, 421, "role"},
	{errExpect, 417, "expect"},
	{errNoRoute, 404, "route"},
	{errMethod, 405, "method"},
	{errQuery, 400, "query"},
	{errFormat, 400, "format"},
	{errKeyTooLong, 400, "idempotency_key"},
	{errUnderWay, 409, "under_way"},
	{errInstance, 409, "instance"},
	{errOtherBody, 409, "other_body"},
	{errUnknown, 409, "unknown"},
	{dialect.ErrMalformed, 400, "malformed"},
	{sink.ErrNotSetAside, 503, "set_aside"},
	{errAck, 400, "ack"},
	{errType, 415, "type"},
	{errCoding, 415, "coding"},
	{errTooLarge, 413, "too_large"},
	{errNeverFits, 413, "too_large"},
	{errTruncated, 400, "truncated"},
	{errChunk, 400, "chunked"},
	{errCorrupt, 400, "corrupt"},
	{errFraming, 400, "framing"},
	{errRequest, 400, "request"},
	{errHeader, 431, "header"},
	{errLines, 431, "header"},
	{errArguments, 400, "query"},
	{errSlow, 503, "slow"},
	{errBusy, 503, "busy"},
	{errDraining, 503, "draining"},
	{errConns, 503, "connections"},
}

// internal answers an error that is not listed. Its cause is logged, not sent.
var internal = mapping{errPanic, 500, "internal"}

// mappingOf finds how err is answered.
func mappingOf(err error) mapping {
	var invalid *codec.InvalidError
	var limit *codec.LimitError
	switch {
	case errors.As(err, &invalid):
		return mapping{invalid, 400, "invalid"}
	case errors.As(err, &limit):
		return mapping{limit, 413, "limit"}
	}
	for _, r := range statuses {
		if errors.Is(err, r.err) {
			return r
		}
	}
	return internal
}
