package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeReport writes benchmarks.md from the figures kept beside it, so that what
// it says is what was measured.
func writeReport(_ context.Context, s *settings) error {
	var v1, v2, shippers Report
	var latency LatencyReport
	var soaks []SoakReport
	for name, figures := range map[string]any{"v1": &v1, "v2": &v2, "shippers": &shippers, "latency": &latency, "soak": &soaks} {
		text, err := os.ReadFile(filepath.Join(s.docs, "benchmarks", name+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // what was not measured is not in the report
		}
		if err == nil {
			err = json.Unmarshal(text, figures)
		}
		if err != nil {
			return fmt.Errorf("%s.json: %w", name, err)
		}
	}
	var page bytes.Buffer
	page.WriteString(introduction)
	if len(v1.Rows)+len(v2.Rows) > 0 {
		page.WriteString("\n## Targets\n\n")
		printTargets(&page, append(v1.Rows, v2.Rows...), latency.Points)
		page.WriteString("\n![records per CPU-second by batch size](images/bench-servers.png)\n")
	}
	if len(v1.Rows) > 0 {
		page.WriteString("\n## Version 1 beside its baselines\n\n")
		v1.print(&page)
		fmt.Fprintf(&page, "\n    %s\n", v1.Command)
	}
	if len(v2.Rows) > 0 {
		page.WriteString("\n## Version 2, end to end, beside its baselines\n\n")
		v2.print(&page)
		fmt.Fprintf(&page, "\n    make kafka-up && %s\n", v2.Command)
	}
	if len(shippers.Rows) > 0 {
		page.WriteString("\n## What shippers send, and VictoriaLogs\n\n")
		page.WriteString("VictoriaLogs takes the same requests, and keeps and indexes them as columns, which is more work; it acknowledges them in memory.\n\n")
		shippers.printForms(&page)
		fmt.Fprintf(&page, "\n    %s\n", shippers.Command)
	}
	if len(latency.Points) > 0 {
		page.WriteString("\n## Latency by rate\n\n")
		latency.print(&page)
		fmt.Fprintf(&page, "\n    %s\n\n![latency by rate](images/bench-latency.png)\n", latency.Command)
	}
	if len(soaks) > 0 {
		fmt.Fprintf(&page, "\n## Memory over a soak\n\n%s\n\n", soaks[0].Machine)
		for i := range soaks {
			page.WriteString("- ")
			soaks[i].print(&page)
		}
		fmt.Fprintf(&page, "\n    %s\n\n![resident memory](images/bench-memory.png)\n", soaks[0].Command)
	}
	return os.WriteFile(filepath.Join(s.docs, "benchmarks.md"), page.Bytes(), 0o644)
}

const introduction = `# Benchmarks

Written by ` + "`go run ./bench/compare report`" + ` from the figures in docs/benchmarks; each part names the command and the
revision that made it.

**Records per CPU-second** are records per second of the server process's own processor time (user and system). Wall-clock
figures depend as much on the machine's other work, and are given beside them. A ratio is computed within each round; the table has
the median over the rounds. ± is half the distance between the slowest and the fastest round.

The baselines do less than any server that looks at its records: *discard* receives each body and throws it away; *append* writes
it to one file as it came; *the raw body* through Kafka is one record a request, appended by the consumer as it came. They use the
same HTTP library, Kafka client and settings. *The usual way* is net/http and encoding/json, with one file opened for each batch and one
system call for each record; through Kafka, one message for each line and one commit for each message.

On a virtual machine that hands memory back to its host, every page of a growing file may have to be fetched again, and large batches
then measure the machine. Memory is therefore warmed before the first round, until two passes over it take about equally long. Where a
baseline is nevertheless slower than the server beside it (a ratio above 1), the machine changed between the two runs.

After every run the records in the files were counted; a run in which an acknowledged record was missing would have ended the
measurement with an error.
`

// target is a promise about one figure of one server.
type target struct {
	what   string
	server string
	batch  int
	figure func(Row) float64
	least  float64 // or, if most is set, unused
	most   float64
}

var targets = []target{
	{"version 1, batch 1: ratio to throwing the body away", "v1", 1, func(r Row) float64 { return r.OfDiscard }, 0.8, 0},
	{"version 1, batch 100: ratio to appending the body as it came", "v1", 100, func(r Row) float64 { return r.OfAppend }, 0.7, 0},
	{"version 1, batch 1000: ratio to appending the body as it came", "v1", 1000, func(r Row) float64 { return r.OfAppend }, 0.7, 0},
	{"version 1, resident memory at full load, MB", "v1", 1000, func(r Row) float64 { return float64(r.PeakBytes >> 20) }, 0, 100},
	{"version 2, batch 100: records a second, ratio to the raw body", "v2", 100, func(r Row) float64 { return r.OfBaselineSpeed }, 0.8, 0},
	{"version 2, batch 1000: records a second, ratio to the raw body", "v2", 1000, func(r Row) float64 { return r.OfBaselineSpeed }, 0.8, 0},
	{"version 2, batch 100: records per CPU-second, ratio to the usual way", "v2", 100, func(r Row) float64 { return r.OfSimple }, 40, 0},
	{"version 2, batch 1000: records per CPU-second, ratio to the usual way", "v2", 1000, func(r Row) float64 { return r.OfSimple }, 40, 0},
	{"version 2, batch 1: records a second, ratio to the raw body", "v2", 1, func(r Row) float64 { return r.OfBaselineSpeed }, 2, 0},
	{"version 2, batch 1: records per CPU-second, ratio to the raw body", "v2", 1, func(r Row) float64 { return r.OfBaseline }, 1.5, 0},
	{"version 2, batch 100: broker, CPU-seconds a million records", "v2", 100, func(r Row) float64 { return r.BrokerCost }, 0, 1},
	{"version 2, batch 1000: broker, CPU-seconds a million records", "v2", 1000, func(r Row) float64 { return r.BrokerCost }, 0, 1},
	{"version 2, resident memory at full load, MB", "v2", 1000, func(r Row) float64 { return float64(r.PeakBytes >> 20) }, 0, 256},
}

// printTargets prints, for each target whose server was measured, whether it is met;
// then the ratio of synced to written with as many connections, and how long
// replicated takes at half of saturation.
func printTargets(w io.Writer, rows []Row, latencies []LatencyPoint) {
	find := func(server string, batch int) (Row, bool) {
		for _, r := range rows {
			if r.Server == server && r.Batch == batch {
				return r, true
			}
		}
		return Row{}, false
	}
	fmt.Fprintln(w, "| what | target | measured | met |\n|---|---|---|---|")
	line := func(what string, got, least, most float64) {
		bound, met := fmt.Sprintf("at least %g", least), got >= least
		if most > 0 {
			bound, met = fmt.Sprintf("below %g", most), got < most
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %s |\n", what, bound, got, map[bool]string{true: "yes", false: "**no**"}[met])
	}
	for _, t := range targets {
		if r, ok := find(t.server, t.batch); ok && t.figure(r) > 0 {
			line(t.what, t.figure(r), t.least, t.most)
		}
	}
	synced, ok := find("v1-synced", 100)
	written, ok2 := find("v1-64", 100)
	if ok && ok2 {
		line("version 1, synced, 64 connections, batch 100: ratio to written", synced.PerCPUSecond/written.PerCPUSecond, 0.5, 0)
	}
	for _, p := range latencies {
		if p.Server == "v1" && p.Share == 0.5 && p.Batch == 100 {
			line("version 1, batch 100: p99 at half of saturation, ms", p.P99, 0, 20)
			line("version 1, batch 100: p99.9 at half of saturation, ms", p.P999, 0, 100)
		}
		if p.Server == "v2" && p.Share == 0.5 {
			line(fmt.Sprintf("version 2, batch %d: p99 at half of saturation, ms", p.Batch), p.P99, 0, 50)
		}
	}
}
