// Package corpus makes the records that tests and benchmarks send, the same
// ones on every machine: Records draws them from a fixed seed, ReadAccessLog
// takes them from a real Apache log. Forms renders either as request bodies.
//
// What Records draws is shaped like the traffic of a busy site: thousands of
// paths and hundreds of user agents, both by a Zipf law (a few are in every
// second record, most are rare), about 176 bytes a record as canonical JSON.
// One record in a hundred has non-ASCII text, one in two hundred a quote or a
// backslash, one in a thousand a control character: enough that a fast path
// without a way out is found out, too few to be what is measured.
//
// The package imports nothing but the standard library, so that every other
// one may use it in its tests.
package corpus
