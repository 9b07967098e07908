// Package aggregator keeps a summary beside each hour's file: how many records
// it has, and how many of them each path and each user agent was in.
//
// An Aggregator asks the sink, at every pass, which hours there are and how far
// each file is committed. An hour whose committed length is not what its
// summary accounts for is read from where the summary ends to there, whichever
// hour it is, and its summary replaced. A pass over hours that have not changed
// opens no file.
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
//	 "offset": 228,
//	 "fingerprint": "48e5f410f667f7fe",
//	 "requestsPerPath": {
//	  "/home": 2,
//	  "/about": 1
//	 },
//	 "requestsPerUserAgent": {
//	  "Mozilla/5.0": 3
//	 }
//	}
//
//	hour         the hour of UTC, RFC 3339
//	records      lines that are records: what the counts of either map add up to
//	malformed    lines that are not, or are of another hour; blank ones do not count
//	offset       bytes of the hour's file that this accounts for: whole lines
//	fingerprint  16 hexadecimal digits: the beginning of the SHA-256 of the last
//	             4 KiB before offset (of less in a shorter file); empty at offset 0
//
// Both maps are ordered by count, the largest first, and by key within a count.
// They name aggregation.maxKeys keys at most, and of 192 bytes on average at
// most; what comes after that is counted under "(other)", as is a real value
// that reads the same. The keys that are named are those that came first.
//
// # What can happen to the files
//
// Counts and offset are one file, replaced by a rename after a sync, so a crash
// at any moment leaves a summary that says how far it goes, and the next pass
// goes on from there: nothing is counted twice, nothing is left out. A
// temporary file that a crash leaves begins with a dot and is overwritten when
// the hour is next summarised.
//
// A restart reads the head of each hour's summary, up to the fingerprint, and
// the last 4 KiB that this is of, to know what has changed meanwhile; it reads
// the whole of a summary only if its hour has grown.
//
// If a file is shorter than its summary's offset, or has another fingerprint
// there, it was truncated or replaced, and is counted again from its beginning;
// so it is if the summary cannot be read, or its counts do not add up to its
// records. This is looked at after a restart, and when the committed length has
// changed: a file that is replaced by one of the same length in between is not
// noticed before the next restart.
//
// A file that is gone, as retention removes old ones, leaves its summary as it
// is. If such an hour gets a new file (late data), that one is counted from its
// beginning and the old counts are gone. A summary that is removed is made anew
// when its hour grows, or after a restart.
//
// Nothing past the committed length is read, nor a line without its newline.
//
// # Metrics
//
//	aggregation_runs_total                   passes
//	logforge_aggregation_duration_seconds    histogram of how long they took
//	logforge_aggregation_records_total       records counted into summaries, recounts included
//	logforge_aggregation_malformed_total     malformed lines, likewise
//	logforge_aggregation_recounts_total      hours counted again from their beginning
//	logforge_aggregation_errors_total        hours, and folders to sync, that failed
//	logforge_aggregation_delay_seconds       all that was committed longer ago than
//	                                         this is in the summaries
//
// The delay is the time since the last pass that left nothing undone began, or
// since New before there was one: between two passes it rises to the interval,
// and past it when an hour fails or a pass takes long.
//
// # How
//
// line.go recognises the lines the codec writes, a word at a time, and finds
// their two values. What is not such a line goes through the codec itself,
// which then says what it is. counter.go counts keys, in the spelling of the
// file (key.go), without allocating for those it has seen. hour.go resumes,
// reads (lines.go) and saves one hour, through output.go, which replaces files.
// summary.go and reader.go are the two directions of a summary, analytics.go
// the answers to GET /analytics.
//
// Memory is that of one hour's two maps and one buffer, whatever the number of
// hours and records, and a few words for each hour that has a file.
package aggregator
