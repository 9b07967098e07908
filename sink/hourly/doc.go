// Package hourly is the sink of hourly files: Files, which pipeline 1 writes and
// in which pipeline 2's consumer puts what comes from Kafka.
//
// # The files
//
// A record goes to logs/YYYY-MM-DD/HH.log.json by the UTC hour of its own
// timestamp, as one line of canonical NDJSON. Files are committed by length: for
// every file there is a length up to which it is good, and nobody reads behind
// it. Everything else in the directory begins with a dot: the lock (one process
// writes a directory), the journal, the instance id, and what recovery has cut
// off.
//
// # Writing
//
// Writers form a sink.Group: while one write is under way, the batches that arrive
// join the next one, which is one write(2) for each hour they touch. A group is
// written whole or not at all; when a write fails, for want of space say, every
// file goes back to its length before. Those who asked for Synced then join a
// second group that shares one fdatasync. What was only Written is synced within
// storage.syncInterval.
//
// # After a crash
//
// The journal says up to where each file is good, see journal.go. A file that
// pipeline 1 wrote keeps every whole line, since a line counts once it is handed
// to the operating system; a torn line, or the NUL bytes that a file system
// leaves where data never reached the disk, is cut off and kept in a dot file
// beside. A file that the consumer wrote goes back to the last decided length,
// see tx.go.
//
// A failed sync is final: nothing is written any more, Failed is closed, and the
// process has to end. The kernel may have thrown the pages away and would report
// success the next time.
//
// # Compressed hours
//
// Compress makes the file of an hour that is quiet a chain of zstd frames,
// HH.log.json.zst, see compress.go. Late lines begin HH.log.json anew, and become
// further frames once the hour is quiet again. The one followed by the other is the
// stream; no offset changes.
//
// # Removed hours
//
// Retain removes whole hours, the oldest first, as storage.maxAge and
// storage.maxBytes say, once nobody who follows the files needs them, see
// retention.go. A late line for such an hour begins a new generation.
package hourly
