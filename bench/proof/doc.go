// Package proof holds logforge to its promises from outside: its tests start
// the real program as a child, post the 10,000 lines of a real access log to
// it by 16 clients at once, and count what is in its files afterwards.
//
// TestEveryRecordOfTheRealLogIsStoredOnce posts the log in batches of 1, 7, 100
// and 1,000 as JSON, NDJSON and CSV, plain and gzipped. The lines of the hourly
// files, as a multiset, and every summary must be those of the log.
//
// TestEveryRecordOfTheRealLogComesOutOfKafkaOnce is the same through version 2.
// Its deaths are the business of sink/kafka's tests.
//
// TestKilledAtAnyMomentNothingAcknowledgedIsLost kills the server with SIGKILL
// again and again, under load and while it starts. Here every record is made
// unique by a number in its path, and an oracle in the test's own process knows
// of each batch what was answered:
//
//	202           every record is there exactly once
//	4xx           no record is there
//	5xx, nothing  unknown: of each hour's records the first so many are there,
//	              mostly all or none, each once
//
// Every line must be the canonical form of a record that was sent, and when the
// last server has stopped, every summary must equal a recount.
//
// Both are checked twice: here, and by recount.py, which shares no line of code
// with the project and no library but Python's own. It can be used by hand:
//
//	go test ./bench/proof -run Killed -kills 200 -seed 7 -keep /var/tmp/proof
//	python3 bench/proof/recount.py --log bench/testdata/access.log.gz --dir /var/tmp/proof --batches /var/tmp/proof/batches.tsv
package proof
