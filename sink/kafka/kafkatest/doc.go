// Package kafkatest gives tests a real Apache Kafka.
//
// Shared is one broker for all tests of a run: the one of make kafka-up of this
// checkout if it is running, otherwise one started for this run and stopped at
// its end. A broker of another checkout on the same port is left alone. Own is a
// broker of the test's own, which it may kill, freeze and start again, and
// OwnCluster three of them with three replicas of everything. A package that uses
// one of these calls Main from its TestMain.
//
// All need Java and Maven. Where these are missing, Shared gives kfake, a
// broker inside the test process, and the others leave the test out; they say so
// loudly, on standard error and in .kafka/left-out, which make test shows at
// its end. With CI=true in the environment nothing is left out: the test
// fails.
package kafkatest
