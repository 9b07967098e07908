// Package metric registers metrics together with what they mean, and writes both
// for Prometheus: what /metrics says of a metric is written where the metric is made.
// docs/metrics.md is the list of all of them; a test makes it from the calls of
// this package.
package metric

import (
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

// helps is what metrics mean, by the name of their family.
var helps sync.Map

// Describe says what the metrics of a family mean, for those whose full names are
// put together elsewhere. help is a sentence.
func Describe(family, help string) { helps.Store(family, help) }

// describe is Describe for a name that may have labels.
func describe(name, help string) {
	family, _, _ := strings.Cut(name, "{")
	Describe(family, help)
}

// Counter returns the counter with the given name, labels included, in set. It
// makes it, if it is not there. help is a sentence.
func Counter(set *metrics.Set, name, help string) *metrics.Counter {
	describe(name, help)
	return set.GetOrCreateCounter(name)
}

// FloatCounter is Counter for one that counts parts.
func FloatCounter(set *metrics.Set, name, help string) *metrics.FloatCounter {
	describe(name, help)
	return set.GetOrCreateFloatCounter(name)
}

// Gauge makes a gauge whose value is what value returns. Where value is nil, the
// gauge is set by its methods, and may be there already.
func Gauge(set *metrics.Set, name, help string, value func() float64) *metrics.Gauge {
	describe(name, help)
	if value == nil {
		return set.GetOrCreateGauge(name, nil)
	}
	return set.NewGauge(name, value)
}

// Histogram makes a histogram with the given upper bounds of its buckets, or with
// those that Prometheus has by default, if there are none.
func Histogram(set *metrics.Set, name, help string, bounds ...float64) *metrics.PrometheusHistogram {
	describe(name, help)
	if len(bounds) == 0 {
		return set.NewPrometheusHistogram(name)
	}
	return set.NewPrometheusHistogramExt(name, bounds)
}
