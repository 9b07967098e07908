// Package bench measures logforge. It holds nothing but benchmarks, and the
// programs below it:
//
//	corpus    the records and request bodies that everything is measured with
//	compare   this server beside the baselines, by records per CPU-second
//	baseline  those other servers
//	plot      pictures of what compare measured; measure.sh does all of it
//	load      a load generator: saturation, or a fixed rate without hidden waiting
//	proof     tests that what was acknowledged is stored, whatever happens
//	k6        load scripts for k6, with thresholds and a check of the files
//	vegeta    targets for vegeta
//	child     a server as a child process; wire, the least HTTP client
//
// The benchmarks of this package are one for each stage that a record passes
// (Scan, Commit, Aggregate, and for version 2 Produce and Consume) and Ingest,
// the whole way over a loopback connection within one process. Their names are
// key=value pairs that benchstat pivots:
//
//	go test -run '^$' -bench . -count 10 ./bench | tee new.txt
//	benchstat -col /batch new.txt
//	benchstat -col /mode -filter '.name:Ingest' new.txt
//
// In Ingest the client's cost is in the same process and so in the figure; what
// the server alone costs is what compare measures.
package bench
