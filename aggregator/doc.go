// Package aggregator keeps a summary beside each hour's file: how many records
// it has, and how many of them each path and each user agent was in.
//
// An Aggregator asks the sink, at every pass, how far each hour's stream of lines
// is committed (hourly.Extent). An hour of which more is committed than its summary
// accounts for, however long ago it was, is read from where the summary ends, and
// its summary is replaced. A pass over hours that have not changed opens no file.
//
// # The summary
//
// A summary is analytics/YYYY-MM-DD/summary_HH.json, a JSON object with one
// member a line, in this order:
//
//	{
//	 "hour": "2026-02-09T15:00:00Z",
//	 "records": 3,
//	 "malformed": 0,
//	 "generation": 1764000000000,
//	 "earlierLines": 0,
//	 "offset": 228,
//	 "fingerprint": "48e5f410f667f7fe",
//	 "requestsPerPath": {
//	  "/home": 2,
//	  "/about": 1
//	 },
//	 "requestsPerUserAgent": {
//	  "Mozilla/5.0": 3
//	 },
//	 "checksum": "0a1b2c3d"
//	}
//
//	hour          the hour of UTC, RFC 3339
//	records       lines that are records: what the counts of either map add up to
//	malformed     lines that are not, or are of another hour; blank ones do not count
//	generation    which stream of the hour offset is in; see hourly.Extent
//	earlierLines  records and malformed lines of generations before that one
//	offset        bytes of that stream that this accounts for: whole lines
//	fingerprint   16 hexadecimal digits: the beginning of the SHA-256 of the last
//	              4 KiB before offset (of less in a shorter stream); empty at offset 0
//	checksum      8 hexadecimal digits: the CRC-32C of all bytes before the comma
//	              that precedes this member
//
// If earlierLines is not 0, "earlier" comes before the checksum: an object with
// records, malformed, requestsPerPath and requestsPerUserAgent, what the counts
// above it hold of earlier generations.
//
// Both maps are ordered by count, the largest first, and by key within a count.
// They name aggregation.maxKeys keys at most, and of 192 bytes on average at
// most; what comes after that is counted under "(other)", as is a real value
// that reads the same. The keys that are named are those that came first.
//
// Summaries of versions that knew neither generation nor checksum are read as
// well, and replaced when their hour grows.
//
// # What can happen to the files
//
// Counts and offset are one file, replaced by a rename after a sync, so a crash
// at any moment leaves a summary that says how far it goes, and the next pass
// goes on from there: nothing is counted twice, nothing is left out. A temporary
// file that a crash leaves begins with a dot and is overwritten when the hour is
// next summarised.
//
// A file that is gone, as retention removes old ones, leaves its summary as it
// is. If such an hour gets a new file (late data), that one is a new generation,
// and its counts are added. A file that is not what was summarised, though it is
// of the same generation, was edited: it is counted again from its beginning, and
// the counts of earlier generations are kept. This is looked at after a restart,
// and when the hour has grown: a file that is replaced by one of the same length
// in between is not noticed before the next restart.
//
// A summary that is removed, alone or with the whole directory, is made anew at
// the next pass from the file there is. One that is not as it was written
// (its checksum tells) is neither served nor added to: see damage.go.
//
// Nothing past the committed length is read, nor a line without its newline.
//
// One process has an analytics directory; a second one refuses to start.
//
// # Metrics
//
//	aggregation_runs_total                   passes
//	logforge_aggregation_duration_seconds    histogram of how long they took
//	logforge_aggregation_records_total       records counted into summaries, recounts included
//	logforge_aggregation_malformed_total     malformed lines, likewise
//	logforge_aggregation_recounts_total      hours counted again from the beginning of their file
//	logforge_aggregation_damaged_total       summaries that were found damaged
//	logforge_aggregation_errors_total        hours, and folders to sync, that failed
//	logforge_aggregation_delay_seconds       all that was committed longer ago than
//	                                         this is in the summaries
//
// The delay is the time since the last pass that left nothing undone began, or
// since Open before there was one: between two passes it rises to the interval,
// and past it when an hour fails or a pass takes long.
//
// # How
//
// aggregator.go makes the passes, hour.go summarises one hour: lines.go reads it,
// tally.go and counter.go count, without allocating for values that they have
// seen, in the spelling of the file. summary.go and reader.go are the two
// directions of a summary, directory.go is where they are kept, damage.go what
// happens to a damaged one, and analytics.go the answers to GET /analytics.
//
// Memory is that of one hour's maps and one buffer, whatever the number of hours
// and records, and a few words for each hour that has a file.
package aggregator
