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
	"logforge/config/metric"
	"logforge/sink"
)

// firstStatus and lastStatus bound the label status.
const firstStatus, lastStatus = 200, 599

// routeCounters count the requests of one route by status. A path without a route
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
	n := metric.Counter(r.set, `logforge_requests_total{route="`+r.name+`",status="`+strconv.Itoa(status)+`"}`, "Requests by route and status.")
	slot.Store(n)
	return n
}

// counters are the server's metrics. Everything a 202 touches is registered at
// the start and costs an atomic addition; nothing allocates.
type counters struct {
	set *metrics.Set

	batches  *metrics.Counter // batches whose body arrived whole
	ingested *metrics.Counter // an older name of written
	failed   *metrics.Counter // batches answered with 5xx
	invalid  *metrics.Counter // batches answered with 4xx

	received *metrics.Counter // records decoded, good and bad
	written  *metrics.Counter // records of acknowledged batches
	arrival  *metrics.Counter // those of them that have the time of arrival

	bodyBytes     *metrics.Counter
	inflatedBytes *metrics.Counter
	panics        *metrics.Counter
	refusedConns  *metrics.Counter
	closedConns   *metrics.Counter

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
		batches:       metric.Counter(set, "log_batches_received_total", "POST /logs whose body arrived whole."),
		ingested:      metric.Counter(set, "logs_ingested_total", "Records of acknowledged batches (the older name of logforge_records_written_total)."),
		failed:        metric.Counter(set, "ingest_errors_total", "POST /logs answered with 5xx."),
		invalid:       metric.Counter(set, "invalid_requests_total", "POST /logs answered with 4xx."),
		received:      metric.Counter(set, "logforge_records_received_total", "Records decoded, good and bad; always written + rejected."),
		written:       metric.Counter(set, "logforge_records_written_total", "Records of acknowledged batches."),
		arrival:       metric.Counter(set, "logforge_records_timed_on_arrival_total", "Records written that had no time of their own and got that of their request."),
		bodyBytes:     metric.Counter(set, "logforge_received_bytes_total", "Bytes of bodies, as sent."),
		inflatedBytes: metric.Counter(set, "logforge_inflated_bytes_total", "Bytes of bodies after inflation."),
		panics:        metric.Counter(set, "logforge_panics_total", "Panics in handlers, answered with 500."),
		refusedConns:  metric.Counter(set, "logforge_connections_refused_total", "Connections refused for server.maxConnections or server.maxConnectionsPerIP."),
		closedConns:   metric.Counter(set, "logforge_connections_closed_for_others_total", "Connections that waited longest and were closed, as all of them together took half of server.maxInFlightBytes."),
		duration:      metric.Histogram(set, "logforge_request_duration_seconds", "Duration of POST /logs, from its first byte to the answer, whatever the status.", .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		records:       metric.Histogram(set, "logforge_batch_records", "Records of an acknowledged batch.", 1, 10, 50, 100, 500, 1000, 5000, 10_000, 50_000, 100_000),
	}
	metric.Gauge(set, "ingestion_work_queue_depth", "Batches under way or waiting.", func() float64 { return float64(c.working.Load()) })
	// A counter that is born with its first increment has no increase to be seen.
	for _, d := range endpoints {
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
	metric.Gauge(s.set, "logforge_in_flight_bytes", "Bytes of all requests under way: bodies, inflated bodies, decoded batches.", func() float64 { return float64(s.bytes.used.Load()) })
	metric.Gauge(s.set, "logforge_in_flight_bytes_limit", "server.maxInFlightBytes.", func() float64 { return float64(s.bytes.limit) })
	metric.Gauge(s.set, "logforge_connections", "Open connections.", func() float64 { return float64(s.conns.count()) })
	metric.Gauge(s.set, "logforge_ready", "1 while GET /ready answers 200, otherwise 0.", func() float64 {
		if err := s.ready(); s.draining.Load() || err != nil && !errors.Is(err, sink.ErrDegraded) {
			return 0
		}
		return 1
	})
	metric.Gauge(s.set, "logforge_uptime_seconds", "Time since the start of the server.", func() float64 { return time.Since(started).Seconds() })
	metric.Gauge(s.set, fmt.Sprintf("logforge_build_info{version=%q,commit=%q,build_date=%q,pipeline_mode=%q}",
		s.build.Version, s.build.Commit, s.build.BuildDate, s.build.PipelineMode), "Which build this is; always 1.", func() float64 { return 1 })
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
	return metric.Counter(c.set, `logforge_records_rejected_total{reason="`+reason+`"}`, "Records not stored, by reason: an invalid field, batch (valid, but beside an invalid one), a limit, or no room.")
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
	r := mappingOf(err)
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
