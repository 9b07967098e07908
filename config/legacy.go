package config

// legacy are the keys of an earlier program (github.com/lechuhuuha/log_forge,
// config/config.go) that have no effect here, each with what took its place.
// A file with them still starts.
var legacy = map[string]string{
	"server.readHeaderTimeout":          "server.readTimeout covers the headers and the body",
	"ingestion.queueBufferSize":         "there is no queue of batches; what is under way is bounded in bytes by server.maxInFlightBytes and kafka.maxBufferedBytes",
	"ingestion.producerWorkers":         "the producer needs no workers; server.maxConcurrency bounds the batches at work",
	"ingestion.producerWriteTimeout":    "server.requestTimeout bounds the wait for an acknowledgement, kafka.deliveryTimeout the producer's tries",
	"ingestion.queueHighWaterPercent":   "watch the metric logforge_in_flight_bytes against server.maxInFlightBytes",
	"ingestion.circuitFailureThreshold": "while Kafka is away, requests get 503 at once and /ready says so",
	"ingestion.circuitCooldown":         "the producer goes on by itself as soon as Kafka answers",
	"consumer.flushSize":                "consumer.flushBytes and consumer.flushInterval decide when to commit",
	"consumer.persistTimeout":           "a commit has no time-out: it is done, or fails",
	"kafka.batchSize":                   "kafka.recordBytes says how many lines share a Kafka record",
	"kafka.batchTimeout":                "kafka.linger",
	"kafka.batchBytes":                  "kafka.recordBytes bounds a record",
	"kafka.async":                       "ingestion.ack: enqueued answers before Kafka has the batch",
}
