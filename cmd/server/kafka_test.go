package main

// Pipeline 2 as a child process, against a real broker where there is one.

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/sink/kafka/kafkatest"
)

// post sends n records of one hour, named after name, and wants a 202.
func post(t *testing.T, url, name string, n int) {
	t.Helper()
	var body bytes.Buffer
	for i := range n {
		fmt.Fprintf(&body, `{"timestamp":"2026-02-09T15:00:00Z","path":"/%s/%d","userAgent":"test"}`+"\n", name, i)
	}
	resp, err := http.Post(url+"/logs", "application/x-ndjson", &body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("status %s", resp.Status)
	}
}

// stored counts the lines of all files below logsDir.
func stored(t *testing.T, logsDir string) int {
	t.Helper()
	n := 0
	eachLine(t, logsDir, func(_, line string) { n += strings.Count(line, "\n") })
	return n
}

// eachLine calls f with the lines of all hours' files below logsDir, and the files'
// names. Each line has its end, if it is whole.
func eachLine(t testing.TB, logsDir string, f func(file, line string)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(logsDir, "????-??-??", "??.log.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f(file, line)
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patient, what)
		}
	}
}

func ready(t *testing.T, url string) {
	t.Helper()
	waitFor(t, "ready", func() bool { status, _ := get(t, url+"/ready"); return status == 200 })
}

