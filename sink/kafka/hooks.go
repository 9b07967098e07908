package kafka

// Metrics of franz-go's connections and batches, and the signal to client.watch
// that a connection failed.

import (
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/config/metric"
)

// hooks receives franz-go's hooks. The producer and the consumer of one process
// count into the same metrics.
type hooks struct {
	doubt chan struct{} // capacity 1: a connection failed since the last probe

	up            *metrics.Gauge
	connects      *metrics.Counter
	connectErrors *metrics.Counter
	requestErrors *metrics.Counter
	throttled     *metrics.FloatCounter
	records       *metrics.Counter
	bytes         *metrics.Counter
	wireBytes     *metrics.Counter
	fetchedBytes  *metrics.Counter
}

var (
	_ kgo.HookBrokerConnect       = (*hooks)(nil)
	_ kgo.HookBrokerE2E           = (*hooks)(nil)
	_ kgo.HookBrokerThrottle      = (*hooks)(nil)
	_ kgo.HookProduceBatchWritten = (*hooks)(nil)
	_ kgo.HookFetchBatchRead      = (*hooks)(nil)
)

func newHooks(set *metrics.Set) *hooks {
	return &hooks{
		doubt:         make(chan struct{}, 1),
		up:            metric.Gauge(set, "kafka_up", "1 while a broker answers, otherwise 0.", nil),
		connects:      metric.Counter(set, "logforge_kafka_connects_total", "Connections to brokers."),
		connectErrors: metric.Counter(set, "logforge_kafka_connect_errors_total", "Connections to brokers that failed."),
		requestErrors: metric.Counter(set, "logforge_kafka_request_errors_total", "Requests to brokers that failed."),
		throttled:     metric.FloatCounter(set, "logforge_kafka_throttled_seconds_total", "Time that brokers asked this process to wait."),
		records:       metric.Counter(set, "logforge_kafka_produced_records_total", "Kafka records produced."),
		bytes:         metric.Counter(set, "logforge_kafka_produced_bytes_total", "Bytes of Kafka records produced."),
		wireBytes:     metric.Counter(set, "logforge_kafka_produced_compressed_bytes_total", "Bytes sent to brokers, as compressed."),
		fetchedBytes:  metric.Counter(set, "logforge_kafka_fetched_compressed_bytes_total", "Bytes fetched from brokers, as compressed."),
	}
}

// OnBrokerConnect counts connections, and doubts the cluster when one fails.
func (h *hooks) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	h.connects.Inc()
	if err != nil {
		h.connectErrors.Inc()
		h.suspect()
	}
}

// OnBrokerE2E doubts the cluster when a request failed on its way.
func (h *hooks) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	if e2e.Err() != nil {
		h.requestErrors.Inc()
		h.suspect()
	}
}

// suspect asks for a probe now.
func (h *hooks) suspect() {
	select {
	case h.doubt <- struct{}{}:
	default:
	}
}

// OnBrokerThrottle counts the time for which a broker's quota holds us back.
func (h *hooks) OnBrokerThrottle(_ kgo.BrokerMetadata, d time.Duration, _ bool) {
	h.throttled.Add(d.Seconds())
}

// OnProduceBatchWritten counts what the cluster has acknowledged: Kafka records
// (of many lines each) and their bytes before and after compression.
func (h *hooks) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	h.records.Add(m.NumRecords)
	h.bytes.Add(m.UncompressedBytes)
	h.wireBytes.Add(m.CompressedBytes)
}

// OnFetchBatchRead counts what was fetched, before it is inflated.
func (h *hooks) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	h.fetchedBytes.Add(m.CompressedBytes)
}
