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
	form    string // of its bodies; empty means that of the command line
	ready   string // asked until it answers 200; empty: connecting is enough
	batches []int  // nil means any
	kafka   bool   // goes through a broker: see kafka.go
	slow    bool   // takes minutes for what comes in in seconds: gets a second of load, cold, in the first round only
	// baseline is what it is compared with, through a broker.
	baseline string
	// archived: it copies every record elsewhere, which is waited for.
	archived bool
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
	archiving("v1-zst", "version 1, copied to a bucket as NDJSON.zst", "LOGFORGE_ARCHIVE_S3_FORMAT=ndjson.zst", toBucket),
	archiving("v1-parquet", "version 1, copied to a bucket as Parquet", "LOGFORGE_ARCHIVE_S3_FORMAT=parquet", toBucket),
	archiving("v1-postgres", "version 1, copied to PostgreSQL", "LOGFORGE_ARCHIVE_POSTGRES_URL=postgres://logforge:logforge@localhost:15432/logforge?sslmode=disable", nil),
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
	withBucket(version2("v2-zst", "snappy, copied to a bucket as NDJSON.zst", "snappy", "")),
	shipper("in-canonical", "POST /logs, canonical NDJSON", "/logs", "ndjson"),
	shipper("in-combined", "POST /ingest, access log lines", "/ingest", "combined"),
	shipper("in-fluentbit", "POST /ingest, Fluent Bit's date and log", "/ingest", "fluentbit"),
	shipper("in-apache", "POST /ingest, parsed objects with other names", "/ingest", "apache"),
	shipper("in-bulk", "_bulk, parsed objects", "/_bulk", "bulk"),
	shipper("in-otlp", "OTLP in protobuf, bodies are lines", "/v1/logs", "otlp"),
	shipper("in-otlp-json", "OTLP in JSON, bodies are lines", "/v1/logs", "otlp-json"),
	shipper("in-loki", "Loki in protobuf", "/loki/api/v1/push", "loki"),
	shipper("in-loki-json", "Loki in JSON", "/loki/api/v1/push", "loki-json"),
	victoria("vl-bulk", "VictoriaLogs, _bulk", "/insert/elasticsearch/_bulk?_msg_field=path&_time_field=@timestamp", "bulk"),
	victoria("vl-otlp", "VictoriaLogs, OTLP in protobuf", "/insert/opentelemetry/v1/logs", "otlp"),
	victoria("vl-loki", "VictoriaLogs, Loki in protobuf", "/insert/loki/api/v1/push?disable_message_parsing=1", "loki"),
	victoria("vl-loki-json", "VictoriaLogs, Loki in JSON", "/insert/loki/api/v1/push?disable_message_parsing=1", "loki-json"),
	{name: "v1-synced", about: "version 1, synced, 64 connections", conns: 64, path: "/logs?ack=synced", ready: "/ready", batches: []int{100}, command: version1, stored: countLines},
}

// toBucket are the settings of the bucket of make s3-up.
var toBucket = []string{"LOGFORGE_ARCHIVE_S3_ENDPOINT=http://localhost:7070", "LOGFORGE_ARCHIVE_S3_BUCKET=logforge", "LOGFORGE_ARCHIVE_S3_ACCESS_KEY=logforge",
	"LOGFORGE_ARCHIVE_S3_SECRET_KEY=logforge-secret", "LOGFORGE_ARCHIVE_AFTER=2s"}

// archiving is version 1 with an archive, in the servers of make s3-up and make
// postgres-up.
func archiving(name, about, setting string, env []string) contender {
	return contender{name: name, about: about, conns: 16, path: "/logs", ready: "/ready", command: version1, stored: countLines, archived: true, env: append([]string{setting}, env...)}
}

// withBucket adds the bucket of make s3-up.
func withBucket(c contender) contender {
	c.archived, c.env = true, append(c.env, toBucket...)
	return c
}

// shipper is version 1 with what shippers send.
func shipper(name, about, path, form string) contender {
	return contender{name: name, about: about, conns: 16, path: path, form: form, ready: "/ready", command: version1, stored: countLines}
}

// victoria is VictoriaLogs, which keeps the same forms as columns: make .tools has
// it built. What it has stored is not counted here.
func victoria(name, about, path, form string) contender {
	return contender{name: name, about: about, conns: 16, path: path, form: form, ready: "/health", command: func(addr, dir string) []string {
		return []string{victoriaLogs, "-httpListenAddr", addr, "-storageDataPath", dir, "-retentionPeriod", "100y", "-loggerLevel", "ERROR", "-memory.allowedBytes", "1GiB"}
	}}
}

// victoriaLogs is where make builds it, with its version in the path.
const victoriaLogs = ".tools/v1.52.1/victoria-logs"

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
