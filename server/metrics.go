package server

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/sink"
)

// firstStatus and lastStatus bound the label status.
const firstStatus, lastStatus = 200, 599

// routeCounters count the requests of one route by status. A path nobody serves
// is counted under the route other.
type routeCounters struct {
	name     string // the label route
	set      *metrics.Set
	statuses [lastStatus - firstStatus + 1]atomic.Pointer[metrics.Counter]
}

// status returns the counter of one status.
func (r *routeCounters) status(status int) *metrics.Counter {
	if status < firstStatus || status > lastStatus {
		status = lastStatus
	}
	slot := &r.statuses[status-firstStatus]
	if n := slot.Load(); n != nil {
		return n
	}
	n := r.set.GetOrCreateCounter(`logforge_requests_total{route="` + r.name + `",status="` + strconv.Itoa(status) + `"}`)
	slot.Store(n)
	return n
}

// counters are the server's metrics. Everything a 202 touches is registered at
// the start and costs an atomic addition; nothing allocates.
type counters struct {
	set *metrics.Set

	batches  *metrics.Counter // batches whose body arrived whole
	ingested *metrics.Counter // the first design's name of written
	failed   *metrics.Counter // batches answered with 5xx
	invalid  *metrics.Counter // batches answered with 4xx

	received *metrics.Counter // records decoded, good and bad
	written  *metrics.Counter // records of acknowledged batches
	arrival  *metrics.Counter // those of them that have the time of arrival

	bodyBytes     *metrics.Counter
	inflatedBytes *metrics.Counter
	panics        *metrics.Counter
	refusedConns  *metrics.Counter

	duration *metrics.PrometheusHistogram // of a batch, all statuses
	records  *metrics.PrometheusHistogram // per accepted batch

	working atomic.Int64              // batches waiting or under way
	routes  map[string]*routeCounters // complete before the first request
	other   *routeCounters
}

func newCounters(set *metrics.Set) *counters {
	c := &counters{
		set:           set,
		routes:        map[string]*routeCounters{},
		batches:       set.NewCounter("log_batches_received_total"),
		ingested:      set.NewCounter("logs_ingested_total"),
		failed:        set.NewCounter("ingest_errors_total"),
		invalid:       set.NewCounter("invalid_requests_total"),
		received:      set.NewCounter("logforge_records_received_total"),
		written:       set.NewCounter("logforge_records_written_total"),
		arrival:       set.NewCounter("logforge_records_timed_on_arrival_total"),
		bodyBytes:     set.NewCounter("logforge_received_bytes_total"),
		inflatedBytes: set.NewCounter("logforge_inflated_bytes_total"),
		panics:        set.NewCounter("logforge_panics_total"),
		refusedConns:  set.NewCounter("logforge_connections_refused_total"),
		duration: set.NewPrometheusHistogramExt("logforge_request_duration_seconds",
			[]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		records: set.NewPrometheusHistogramExt("logforge_batch_records",
			[]float64{1, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000}),
	}
	set.NewGauge("ingestion_work_queue_depth", func() float64 { return float64(c.working.Load()) })
	// A counter that is born with its first increment has no increase to be seen.
	for _, d := range doors {
		for _, status := range []int{200, 202, 400, 401, 413, 415, 500, 503} {
			c.route(d.route).status(status)
		}
	}
	c.other = c.route("other")
	for _, reason := range []string{"timestamp", "path", "userAgent", "record", "invalid", "batch", "limit", "full", "disk_full", "unavailable"} {
		c.rejected(reason)
	}
	return c
}

// describe registers what belongs to the whole server.
func (s *Server) describe(started time.Time) {
	s.set.NewGauge("logforge_in_flight_bytes", func() float64 { return float64(s.bytes.used.Load()) })
	s.set.NewGauge("logforge_in_flight_bytes_limit", func() float64 { return float64(s.bytes.limit) })
	s.set.NewGauge("logforge_connections", func() float64 { return float64(s.conns.count()) })
	s.set.NewGauge("logforge_ready", func() float64 {
		if err := s.ready(); s.draining.Load() || err != nil && !errors.Is(err, sink.ErrStandsStill) {
			return 0
		}
		return 1
	})
	s.set.NewGauge("logforge_uptime_seconds", func() float64 { return time.Since(started).Seconds() })
	s.set.NewGauge(fmt.Sprintf("logforge_build_info{version=%q,commit=%q,build_date=%q,pipeline_mode=%q}",
		s.build.Version, s.build.Commit, s.build.BuildDate, s.build.PipelineMode), func() float64 { return 1 })
}

// route returns the counters of a route. It is called while the server is made.
func (c *counters) route(name string) *routeCounters {
	r := c.routes[name]
	if r == nil {
		r = &routeCounters{name: name, set: c.set}
		c.routes[name] = r
	}
	return r
}

// rejected returns the counter of records refused for one reason. The reasons
// are the fields of a record, "record" for one that is bad as a whole, "invalid"
// for those past the ones an answer names, "batch" (valid, but beside an invalid
// one), and those of the table in errors.go.
func (c *counters) rejected(reason string) *metrics.Counter {
	return c.set.GetOrCreateCounter(`logforge_records_rejected_total{reason="` + reason + `"}`)
}

// countBatch counts one batch: it is called once for each, with how many
// records of it were decoded, those that were set aside, and what became of it
// (nil: acknowledged). Received is
// counted here and not when the batch is decoded, so that received = written +
// rejected holds between any two requests.
func (c *counters) countBatch(records int, aside []asideItem, err error) {
	if err == nil {
		c.received.Add(records + len(aside))
		for i := range aside {
			c.rejected(aside[i].field).Inc()
		}
		c.written.Add(records)
		c.ingested.Add(records)
		c.records.Update(float64(records))
		return
	}
	r := rowOf(err)
	if r.status >= fasthttp.StatusInternalServerError {
		c.failed.Inc()
	} else {
		c.invalid.Inc()
	}
	switch e := r.err.(type) {
	case *codec.InvalidError:
		if e.Records == 0 {
			return // nothing in it could be told apart
		}
		c.received.Add(e.Records)
		for i := range e.Errors {
			c.rejected(fieldOf(e.Errors[i].Field)).Inc()
		}
		c.rejected("invalid").Add(e.Count - len(e.Errors))
		c.rejected("batch").Add(e.Records - e.Count)
	case *codec.LimitError:
		c.received.Add(e.Records + 1) // those before it, and the one that went over
		c.rejected("limit").Add(e.Records + 1)
	default:
		if records += len(aside); records > 0 {
			c.received.Add(records)
			c.rejected(r.reason).Add(records)
		}
	}
}

// fieldOf bounds the label reason, whatever the codec names.
func fieldOf(field string) string {
	switch field {
	case "timestamp", "path", "userAgent":
		return field
	}
	return "record"
}
