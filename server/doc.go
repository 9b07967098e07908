// Package server is the HTTP side of logforge: it turns a request into a
// codec.Batch, hands it to a sink.Sink, and turns what comes back into a status.
//
// # The way of a request
//
//	listener        connections counted and bounded; past the limit 503 and close  (listen.go)
//	fasthttp        header parsed into one bounded buffer; the body left unread
//	serve           framing checked, panics caught, time and status counted        (routes.go)
//	admit           origin, key, acknowledgement level, type, coding, length      (endpoint.go)
//	readBody        body into a pooled buffer that grows with what has arrived     (body.go)
//	slot            at most server.maxConcurrency batches past this point          (budget.go)
//	inflate         gzip, deflate, zstd, snappy, never past the limit              (inflate.go)
//	Batch.Decode    canonical NDJSON by hour                                       (package codec)
//	Sink.Write      returns when the batch is where ?ack= says                     (package sink)
//	answer          202, or the one table of errors.go as problem+json (RFC 9457)  (errors.go)
//
// Time-outs of connections are kept beside all this by one goroutine (timeouts.go).
//
// # Memory
//
// Every byte of a body, of its inflated form, of the decoded batch and of a large
// answer is taken from one budget, server.maxInFlightBytes, before it is allocated,
// and only for what has arrived: a client that promises 20 MiB and sends nothing
// holds next to nothing. A request waits for room once, before the first byte of
// its body, at most server.waitForRoom; then 503 with Retry-After. What it needs
// beyond that it takes at once or is answered 503: no request waits for memory
// while it holds some. A batch that its sink still reads after the answer counts until the
// sink is done.
//
// No slice of a body outlives its handler: buffers go back to their pool when the
// batch is decoded. With the build tag poison they are overwritten then, so
// that a use after that shows.
//
// # Connections
//
// A body that was not read to its end is never taken for the next request: the
// connection is closed, and closed lingering (half-close, then a bounded drain)
// so that the client can read the answer that explains it.
package server
