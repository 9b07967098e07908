package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// contender is one server that can be measured.
type contender struct {
	name    string
	about   string
	conns   int
	path    string // posted to, with its query
	ready   string // asked until it answers 200; empty: connecting is enough
	batches []int  // nil means any
	kafka   bool   // goes through a broker: see kafka.go
	slow    bool   // takes minutes for what comes in in seconds: gets a second of load, cold, in the first round only
	// baseline is what it is compared with, through a broker.
	baseline string
	// env is added to the environment.
	env []string
	// command returns the program within bin and its arguments, for a server
	// that is to listen on addr and to keep everything it writes below dir.
	command func(addr, dir string) []string
	// stored counts the records in what the server wrote below dir.
	stored func(dir string) (int64, error)
}

func (c contender) takes(batch int) bool {
	return c.batches == nil || slices.Contains(c.batches, batch)
}

var contenders = []contender{
	{name: "discard", about: "baseline: receives and throws away", conns: 16, path: "/logs", command: baseline("discard"), stored: nil},
	{name: "append", about: "baseline: appends the body as it came", conns: 16, path: "/logs", command: baseline("append"), stored: countBodies},
	{name: "simple", about: "the usual way", conns: 16, path: "/logs", command: baseline("simple"), stored: countLines},
	{name: "v1", about: "version 1, written", conns: 16, path: "/logs", ready: "/ready", command: version1, stored: countLines},
	{name: "v1-64", about: "version 1, written, 64 connections", conns: 64, path: "/logs", ready: "/ready", batches: []int{100}, command: version1, stored: countLines},
	kafkaBaseline("none"), kafkaBaseline("lz4"), kafkaBaseline("snappy"), kafkaBaseline("zstd"),
	{name: "kafka-simple", about: "the usual way", conns: kafkaConns, path: "/logs", kafka: true, slow: true, baseline: "kafka-none", stored: countLines,
		command: func(addr, dir string) []string {
			return viaKafka(dir, "baseline", "-mode", "kafka-simple", "-addr", addr, "-dir", dir)
		}},
	version2("v2-none", "no compression", "none", ""),
	version2("v2", "snappy", "snappy", ""),
	version2("v2-lz4", "lz4", "lz4", ""),
	version2("v2-zstd", "zstd", "zstd", ""),
	version2("v2-lines", "snappy, one line a Kafka record", "snappy", "", "LOGFORGE_KAFKA_RECORD_BYTES=1"),
	version2("v2-enqueued", "snappy, enqueued", "snappy", "?ack=enqueued"),
	{name: "v1-synced", about: "version 1, synced, 64 connections", conns: 64, path: "/logs?ack=synced", ready: "/ready", batches: []int{100}, command: version1, stored: countLines},
}

func baseline(mode string) func(addr, dir string) []string {
	return func(addr, dir string) []string {
		return []string{"baseline", "-mode", mode, "-addr", addr, "-dir", dir}
	}
}

func version1(addr, dir string) []string {
	return []string{"server", "-version", "1", "-addr", addr, "-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics")}
}

func names() (all []string) {
	for _, c := range contenders {
		all = append(all, c.name)
	}
	return all
}

// choose returns the contenders of a comma-separated list, in the list's order.
func choose(list string) (chosen []contender, err error) {
	for _, name := range strings.Split(list, ",") {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-servers: nothing is called %q; there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, contenders[i])
	}
	return chosen, nil
}

// countBodies counts records in bodies of any JSON form.
func countBodies(dir string) (int64, error) {
	return count(filepath.Join(dir, "bodies"), []byte(`{"timestamp":"`))
}

// countLines counts the lines of all hourly files below dir.
func countLines(dir string) (lines int64, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".log.json") {
			return err
		}
		n, err := count(name, []byte("\n"))
		lines += n
		return err
	})
	return lines, err
}

// count counts what does not overlap itself, in a file of any size.
func count(name string, what []byte) (n int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	buf, kept := make([]byte, 1<<20), 0
	for {
		got, err := f.Read(buf[kept:])
		part := buf[:kept+got]
		n += int64(bytes.Count(part, what))
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		// A match may begin in the last bytes and end in the next ones; none
		// fits into them whole.
		kept = copy(buf, part[max(0, len(part)-len(what)+1):])
	}
}
