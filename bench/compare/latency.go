package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"
)

// LatencyReport is how long answers take at fixed rates.
type LatencyReport struct {
	Machine Machine        `json:"machine"`
	Command string         `json:"command"`
	Form    string         `json:"form"`
	Seconds float64        `json:"secondsEach"`
	Points  []LatencyPoint `json:"points"`
}

// LatencyPoint is one server at one rate. A latency counts from the instant at
// which the request was due, so nothing that had to wait is left out.
type LatencyPoint struct {
	Server   string  `json:"server"`
	About    string  `json:"about"`
	Batch    int     `json:"batch"`
	Conns    int     `json:"connections"`
	Share    float64 `json:"shareOfSaturation"`
	Rate     float64 `json:"requestsPerSecond"` // that were due
	Requests int64   `json:"requests"`
	Accepted int64   `json:"accepted"`
	P50      float64 `json:"p50ms"`
	P90      float64 `json:"p90ms"`
	P99      float64 `json:"p99ms"`
	P999     float64 `json:"p999ms"`
	Max      float64 `json:"maxms"`
}

// saturationLengths is for how many times -for the saturation rate is measured:
// longer than a share of it, so that a pass of the aggregation is in it, and the
// disk has to keep up.
const saturationLengths = 4

// shares of the saturation rate at which latency is measured.
var shares = []float64{0.1, 0.25, 0.5, 0.75, 0.9}

// measureLatency finds out how many requests a second a server takes at most,
// and then sends shares of that.
func measureLatency(ctx context.Context, s *settings) error {
	report := LatencyReport{Machine: thisMachine(), Command: s.command, Form: s.form, Seconds: s.length.Seconds()}
	for _, c := range s.contenders {
		for _, batch := range s.batches {
			err := s.inDirectory(ctx, c, func(dir string) error {
				points, err := s.latencies(ctx, c, batch, dir)
				report.Points = append(report.Points, points...)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s, batch %d: %w", c.name, batch, err)
			}
		}
	}
	report.print(os.Stdout)
	return s.save(report)
}

func (s *settings) latencies(ctx context.Context, c contender, batch int, dir string) (points []LatencyPoint, err error) {
	p, err := s.launch(ctx, c, dir)
	if err != nil {
		return nil, err
	}
	defer p.Kill()
	most, err := s.pace(ctx, c, p.Addr, batch, 0, saturationLengths*s.length)
	if err != nil {
		return nil, err
	}
	for _, share := range shares {
		if c.kafka { // no backlog from before
			if _, err := drained(ctx, dir); err != nil {
				return nil, err
			}
		}
		rate := share * float64(most.Requests) / most.Seconds
		got, err := s.pace(ctx, c, p.Addr, batch, rate, s.length)
		if err != nil {
			return nil, err
		}
		points = append(points, LatencyPoint{
			Server: c.name, About: c.about, Batch: batch, Conns: c.conns, Share: share, Rate: rate, Requests: got.Requests, Accepted: got.Accepted,
			P50: got.P50, P90: got.P90, P99: got.P99, P999: got.P999, Max: got.Max,
		})
	}
	return points, nil
}

// pace runs bench/load, at a fixed rate or, with 0, as fast as answers come.
func (s *settings) pace(ctx context.Context, c contender, addr string, batch int, rate float64, length time.Duration) (l load, err error) {
	args, err := builtin{filepath.Join(s.dir, "load")}.command(c, addr, cmp.Or(c.form, s.form), batch, length)
	if err != nil {
		return l, err
	}
	args = append(args, "-rate", strconv.FormatFloat(rate, 'f', 3, 64))
	cmd := pinned(ctx, s.loadCore, args)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return l, fmt.Errorf("bench/load: %w", err)
	}
	if err := json.Unmarshal(out, &l); err != nil {
		return l, err
	}
	if l.Errors > 0 || l.Accepted < l.Requests {
		return l, fmt.Errorf("of %d requests %d were accepted, and %d more not answered", l.Requests, l.Accepted, l.Errors)
	}
	return l, nil
}

func (r *LatencyReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s; %s bodies; %.0f s each; counted from when a request was due\n\n", r.Machine, r.Form, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| server\t| batch\t| of saturation\t| requests a second\t| records a second\t| p50 ms\t| p90 ms\t| p99 ms\t| p99.9 ms\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, p := range r.Points {
		fmt.Fprintf(t, "| %s\t| %d\t| %.0f %%\t| %.0f\t| %s\t| %.2f\t| %.2f\t| %.2f\t| %.2f\t|\n",
			p.About, p.Batch, 100*p.Share, p.Rate, thousands(p.Rate*float64(p.Batch)), p.P50, p.P90, p.P99, p.P999)
	}
	_ = t.Flush()
}
