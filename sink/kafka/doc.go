// Package kafka is version 2's way through Apache Kafka: the Producer, a
// sink.Sink in front of the topic, and the Consumer, which takes the topic's
// records into the files of sink.Files, each exactly once.
package kafka
