// Package kafkatest gives tests a real Apache Kafka.
//
// Shared is one broker for all tests of a run: the one of make kafka-up if it
// is running, otherwise one started for this run and stopped at its end. Own
// is a broker of the test's own, which it may kill, freeze and start again. A
// package that uses either calls Main from its TestMain.
//
// Both need Java and Maven. Where these are missing, Shared gives kfake, a
// broker inside the test process, and Own leaves the test out; both say so
// loudly, on standard error and in .kafka/left-out, which make test shows at
// its end. With CI=true in the environment nothing is left out: the test
// fails.
package kafkatest
