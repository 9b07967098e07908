// Command compare measures logforge beside the servers it is to be compared
// with, all on this machine and in one run.
//
// Each server is started as a child pinned to one core with GOMAXPROCS=1; the
// load comes from the other core: wrk if it is installed, bench/load
// otherwise. The figure to compare is records per second of the server's own
// processor time, because on a shared machine wall-clock figures say more
// about the neighbours. Rounds are interleaved (A B C, A B C, …), a ratio is
// taken within its round, and medians are printed.
//
// Nothing may be lost in a run that is quoted: after each run the records in
// the server's files are counted, and fewer than were acknowledged is an error.
//
// Usage:
//
//	go run ./bench/compare                       # the baselines and version 1
//	go run ./bench/compare -rounds 5 -json out.json
//	go run ./bench/compare -servers append,v1 -batches 100 -for 5s
//	go run ./bench/compare -servers kafka-snappy,v2 # through the broker of make kafka-up
//	go run ./bench/compare latency -servers v1,v2
//	go run ./bench/compare soak -for 10m -rate 500
//	go run ./bench/compare report                # docs/benchmarks.md, from docs/benchmarks/*.json
//
// bench/measure.sh runs them all, with what docs/benchmarks.md is made of.
package main
