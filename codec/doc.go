// Package codec turns request bodies into batches: bytes in, Batch out.
//
// A body is scanned once, validated as it is scanned, and comes out as
// canonical NDJSON, already divided into one Run per hour. That form is what goes
// to the files, to Kafka, and comes back from Kafka; nothing is decoded into
// structs and encoded again on the way.
//
// # What goes in
//
// JSON (RFC 8259) is an array of records, one record, or records one after
// another with or without white space between them. NDJSON is one record a
// line; blank lines are skipped, the last line needs no end, lines may end in
// CRLF. CSV (RFC 4180) is timestamp, path, userAgent, or, if the first line
// has these three names among its fields, the order of that line; columns with
// other names are skipped. A byte order mark before the body is skipped.
//
//	record    = object with the members timestamp, path and userAgent
//	timestamp = RFC 3339, any offset, up to 9 fraction digits, t and z in either case
//
// The three values are strings, none of which is blank (unicode.IsSpace); they
// are stored as sent, not trimmed. Members match by
// their exact names; of a repeated one the last counts; others are skipped, but
// must be valid JSON too, nested no deeper than Limits.Depth. A timestamp is a
// date of the calendar and no leap second, and lies in the years 0000 to 9999
// in UTC. Invalid UTF-8 becomes U+FFFD, a byte at a time, and so does each lone
// half of a surrogate pair.
//
// An invalid record does not end the scan: InvalidError names up to MaxErrors
// of them and counts all. One error is reported for each, the first in the
// order record, timestamp, path, userAgent. In NDJSON and CSV a malformed line
// is one such error. In the other forms of JSON nothing can be told apart after
// a syntax error, so it is the last. A record over a limit ends the scan as well:
// the error is a LimitError then, whatever was wrong with the records before it.
//
// # What comes out
//
// One line a record, its members in this order, no spaces:
//
//	{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"Mozilla/5.0"}
//
// The timestamp is in UTC, with a fraction only if there is one, without
// trailing zeros. Text is valid UTF-8 in which only the quote, the backslash
// and the control characters below U+0020 are escaped: \" \\ \b \f \n \r \t,
// else \u00xx in lower-case hexadecimal. A batch is at most six times as long
// as its body (invalid bytes and control characters grow), and 42 bytes a
// record besides.
//
// Extra members, where they are kept, follow the three in the order in which they
// were sent, with a comma before each:
//
//	{"timestamp":"…","path":"/home","userAgent":"Mozilla/5.0","status":200,"method":"GET"}
//
// Their bytes are as sent, escapes included, but without white space between
// tokens, and with U+FFFD for each byte that is no UTF-8. None has the name of one
// of the three; a name that is repeated stays repeated. The canonical form of a
// canonical line is that line. Fields and Line read such lines back.
//
// # What shippers send
//
// By Options.Shipper the names come out of lists (names.go, object.go), times are
// of many kinds (moment.go), and what is not JSON is CSV with a header of its own
// (rows.go), an access log line (accesslog.go, balancer.go, with a fast path in
// plainline.go), a W3C extended file (rows.go) or Influx line protocol
// (influx.go). Where a record may be set aside (shipper.go), the scan goes on
// after one that cannot be read: behind its line, or in an array at the next comma
// with a brace behind it. What is read twice for that is bounded by twice the
// body, so that the time grows with the body and not faster.
// docs/formats.md is for users.
//
// # How
//
// A record that is canonical already is recognised by comparing words, and
// copied together with its neighbours as one range (canonical.go). Anything
// else goes the general way (json.go; csv.go, with a fast path of its own in
// csv_plain.go), which finds the three values and puts the record together
// (decode.go) from their canonical text (text.go) and time (time.go). Where the
// records' hours are not in ascending order, the lines are regrouped at the end
// (group.go).
//
// # Ownership
//
// A Batch keeps nothing of the body. What it gives out is its own memory, and
// valid until it is filled, reset or put back. Decoding allocates nothing once
// the batch has grown to the size of the work, unless there is an error.
package codec
