// Package kafka is pipeline 2's way through Apache Kafka: the Producer, a
// sink.Sink in front of the topic, and the Consumer, which takes the topic's
// records into the files of hourly.Files, each exactly once.
//
// # What is in the topic
//
// A Kafka record's value is lines of canonical NDJSON of one hour, at most
// kafka.recordBytes together; a record of a single line has no newline at its
// end, which is what readers of one message a line expect (recordBytes 1). The
// header "hour" names the hour, 2026-02-09T15. There is no key: lines are
// spread over the partitions, and have no order but that of their timestamps.
// The Consumer takes any NDJSON, from whomever; what does not parse goes to the
// dead-letter topic, the topic's name with .dlq.
//
// # Producing
//
// Requests that are under way together share records: their lines are copied
// into the hour's open chunk (chunk.go), and chunks are sent as groups, one
// group at a time (dispatch.go). An acknowledgement is the chunk's, so a request
// that gives up takes no other with it.
//
// Replicated is answered when all in-sync replicas have the lines. The client
// is idempotent: a try that was applied and reported as failed is recognised by
// the broker. Nothing that was sent is ever given up while the process lives,
// because what became of it can only be learned by trying again.
//
// Enqueued is answered when the lines are in the buffer. While the cluster is
// away they stay there, unsent, for kafka.deliveryTimeout; then they are written
// to the dead-letter directory (deadletter.go), and so they are when the process
// ends. Replay sends them again. What had been sent, with an outcome unknown when
// the process ended, is first looked for in the topic. A kill -9 loses what is
// in the buffer: that is the difference between the two levels.
//
// All that is buffered is bounded by kafka.maxBufferedBytes. Past it requests
// wait, then get sink.ErrFull.
//
// Whether the cluster is there is asked once a second, and at once when a
// connection fails (client.go). While it is not, or acknowledges nothing, Ready
// says so, and replicated batches are refused before they are buffered. The
// topic's settings are read as well (topic.go), and what is sent follows them,
// also when they change or the topic is made again (renew.go). What each error of
// a cluster means is one table (errors.go).
//
// # Consuming
//
// The Consumer goes through sessions, each one membership of the group
// (session.go), and stores in transactions (transaction.go): an append to the
// files, an entry in their journal and a commit of offsets to the group. commit.go
// says why that is exactly once; position.go and stamp.go what the journal and the
// commit carry; resolve.go how a transaction whose outcome is unknown is resolved;
// assign.go where a partition begins. What is fetched is inflated
// within a budget (inflate.go).
package kafka