// Ensure that every role does its part and no other, that a batch goes from
// the one process through Kafka into the other's files, and that all of them
// stop cleanly.
func TestServe_RolesShareTheWorkAndStop(t *testing.T) {
	broker := kafkatest.Shared(t)
	dir := t.TempDir()
	v2 := []string{"-version", "2", "-brokers", broker.Addr, "-topic", broker.TopicName(t), "-group", broker.TopicName(t)}
	launch(t, dir, nil, append(v2, "topic")...).expect(0, "topic created")
	launch(t, dir, nil, append(v2, "topic")...).expect(0) // again, and nothing happens

	role := func(name string) (*child, string) {
		return serving(t, dir, []string{"LOGFORGE_KAFKA_ROLE=" + name},
			append(v2, "-logs-dir", name+"-logs", "-analytics-dir", name+"-analytics", "-aggregation-interval", "100ms")...)
	}
	ingest, in := role("ingest")
	consume, out := role("consume")
	ready(t, in)
	ready(t, out)
	post(t, in, "a", 100)
	post(t, in, "b", 50)
	waitFor(t, "150 records in the consumer's files", func() bool { return stored(t, filepath.Join(dir, "consume-logs")) == 150 })
	waitFor(t, "their summary", func() bool {
		status, body := get(t, out+"/analytics?hour=2026-02-09T15")
		return status == 200 && strings.Contains(body, `"/a/99"`) && strings.Contains(body, `"/b/49"`)
	})
	if status, _ := get(t, in+"/analytics?hour=2026-02-09T15"); status != http.StatusMisdirectedRequest {
		t.Errorf("the ingest role knows summaries: %d", status)
	}
	resp, err := http.Post(out+"/logs", "application/json", strings.NewReader(`{"timestamp":"2026-02-09T15:00:00Z","path":"/","userAgent":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("the consume role takes batches: %s", resp.Status)
	}

	for _, c := range []*child{ingest, consume} {
		c.signal(syscall.SIGTERM)
		c.expect(0, "stopped")
	}
	if n := stored(t, filepath.Join(dir, "ingest-logs")); n != 0 {
		t.Errorf("the ingest role wrote %d records into files", n)
	}
}

// Ensure that what was acknowledged before a stop is in the files of this
// process or the next, once.
func TestStop_Pipeline2LosesNothing(t *testing.T) {
	broker := kafkatest.Shared(t)
	dir := t.TempDir()
	name := broker.Topic(t, 4)
	v2 := []string{"-version", "2", "-brokers", broker.Addr, "-topic", name, "-group", name}
	c, url := serving(t, dir, nil, v2...)
	ready(t, url)
	const batches, records = 20, 50
	for i := range batches {
		post(t, url, fmt.Sprint("x", i), records)
	}
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")

	c, _ = serving(t, dir, nil, v2...)
	waitFor(t, "all records", func() bool { return stored(t, filepath.Join(dir, "logs")) >= batches*records })
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
	if n := stored(t, filepath.Join(dir, "logs")); n != batches*records {
		t.Errorf("%d records for %d acknowledged", n, batches*records)
	}
}

// Ensure that a process without a reachable Kafka starts, says why it is not
// ready, refuses batches for now, and stops.
func TestServe_Pipeline2WithoutKafkaSaysSo(t *testing.T) {
	c, url := serving(t, t.TempDir(), []string{"LOGFORGE_SERVER_WAIT_FOR_ROOM=100ms", "LOGFORGE_SERVER_REQUEST_TIMEOUT=500ms", "LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=10s"},
		"-version", "2", "-brokers", "127.0.0.1:1")
	waitFor(t, "the reason", func() bool {
		status, body := get(t, url+"/ready")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "kafka")
	})
	resp, err := http.Post(url+"/logs", "application/json", strings.NewReader(`{"timestamp":"2026-02-09T15:00:00Z","path":"/","userAgent":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	c.signal(syscall.SIGTERM)
	c.expect(0)
}

func TestReplay_SaysWhatItSent(t *testing.T) {
	broker := kafkatest.Shared(t)
	name := broker.Topic(t, 1)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dead"), 0o755); err != nil {
		t.Fatal(err)
	}
	v2 := []string{"-version", "2", "-brokers", broker.Addr, "-topic", name}
	launch(t, dir, nil, append(v2, "replay", "dead")...).expect(0, "records=0")
	launch(t, dir, nil, append(v2, "replay", "nowhere")...).expect(1, "nowhere")
}

// Ensure that an error which ends the consumer for good does not end ingestion:
// batches are taken on, /ready says so, and what has stopped behind it; and that
// the directory of one group is not used for another.
func TestServe_AConsumerThatHasStoppedForGoodDoesNotEndIngestion(t *testing.T) {
	broker := kafkatest.Shared(t)
	dir := t.TempDir()
	name := broker.Topic(t, 1)
	v2 := []string{"-version", "2", "-brokers", broker.Addr, "-topic", name, "-group", name}
	c, url := serving(t, dir, nil, v2...)
	ready(t, url)
	post(t, url, "a", 10)
	waitFor(t, "the records are stored", func() bool { return stored(t, filepath.Join(dir, "logs")) == 10 })
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")

	launch(t, dir, nil, append(v2, "-group", "other")...).expect(1, "belongs elsewhere", "Set kafka.groupID")

	// Retention removes what was never consumed.
	client := broker.Client(t)
	defer client.Close()
	ctx := t.Context()
	for range 5 {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: name, Value: []byte("{}")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteRecords(ctx, ends.Offsets()); err != nil {
		t.Fatal(err)
	}

	c, url = serving(t, dir, nil, v2...)
	waitFor(t, "/ready says what has stopped", func() bool {
		status, body := get(t, url+"/ready")
		return status == http.StatusOK && strings.HasPrefix(body, "ready\n") && strings.Contains(body, "were removed before they were consumed") && strings.Contains(body, "kafka.onGap")
	})
	post(t, url, "b", 10)
	if _, body := get(t, url+"/metrics"); !strings.Contains(body, "\nlogforge_kafka_consumer_stopped 1\n") || !strings.Contains(body, "\nlogforge_ready 1\n") {
		t.Error("the metrics do not say that the consumer has stopped and the server is ready")
	}
	c.signal(syscall.SIGTERM)
	c.expect(1, "gap in the topic")

	c, _ = serving(t, dir, []string{"LOGFORGE_KAFKA_ON_GAP=continue"}, v2...)
	waitFor(t, "what was taken meanwhile is stored", func() bool { return stored(t, filepath.Join(dir, "logs")) == 20 })
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
}
