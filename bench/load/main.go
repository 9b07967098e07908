// Command load posts batches to a server for a while and prints, as one JSON
// object, what was answered and how long it took.
//
// Without -rate every connection sends its next batch as soon as the last one
// is answered (saturation). With -rate requests are due at fixed instants, and
// a latency is counted from the instant the request was due, not from when a
// connection was free to send it: so a stall of the server is seen by all the
// requests that should have been sent meanwhile.
//
// Usage: go run ./bench/load -addr 127.0.0.1:8082 -batch 100 -rate 2000 -for 10s
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"logforge/bench/corpus"
	"logforge/bench/wire"
)

// Result is what Command load prints.
type Result struct {
	Seconds  float64          `json:"seconds"`  // from the first request to the last answer
	Requests int64            `json:"requests"` // answered
	Accepted int64            `json:"accepted"` // answered 2xx
	Records  int64            `json:"records"`  // in the batches that were answered 2xx
	Statuses map[string]int64 `json:"statuses"`
	Errors   int64            `json:"errors"` // not answered
	// Milliseconds until the answer.
	P50, P90, P99, P999, Max float64
}

type plan struct {
	addr    string
	conns   int
	every   time.Duration // between two requests; 0 is saturation
	length  time.Duration
	timeout time.Duration
	records int      // in each batch
	reqs    [][]byte // taken in turn
}

func main() {
	var p plan
	flag.StringVar(&p.addr, "addr", "127.0.0.1:8082", "server, host:port")
	flag.IntVar(&p.conns, "conns", 16, "connections")
	flag.DurationVar(&p.length, "for", 5*time.Second, "how long to send")
	flag.DurationVar(&p.timeout, "timeout", 10*time.Second, "longest wait for an answer")
	path := flag.String("path", "/logs", "path and query to post to")
	form := flag.String("form", "json", "form of the bodies: json, ndjson, csv, ... (see bench/corpus)")
	batch := flag.Int("batch", 100, "records a batch")
	rate := flag.Float64("rate", 0, "requests a second; 0 means as many as are answered")
	hours := flag.Int("hours", 1, "hours over which the records' timestamps are spread")
	flag.Parse()

	if err := p.render(*form, *path, *batch, *hours); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	if *rate > 0 {
		p.every = time.Duration(float64(time.Second) / *rate)
	}
	res, err := p.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(res)
}

// render makes the requests: at least 16 batches, and at least 1,000 records
// so that batches of one are not always the same record.
func (p *plan) render(form, path string, batch, hours int) error {
	f, err := corpus.FormOf(form)
	if err != nil {
		return err
	}
	p.records = batch
	for _, body := range f.Bodies(corpus.Records(1, max(16, (1000+batch-1)/batch)*batch, hours), batch) {
		p.reqs = append(p.reqs, wire.Render(path, f.ContentType, "", body))
	}
	return nil
}

type tally struct {
	took     []time.Duration
	statuses map[int]int64
	errors   int64
	err      error
}

func (p *plan) run() (Result, error) {
	var next atomic.Int64
	tallies := make([]tally, p.conns)
	var all sync.WaitGroup
	start := time.Now()
	for i := range tallies {
		all.Go(func() { p.send(&tallies[i], &next, start) })
	}
	all.Wait()
	return p.sum(tallies, time.Since(start))
}

// send is one connection; the requests' numbers are shared by all of them.
func (p *plan) send(t *tally, next *atomic.Int64, start time.Time) {
	t.statuses = map[int]int64{}
	conn, err := wire.Dial(p.addr)
	if err != nil {
		t.err = err
		return
	}
	for {
		n := next.Add(1) - 1
		due := time.Now()
		if p.every > 0 {
			due = start.Add(time.Duration(n) * p.every)
			time.Sleep(time.Until(due))
		}
		if due.Sub(start) >= p.length {
			t.err = errors.Join(t.err, conn.Close())
			return
		}
		status, _, err := conn.Do(p.reqs[n%int64(len(p.reqs))], p.timeout)
		if err != nil {
			t.errors++
			_ = conn.Close()
			if conn, err = wire.Dial(p.addr); err != nil {
				t.err = err
				return
			}
			continue
		}
		t.took = append(t.took, time.Since(due))
		t.statuses[status]++
	}
}

func (p *plan) sum(tallies []tally, length time.Duration) (Result, error) {
	res := Result{Seconds: length.Seconds(), Statuses: map[string]int64{}}
	var took []time.Duration
	var err error
	for _, t := range tallies {
		took = append(took, t.took...)
		res.Errors += t.errors
		err = errors.Join(err, t.err)
		for s, n := range t.statuses {
			res.Statuses[strconv.Itoa(s)] += n
			res.Requests += n
			if s/100 == 2 {
				res.Accepted += n
			}
		}
	}
	res.Records = res.Accepted * int64(p.records)
	slices.Sort(took)
	at := func(q float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(len(took)-1, int(q*float64(len(took))))].Microseconds()) / 1000
	}
	res.P50, res.P90, res.P99, res.P999, res.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return res, err
}
