// Package peers answers GET /analytics for several instances as one. Summaries
// are sums: what two instances have counted of an hour, each in its own
// directory, adds up to what both have.
//
// A View asks the instance it is part of and, over HTTP, each of analytics.peers,
// all at the same time, and merges what they answer. A peer that does not answer
// within analytics.peerTimeout, or not with a summary, is left out and named.
//
// # No loops
//
// A View asks with local=true, which a server answers from its own summaries
// alone. Each server says in the header Logforge-Instance which process it is.
// So all instances can be given the same list, with themselves in it: one that
// finds itself, or an instance that two addresses lead to, counts it once.
//
// # What top=N means
//
// The largest N of a sum are not the largest N of its parts. A View asks each
// instance for the 10,000 largest of each map, or for more where more are asked
// for, and for all of them where all are. An instance that has still more counts
// may have left out, for each key that it does not name, up to the smallest count
// that it names. The answer says by how much a count may be too low because of
// that, under countsLowBy; where that is left out, all counts are exact.
//
// # Bounds
//
// One answer is put together at a time. All peers together may send 64 MiB for
// it; 16 are asked at the same time.
package peers
