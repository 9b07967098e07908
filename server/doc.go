// Package server is the HTTP side of logforge: it turns a request into a
// codec.Batch, hands it to a sink.Sink, and turns what comes back into a status.
//
// # The way of a request
//
//	listener        connections counted and bounded; past the limit 503 and close  (listen.go)
//	fasthttp        header parsed into one bounded buffer; the body left unread
//	serve           framing checked, panics caught, time and status counted        (routes.go)
//	admit           key, acknowledgement level, type, coding, Content-Length       (logs.go)
//	readBody        body into a pooled buffer that grows with what has arrived     (body.go)
//	slot            at most server.maxConcurrency batches past this point          (limits.go)
//	inflate         gzip, deflate, zstd, snappy, never past the limit              (inflate.go)
//	Batch.Decode    canonical NDJSON by hour                                       (package codec)
//	Sink.Write      returns when the batch is where ?ack= says                     (package sink)
//	answer          202, or the one table of errors.go as problem+json (RFC 9457)  (errors.go)
//
// Time-outs of connections are kept beside all this by one goroutine (timeouts.go).
//
// # Memory
//
// Every byte of a body, of its inflated form and of the decoded batch is
// reserved in one account, server.maxInFlightBytes, before it is allocated, and
// only for what has arrived: a client that promises 32 MiB and sends nothing
// holds next to nothing. Who finds no room waits at most server.waitForRoom
// over the whole request, then gets 503 with Retry-After. When room is scarce,
// large bodies begin one after another, so that they do not each hold half of
// what they need and wait for the rest; an announcement counts for a second.
//
// No slice of a body outlives its handler: buffers go back to their pool when
// the sink has returned. With the build tag poison they are overwritten then, so
// that a use after that shows.
//
// # Connections
//
// A body that was not read to its end is never taken for the next request: the
// connection is closed, and closed lingering (half-close, then a bounded drain)
// so that the client can read the answer that explains it.
package server
