package main

// Bad input of every kind by every route, against the program itself, in both
// versions.

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"logforge/sink/kafka/kafkatest"
)

// inputs is one server that gets bad input.
type inputs struct {
	t       *testing.T
	url     string
	written int // records that the server says it has taken
}

var sample = regexp.MustCompile(`(?m)^(logforge_records_(?:received|written|rejected|set_aside)_total|logforge_kafka_dead_letter_records_total|logforge_panics_total)(?:\{[^}]*\})? ([0-9.e+]+)$`)

// counts returns the metrics of records, each of all its labels.
func (in *inputs) counts() map[string]int {
	in.t.Helper()
	_, text := get(in.t, in.url+"/metrics")
	sums := map[string]int{}
	for _, m := range sample.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			in.t.Fatal(err)
		}
		sums[strings.TrimPrefix(m[1], "logforge_")] += int(n)
	}
	if sums["records_received_total"] != sums["records_written_total"]+sums["records_rejected_total"] {
		in.t.Errorf("received is not written + rejected: %v", sums)
	}
	return sums
}

func (in *inputs) send(w *way, encoding, body string) (status int, answer string) {
	in.t.Helper()
	req, err := http.NewRequest(http.MethodPost, in.url+w.target, strings.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	if w.kind != "" {
		req.Header.Set("Content-Type", w.kind)
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// neighbours sends each bad record between two good ones by each way: the two are
// stored, and of the third it is known what has become of it.
func (in *inputs) neighbours() {
	for i := range ways {
		w := &ways[i]
		before := in.counts()
		for name, bad := range badRecords {
			good := [2]string{}
			for k := range good {
				good[k] = fmt.Sprintf(`192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /neighbour/%d/%s/%d HTTP/1.1" 200 1 "-" "x"`, i, strings.ReplaceAll(name, " ", "-"), k)
			}
			status, answer := in.send(w, "", w.frame([]string{good[0], bad, good[1]}))
			after := in.counts()
			received, written := after["records_received_total"]-before["records_received_total"], after["records_written_total"]-before["records_written_total"]
			before = after
			// Where a record is expected, one may be an array of several, or of
			// none, or an action.
			several := name == "numbers" || name == "an empty array" || name == "an action"
			if status/100 != 2 || received != 3 && !several || written < 2 {
				in.t.Errorf("%s, %s: %d, %d records received, %d stored: %.300s", w.name, name, status, received, written, answer)
			}
		}
		in.written = before["records_written_total"]
	}
}

// bodies sends what is wrong as a whole by each way.
func (in *inputs) bodies() {
	for i := range ways {
		w := &ways[i]
		before := in.counts()
		for _, c := range wholeBodies {
			good := [2]string{}
			for k := range good {
				good[k] = fmt.Sprintf(`192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /neighbour/%d/%s/%d HTTP/1.1" 200 1 "-" "x"`, i, strings.ReplaceAll(c.name, " ", "_"), k)
			}
			if c.name == "gzip that nobody declares" && (w.compressed || strings.HasPrefix(w.target, "/logs")) {
				continue // the strict endpoint takes what is declared
			}
			status, answer := in.send(w, c.encoding, c.change(w, w.frame(good[:])))
			after := in.counts()
			written := after["records_written_total"] - before["records_written_total"]
			before = after
			right := false
			for _, s := range c.statuses {
				right = right || s == status
			}
			if !right || c.kept >= 0 && written != c.kept || status/100 == 4 && written > 0 {
				in.t.Errorf("%s, %s: %d, %d stored: %.300s", w.name, c.name, status, written, answer)
			}
			if c.kept < 0 && w.whole && status != 400 && !strings.HasPrefix(c.name, "without") {
				in.t.Errorf("%s, %s: %d %s", w.name, c.name, status, answer)
			}
		}
		in.written = before["records_written_total"]
	}
}

// files checks every line of the files and returns how many there are.
func (in *inputs) files(dir string) (n int) {
	in.t.Helper()
	eachLine(in.t, dir, func(name, line string) {
		n++
		if !json.Valid([]byte(line)) || !utf8.ValidString(line) {
			in.t.Errorf("%s: %.300q", name, line)
		}
	})
	return n
}

// peak returns the most memory that the process has had, in bytes.
func (c *child) peak() int {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		c.t.Skip(err)
	}
	m := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(text)
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		c.t.Fatal(err)
	}
	return n << 10
}

const mostMemory = 600 << 20

func TestServe_BadInputHarmsNoNeighbour(t *testing.T) {
	dir := t.TempDir()
	c, url := serving(t, dir, nil)
	in := &inputs{t: t, url: url}
	in.neighbours()
	in.bodies()
	if n := in.files(filepath.Join(dir, "logs")); n != in.written {
		t.Errorf("%d records are in the files, of %d", n, in.written)
	}
	if n := in.counts()["panics_total"]; n > 0 {
		t.Errorf("%d panics", n)
	}
	if n := c.peak(); n > mostMemory {
		t.Errorf("it has had %d MiB", n>>20)
	}
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
}

// Ensure the same for pipeline 2; and that what ingestion has taken the consumer
// stores, however it has grown: no dead letter comes from there.
func TestServe_Pipeline2BadInputHarmsNoNeighbour(t *testing.T) {
	broker := kafkatest.Shared(t)
	dir := t.TempDir()
	name := broker.Topic(t, 1)
	c, url := serving(t, dir, nil, "-version", "2", "-brokers", broker.Addr, "-topic", name, "-group", name)
	ready(t, url)
	in := &inputs{t: t, url: url}
	in.neighbours()
	in.bodies()
	waitFor(t, "all records are in the files", func() bool { return stored(t, filepath.Join(dir, "logs")) >= in.written })
	if n := in.files(filepath.Join(dir, "logs")); n != in.written {
		t.Errorf("%d records are in the files, of %d", n, in.written)
	}
	sums := in.counts()
	if sums["kafka_dead_letter_records_total"] > 0 || sums["panics_total"] > 0 {
		t.Errorf("%v", sums)
	}
	if n := c.peak(); n > mostMemory {
		t.Errorf("it has had %d MiB", n>>20)
	}
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
}
