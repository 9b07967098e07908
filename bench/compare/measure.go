package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"logforge/bench/child"
)

// Measurement is one server under one load, once.
type Measurement struct {
	Round        int     `json:"round"`
	Server       string  `json:"server"`
	Batch        int     `json:"batch"`
	Conns        int     `json:"connections"`
	Records      int64   `json:"records"` // acknowledged while measured
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpuSeconds"` // of the server
	PerCPUSecond float64 `json:"recordsPerCPUSecond"`
	PerSecond    float64 `json:"recordsPerSecond"`
	P50          float64 `json:"p50ms"`
	P99          float64 `json:"p99ms"`
	PeakBytes    int64   `json:"peakResidentBytes"`
	Acknowledged int64   `json:"acknowledged"` // records, warm-up included
	Stored       int64   `json:"stored"`       // records in the files afterwards; -1 where nothing is stored
	BrokerCPU    float64 `json:"brokerCPUSeconds,omitempty"`
	// CPUPerMillion is the server's time for a million records, warm-up included,
	// until all of them are also where its archive copies them.
	CPUPerMillion float64 `json:"cpuSecondsPerMillion,omitempty"`
}

var (
	// errLost is a run that must not be quoted.
	errLost = errors.New("acknowledged records are missing from the files")
	// errNothing is a run too short for the server to answer even once.
	errNothing = errors.New("no request was answered in time: ask for a longer -for")
)

// pinned returns a command that runs on one core, where the system can do that.
func pinned(ctx context.Context, core string, args []string) *exec.Cmd {
	if _, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{"taskset", "-c", core}, args...)
	}
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// measure starts the server afresh, warms it up, loads it, and counts.
func (s *settings) measure(ctx context.Context, c contender, batch int) (m Measurement, err error) {
	err = s.inDirectory(ctx, c, func(dir string) (err error) {
		m, err = s.run(ctx, c, batch, dir)
		return err
	})
	return m, err
}

// inDirectory calls run with a new directory, and where the server goes through
// a broker with a new topic of the directory's name; both are gone afterwards.
func (s *settings) inDirectory(ctx context.Context, c contender, run func(dir string) error) (err error) {
	dir, err := os.MkdirTemp(s.dir, c.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if !c.kafka {
		return run(dir)
	}
	return withTopic(ctx, filepath.Base(dir), func() error { return run(dir) })
}

// launch starts a server that keeps its files below dir, and waits until it is
// ready. Servers that do without a broker get a core of their own.
func (s *settings) launch(ctx context.Context, c contender, dir string) (*child.Process, error) {
	addr, err := child.FreeAddr()
	if err != nil {
		return nil, err
	}
	args := c.command(addr, dir)
	if args[0] != victoriaLogs {
		args[0] = filepath.Join(s.dir, args[0])
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), "LOGFORGE_LOG_LEVEL=warn"), c.env...)
	if !c.kafka {
		env := cmd.Env
		cmd = pinned(ctx, s.serverCore, args)
		if cmd.Env = env; s.oneThread {
			cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
		}
	}
	p, err := child.Start(addr, cmd)
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := p.WaitReady(soon, c.ready); err != nil {
		p.Kill()
		return nil, err
	}
	return p, nil
}

func (s *settings) run(ctx context.Context, c contender, batch int, dir string) (m Measurement, err error) {
	p, err := s.launch(ctx, c, dir)
	if err != nil {
		return m, err
	}
	defer p.Kill()
	m = Measurement{Server: c.name, Batch: batch, Conns: c.conns, Stored: -1}
	if s.warmUp > 0 && !c.slow {
		warm, err := s.drive(ctx, c, p.Addr, batch, s.warmUp)
		if err != nil {
			return m, err
		}
		m.Acknowledged = warm.Accepted * int64(batch)
		if c.kafka {
			if _, err := drained(ctx, dir); err != nil {
				return m, err
			}
		}
	}
	if err := s.load1(ctx, c, p, dir, &m); err != nil {
		return m, err
	}
	if err := m.settle(ctx, c, p); err != nil {
		return m, err
	}
	p.Kill()
	return m, m.check(c, dir)
}

// settle waits until everything is archived, where there is an archive, and takes
// the time and the memory of the whole run.
func (m *Measurement) settle(ctx context.Context, c contender, p *child.Process) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for c.archived {
		resp, err := http.Get("http://" + p.Addr + "/metrics")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if pending.Match(text) {
			break
		}
		select {
		case <-time.After(time.Second): // asking costs the server time, too
		case <-ctx.Done():
			return fmt.Errorf("not everything is archived (make s3-up and make postgres-up start the destinations): %w", ctx.Err())
		}
	}
	spent, err := child.CPU(p.Pid())
	if err != nil {
		return err
	}
	m.CPUPerMillion = spent.Seconds() / float64(m.Acknowledged) * 1e6
	_, m.PeakBytes, err = child.Memory(p.Pid())
	return err
}

// pending is the metric of an archive that has everything.
var pending = regexp.MustCompile(`(?m)^logforge_archive_pending_bytes\{.*\} 0$`)

// load1 loads the server p and fills in m.
func (s *settings) load1(ctx context.Context, c contender, p *child.Process, dir string, m *Measurement) error {
	began := time.Now()
	var brokerBefore time.Duration
	if c.kafka {
		var err error
		if brokerBefore, err = brokerCPU(); err != nil {
			return err
		}
	}
	before, err := child.CPU(p.Pid())
	if err != nil {
		return err
	}
	length := s.length
	if c.slow {
		length = time.Second
	}
	got, err := s.drive(ctx, c, p.Addr, m.Batch, length)
	if err != nil {
		return err
	}
	if c.kafka {
		end, err := drained(ctx, dir)
		if err != nil {
			return err
		}
		got.Seconds = end.Sub(began).Seconds()
		brokerAfter, err := brokerCPU()
		if err != nil {
			return err
		}
		m.BrokerCPU = (brokerAfter - brokerBefore).Seconds()
	}
	after, err := child.CPU(p.Pid())
	if err != nil {
		return err
	}
	if _, m.PeakBytes, err = child.Memory(p.Pid()); err != nil {
		return err
	}
	if got.Accepted < got.Requests || got.Errors > 0 {
		return fmt.Errorf("of %d requests %d were accepted, and %d more not answered", got.Requests, got.Accepted, got.Errors)
	}
	m.Records = got.Accepted * int64(m.Batch)
	m.Acknowledged += m.Records
	m.Seconds, m.P50, m.P99 = got.Seconds, got.P50, got.P99
	m.CPUSeconds = (after - before).Seconds()
	if m.Records == 0 {
		return errNothing
	}
	m.PerCPUSecond = float64(m.Records) / m.CPUSeconds
	m.PerSecond = float64(m.Records) / m.Seconds
	return nil
}

// check counts what the killed server left. Requests that were under way when
// the generator stopped (at most one a connection, twice: warm-up and
// measurement) may be stored although their answers were not read.
func (m *Measurement) check(c contender, dir string) (err error) {
	if c.stored == nil {
		return nil
	}
	if m.Stored, err = c.stored(dir); err != nil {
		return err
	}
	most := m.Acknowledged + 2*int64(m.Conns)*int64(m.Batch)
	if m.Stored < m.Acknowledged {
		return fmt.Errorf("%w: %d of %d", errLost, m.Acknowledged-m.Stored, m.Acknowledged)
	}
	if m.Stored > most {
		return fmt.Errorf("%d records stored, though at most %d were sent", m.Stored, most)
	}
	return nil
}
