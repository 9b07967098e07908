package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// print writes the rows as tables that Markdown reads as such: servers on a core
// of their own, and those that share the machine with a broker.
func (r *Report) print(w io.Writer) {
	viaBroker := func(row Row) bool { return row.BrokerCost > 0 }
	if slices.ContainsFunc(r.Rows, viaBroker) {
		r.printKafka(w, slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool { return !viaBroker(row) }))
	}
	if own := slices.DeleteFunc(slices.Clone(r.Rows), viaBroker); len(own) > 0 {
		r.printOwn(w, own)
	}
}

func (r *Report) printOwn(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "%s; server and %s on one core each; %s bodies; medians of %d rounds of %.0f s\n\n",
		r.Machine, r.Generator, r.Form, r.Rounds, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| batch\t| server\t| records a CPU-second\t| ± \t| of discard\t| of append\t| of the usual way	| records a second\t| p99 ms\t| peak MB\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, row := range rows {
		fmt.Fprintf(t, "| %d\t| %s\t| %s\t| %.0f %%\t| %s\t| %s\t| %s\t| %s\t| %.2f\t| %d\t|\n",
			row.Batch, row.About, thousands(row.PerCPUSecond), 50*row.Spread,
			ratio(row.OfDiscard), ratio(row.OfAppend), ratio(row.OfSimple), thousands(row.PerSecond), row.P99, row.PeakBytes>>20)
	}
	_ = t.Flush() // to a terminal or a pipe: an error could not be shown
}

// printForms writes the rows of what shippers send, with the share of the first
// row of their batch size.
func (r *Report) printForms(w io.Writer) {
	fmt.Fprintf(w, "%s; server and %s on one core each; medians of %d rounds of %.0f s\n\n", r.Machine, r.Generator, r.Rounds, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| batch\t| what\t| records a CPU-second\t| ± \t| of the first\t| records a second\t| peak MB\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	first := map[int]float64{}
	for _, row := range r.Rows {
		if first[row.Batch] == 0 {
			first[row.Batch] = row.PerCPUSecond
		}
		fmt.Fprintf(t, "| %d\t| %s\t| %s\t| %.0f %%\t| %.2f\t| %s\t| %d\t|\n",
			row.Batch, row.About, thousands(row.PerCPUSecond), 50*row.Spread, row.PerCPUSecond/first[row.Batch], thousands(row.PerSecond), row.PeakBytes>>20)
	}
	_ = t.Flush()
}

func (r *Report) printKafka(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "%s; server, broker and %s share all cores; %s bodies, %d connections; until the records are in the files; medians of %d rounds of %.0f s\n\n",
		r.Machine, r.Generator, r.Form, kafkaConns, r.Rounds, r.Seconds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| batch\t| server\t| records a second\t| of the raw body\t| records a CPU-second\t| ± \t| of the raw body\t| of the usual way	| broker, CPU-s a million\t| p99 ms\t| peak MB\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, row := range rows {
		fmt.Fprintf(t, "| %d\t| %s\t| %s\t| %s\t| %s\t| %.0f %%\t| %s\t| %s\t| %.2f\t| %.1f\t| %d\t|\n",
			row.Batch, row.About, thousands(row.PerSecond), ratio(row.OfBaselineSpeed), thousands(row.PerCPUSecond), 50*row.Spread,
			ratio(row.OfBaseline), ratio(row.OfSimple), row.BrokerCost, row.P99, row.PeakBytes>>20)
	}
	_ = t.Flush()
}

func ratio(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", x)
}

// thousands prints 1234567 as 1,235k, and small figures whole.
func thousands(x float64) string {
	if x < 1e5 {
		return fmt.Sprintf("%.1fk", x/1e3)
	}
	s := fmt.Sprintf("%.0f", x/1e3)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s + "k"
}
