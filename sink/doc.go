// Package sink has what every place that batches can go to shares: the
// interface Sink, the acknowledgement levels, the errors that a caller decides
// on, and Group, the group commit.
//
// The sinks themselves are packages of their own: hourly (files of one hour)
// and kafka (the producer).
package sink
