package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"logforge/bench/child"
)

// SoakReport is one server under a moderate load for a long time. The percentiles
// are of the time from sending a request to having its answer, in milliseconds.
type SoakReport struct {
	Machine   Machine  `json:"machine"`
	Command   string   `json:"command"`
	Server    string   `json:"server"`
	About     string   `json:"about"`
	Batch     int      `json:"batch"`
	Rate      float64  `json:"requestsPerSecond"`
	Seconds   float64  `json:"seconds"`
	Records   int64    `json:"acknowledged"`
	Stored    int64    `json:"stored"`
	P50       float64  `json:"p50ms"`
	P99       float64  `json:"p99ms"`
	P999      float64  `json:"p999ms"`
	Samples   []Sample `json:"samples"`
	PeakBytes int64    `json:"peakResidentBytes"`
}

// Sample is the server at one instant of a soak.
type Sample struct {
	Seconds       float64 `json:"at"`
	ResidentBytes int64   `json:"residentBytes"`
	CPUSeconds    float64 `json:"cpuSeconds"` // since the start
}

// sampleInterval is how often a soak looks at the server.
const sampleInterval = time.Second

// soak loads each server at -rate for a long time, and looks at its memory.
func soak(ctx context.Context, s *settings) error {
	var reports []SoakReport
	for _, c := range s.contenders {
		for _, batch := range s.batches {
			r := SoakReport{Machine: thisMachine(), Command: s.command, Server: c.name, About: c.about, Batch: batch, Rate: s.rate}
			err := s.inDirectory(ctx, c, func(dir string) error { return s.soakOne(ctx, c, dir, &r) })
			if err != nil {
				return fmt.Errorf("%s, batch %d: %w", c.name, batch, err)
			}
			r.print(os.Stdout)
			reports = append(reports, r)
		}
	}
	return s.save(reports)
}

func (s *settings) soakOne(ctx context.Context, c contender, dir string, r *SoakReport) error {
	p, err := s.launch(ctx, c, dir)
	if err != nil {
		return err
	}
	defer p.Kill()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() { watched <- r.watch(ctx, p) }()
	got, err := s.pace(ctx, c, p.Addr, r.Batch, r.Rate, s.length)
	cancel()
	if err := errors.Join(err, <-watched); err != nil {
		return err
	}
	if c.kafka {
		if _, err := drained(context.WithoutCancel(ctx), dir); err != nil {
			return err
		}
	}
	if _, r.PeakBytes, err = child.Memory(p.Pid()); err != nil {
		return err
	}
	p.Kill()
	r.Seconds, r.Records, r.P50, r.P99, r.P999 = got.Seconds, got.Records, got.P50, got.P99, got.P999
	m := Measurement{Batch: r.Batch, Conns: c.conns, Acknowledged: got.Records}
	err = m.check(c, dir)
	r.Stored = m.Stored
	return err
}

// watch samples the server until ctx ends or the server does.
func (r *SoakReport) watch(ctx context.Context, p *child.Process) error {
	start := time.Now()
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.Exited():
			return errors.New("the server ended")
		case <-tick.C:
		}
		now, _, err := child.Memory(p.Pid())
		if err != nil {
			return err
		}
		cpu, err := child.CPU(p.Pid())
		if err != nil {
			return err
		}
		r.Samples = append(r.Samples, Sample{time.Since(start).Seconds(), now, cpu.Seconds()})
	}
}

func (r *SoakReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %.0f requests a second of %d records for %s: %d records acknowledged, %d stored; resident memory",
		r.About, r.Rate, r.Batch, time.Duration(r.Seconds*float64(time.Second)).Round(time.Second), r.Records, r.Stored)
	for _, part := range []int{1, 2, 3, 4} { // at the end of each quarter
		if i := part*len(r.Samples)/4 - 1; i >= 0 {
			fmt.Fprintf(w, " %d MB,", r.Samples[i].ResidentBytes>>20)
		}
	}
	fmt.Fprintf(w, " at most %d MB\n", r.PeakBytes>>20)
}
