// Package archive copies the hourly files to other places: a bucket of an S3
// service, a table in PostgreSQL. It follows the files as the aggregator does.
// Nothing in the way of a request waits for it.
//
// # Streams, parts, positions
//
// The lines of an hour are one stream of bytes. A position is an offset in that
// stream, and counts for one generation of the hour only (see hourly.Extent). A
// Part is a range [From, To) of whole lines. A part is never changed once it is
// stored, and storing it again has the effect of storing it once.
//
// There is no file that says how far a destination is: the destination says it
// itself. A bucket says it by the names of its objects, a database by rows that
// are written in the same transaction as the records.
//
//	Files ──committed lengths──▶ follower ──Part──▶ Destination
//	                                │
//	                                └─ logs/.archive-NAME: the parts under way
//
// # Exactly once
//
// What is going to be stored is written down first, as an intent, in a file that
// is synced. After a crash, or an answer that never came, the very same part is
// stored again, and never another one over the same lines. A destination tells
// two attempts at one part from each other: an object is written only if there
// is none of its name, a row of logforge_parts has a primary key. Lines are on
// the local disk before they are stored elsewhere, because after a power loss an
// hour could otherwise go on, at the same offset, with other lines.
//
// The file of intents has its full size from the beginning, so that a disk
// without room does not keep parts from being stored, which is what makes room.
//
// # When something is wrong
//
// An error of a destination is logged, counted, and tried again for ever, with
// growing pauses. An error that concerns one part only, such as somebody else's
// object of the same name, stops that hour and no other.
package archive
