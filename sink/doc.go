// Package sink has what all destinations of batches share: the interface Sink,
// the acknowledgement levels, the errors that a caller decides on, and Group, the
// group commit.
//
// The sinks themselves are packages of their own: hourly (files of one hour)
// and kafka (the producer).
package sink
