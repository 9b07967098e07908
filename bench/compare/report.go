package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// Report is everything that was measured, and where.
type Report struct {
	Machine      Machine       `json:"machine"`
	Command      string        `json:"command"`
	Generator    string        `json:"generator"`
	Form         string        `json:"form"`
	Seconds      float64       `json:"secondsEach"`
	Rounds       int           `json:"rounds"`
	Rows         []Row         `json:"rows"`
	Measurements []Measurement `json:"measurements"`
}

// Machine is where it was measured, and what.
type Machine struct {
	Revision string `json:"revision"` // of the source
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
}

// Row is the medians of one server at one batch size. A ratio is 0 where the
// server it is to was not measured.
type Row struct {
	Server          string  `json:"server"`
	About           string  `json:"about"`
	Batch           int     `json:"batch"`
	Conns           int     `json:"connections"`
	PerCPUSecond    float64 `json:"recordsPerCPUSecond"`
	PerSecond       float64 `json:"recordsPerSecond"`
	P99             float64 `json:"p99ms"`
	PeakBytes       int64   `json:"peakResidentBytes"`
	OfDiscard       float64 `json:"ofDiscard"` // records per CPU-second, as a share of that server's in the same round
	OfAppend        float64 `json:"ofAppend"`
	OfSimple        float64 `json:"ofSimple"`
	OfBaseline      float64 `json:"ofBaseline"`      // through Kafka: of the raw body with the same compression
	OfBaselineSpeed float64 `json:"ofBaselineSpeed"` // the same for records a second, end to end
	BrokerCost      float64 `json:"brokerCPUSecondsPerMillion"`
	Spread          float64 `json:"spread"` // (largest - smallest) / median of the records per CPU-second
}

func (m Machine) String() string {
	return fmt.Sprintf("revision %s; %s, %d cores, %s, %s", m.Revision, m.CPU, m.Cores, m.Kernel, m.Go)
}

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH}
	if id, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		m.Revision = strings.TrimSpace(string(id))
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close() //nolint:errcheck // only read
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(kernel))
	}
	return m
}

// summarise fills the rows from the measurements.
func (r *Report) summarise(order []contender) {
	type key struct {
		server       string
		batch, round int
	}
	perCPU, perSecond := map[key]float64{}, map[key]float64{}
	var batches []int
	for _, m := range r.Measurements {
		perCPU[key{m.Server, m.Batch, m.Round}] = m.PerCPUSecond
		perSecond[key{m.Server, m.Batch, m.Round}] = m.PerSecond
		if !slices.Contains(batches, m.Batch) {
			batches = append(batches, m.Batch)
		}
	}
	for _, batch := range batches {
		for _, c := range order {
			var own []Measurement
			for _, m := range r.Measurements {
				if m.Server == c.name && m.Batch == batch {
					own = append(own, m)
				}
			}
			if len(own) == 0 {
				continue
			}
			ratioTo := func(of string, all map[key]float64) float64 {
				both := slices.DeleteFunc(slices.Clone(own), func(m Measurement) bool { return all[key{of, batch, m.Round}] == 0 })
				return median(both, func(m Measurement) float64 {
					return all[key{c.name, batch, m.Round}] / all[key{of, batch, m.Round}]
				})
			}
			share := func(of string) float64 { return ratioTo(of, perCPU) }
			figure := func(m Measurement) float64 { return m.PerCPUSecond }
			row := Row{
				Server: c.name, About: c.about, Batch: batch, Conns: c.conns,
				PerCPUSecond: median(own, figure),
				PerSecond:    median(own, func(m Measurement) float64 { return m.PerSecond }),
				P99:          median(own, func(m Measurement) float64 { return m.P99 }),
				OfDiscard:    share("discard"), OfAppend: share("append"), OfSimple: share("simple"),
			}
			if c.kafka {
				row.OfSimple = share("kafka-simple")
				row.OfBaseline, row.OfBaselineSpeed = share(c.baseline), ratioTo(c.baseline, perSecond)
				row.BrokerCost = median(own, func(m Measurement) float64 { return m.BrokerCPU / float64(m.Records) * 1e6 })
			}
			low, high := own[0], own[0]
			for _, m := range own {
				row.PeakBytes = max(row.PeakBytes, m.PeakBytes)
				low = slices.MinFunc([]Measurement{low, m}, by(figure))
				high = slices.MaxFunc([]Measurement{high, m}, by(figure))
			}
			row.Spread = (figure(high) - figure(low)) / row.PerCPUSecond
			r.Rows = append(r.Rows, row)
		}
	}
}

func by(figure func(Measurement) float64) func(a, b Measurement) int {
	return func(a, b Measurement) int { return cmp.Compare(figure(a), figure(b)) }
}

// median returns 0 of nothing.
func median(ms []Measurement, figure func(Measurement) float64) float64 {
	if len(ms) == 0 {
		return 0
	}
	all := make([]float64, len(ms))
	for i, m := range ms {
		all[i] = figure(m)
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}
