package main

// Signals and the log's reader, with the real command and real pipes.

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSignal_SecondOneEndsAtOnce(t *testing.T) {
	c, _ := serving(t, t.TempDir(), []string{"LOGFORGE_SERVER_DRAIN_DELAY=1h", "LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=2h"})
	c.signal(syscall.SIGTERM)
	c.find(`msg=(stopping)`)
	c.signal(syscall.SIGTERM)
	c.expect(1, "ending at once")
}

// Ensure that a batch that was acknowledged as enqueued outlives a stop that
// nobody waits for: it is in the dead-letter directory, with the command that
// sends it again, which can be pasted as it is.
func TestSignal_SecondOneKeepsWhatIsEnqueued(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "it's mine.yaml")
	if err := os.WriteFile(yaml, []byte("pipeline: 2\ningestion: {ack: enqueued}\nserver: {drainDelay: 1h, shutdownTimeout: 2h}\nkafka: {role: ingest}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, url := serving(t, dir, []string{"LOGFORGE_KAFKA_TOPIC=t1"}, "-config", yaml, "-brokers", "127.0.0.1:1")
	post(t, url, "a", 100)
	c.signal(syscall.SIGTERM)
	c.find(`msg=(stopping)`)
	c.signal(syscall.SIGTERM)
	c.expect(1, "ending at once", "records kept as dead letters", "records=100")
	files, err := filepath.Glob(filepath.Join(dir, "logs/.deadletter/*.ndjson"))
	if err != nil || len(files) != 1 {
		t.Fatalf("dead letters: %v %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || bytes.Count(text, []byte("\n")) != 100 {
		t.Errorf("%d lines, %v", bytes.Count(text, []byte("\n")), err)
	}

	pasted, err := strconv.Unquote(`"` + c.find(`replay with: (.*?)" records`) + `"`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" replay ", "-config ", "mine.yaml", "-brokers 127.0.0.1:1", "-topic t1", filepath.Dir(files[0])} {
		if !strings.Contains(pasted, want) {
			t.Errorf("%s lacks %s", pasted, want)
		}
	}
	// A shell understands it, from whatever directory: it goes to a broker that
	// is not there, by the configuration that was in use.
	again := exec.Command("/bin/sh", "-c", "exec "+pasted+" -check-config")
	again.Dir, again.Env = "/", []string{beServer + "=1"}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "topic: t1") || !strings.Contains(string(out), "ack: enqueued") {
		t.Errorf("%s: %v\n%s", pasted, err, out)
	}
}

// Ensure the same where the broker has taken requests until a moment ago, and now
// answers none: what was sent and not acknowledged is kept, too.
func TestSignal_SecondOneKeepsWhatABrokerThatHangsHasNotTaken(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	dir := t.TempDir()
	c, url := serving(t, dir, []string{"LOGFORGE_KAFKA_ROLE=ingest", "LOGFORGE_INGESTION_ACK=enqueued", "LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=1h"},
		"-pipeline", "2", "-brokers", cluster.ListenAddrs()[0], "-topic", "t1")
	ready(t, url)
	post(t, url, "a", 10)
	waitFor(t, "the first batch is in the topic", func() bool {
		_, text := get(t, url+"/metrics")
		return strings.Contains(text, "logforge_kafka_produced_lines_total 10\n")
	})

	hangs := make(chan struct{})
	var once sync.Once
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() {
			once.Do(func() { close(hangs) })
			<-ended
		})
		return nil, nil, false
	})
	post(t, url, "b", 100)
	<-hangs
	c.signal(syscall.SIGTERM)
	c.find(`msg=(stopping)`)
	begin := time.Now()
	c.signal(syscall.SIGTERM)
	c.expect(1, "ending at once", "records kept as dead letters", "records=100")
	if took := time.Since(begin); took > hurryTimeout+5*time.Second {
		t.Errorf("it ends %v after the second signal", took)
	}
}

func TestSignal_SIGHUPPutsTheLevelIntoEffectAndNamesWhatNeedsARestart(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "c.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(yaml, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log: {level: info}\n")
	c, url := serving(t, dir, nil, "-config", yaml)
	post(t, url, "a", 10)

	write("log: {level: debug}\naggregation: {interval: 1h}\n")
	c.signal(syscall.SIGHUP)
	if got := c.find(`msg=reloaded changed=(\S+)`); got != "log.level" {
		t.Errorf("changed %s", got)
	}
	if got := c.find(`only after a restart" settings=(\S+)`); got != "aggregation.interval" {
		t.Errorf("needs a restart: %s", got)
	}

	// An invalid configuration changes nothing, and is named.
	c.stderr.take()
	write("log: {level: loud}\nserver: {adr: x}\n")
	c.signal(syscall.SIGHUP)
	c.find(`msg="(reload refused)`)
	c.find(`(did you mean server.addr)`)
	post(t, url, "b", 10)
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
}

// Ensure that keys and their files, and certificates, are in effect after a
// SIGHUP, that no key is logged, and that a configuration which is refused
// leaves those in effect that were.
func TestSignal_SIGHUPPutsKeysAndCertificatesIntoEffect(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "a")
	keys, yaml := filepath.Join(dir, "keys"), filepath.Join(dir, "c.yaml")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keys, "alice: hunter1\n")
	write(yaml, "auth: {keysFile: "+keys+"}\nserver: {tls: {certFile: "+cert+", keyFile: "+key+"}}\n")
	c, url := serving(t, dir, nil, "-config", yaml)
	addr := strings.TrimPrefix(url, "http://")
	seen := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].DNSNames[1]
	}
	answers := func(want int, value string) {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		req, err := http.NewRequest("POST", "https://"+addr+"/logs", strings.NewReader(`{"timestamp":"2026-02-09T15:00:00Z","path":"/","userAgent":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", value)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("key %s: %s", value, resp.Status)
		}
	}
	answers(202, "hunter1")
	answers(401, "hunter2")

	other, otherKey := certificate(t, t.TempDir(), "b")
	for from, to := range map[string]string{other: cert, otherKey: key} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, string(text))
	}
	write(keys, "bob: hunter2\n")
	c.signal(syscall.SIGHUP)
	c.find(`(msg=reloaded changed=auth.keys .*names=bob)`)
	answers(401, "hunter1")
	answers(202, "hunter2")
	if got := seen(); got != "b" {
		t.Errorf("the certificate is that of %s", got)
	}

	// A file that is just being written does not let anybody in.
	c.stderr.take()
	text, err := os.ReadFile(yaml)
	if err != nil {
		t.Fatal(err)
	}
	write(yaml, "server: {tls: {certFile: "+cert+", keyFile: "+key+"}}\n")
	c.signal(syscall.SIGHUP)
	c.find(`(would let everybody in)`)
	answers(401, "nobody")
	write(yaml, string(text))

	c.stderr.take()
	write(keys, "")
	c.signal(syscall.SIGHUP)
	c.find(`msg="(reload refused)`)
	answers(202, "hunter2")
	write(keys, "bob: hunter2\n")
	write(key, "nonsense")
	c.stderr.take()
	c.signal(syscall.SIGHUP)
	c.find(`msg="(reload refused)`)
	answers(202, "hunter2")
	if all := c.stderr.String(); strings.Contains(all, "hunter") {
		t.Errorf("a key is in the log: %s", all)
	}
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
}

func TestSignal_OthersDoNotEndTheService(t *testing.T) {
	c, url := serving(t, t.TempDir(), nil)
	for _, s := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGCHLD, syscall.SIGURG, syscall.SIGIO, syscall.SIGVTALRM, syscall.SIGPROF, syscall.SIGXFSZ, syscall.SIGPWR, 40} {
		c.signal(s)
		get(t, url+"/health")
	}
	c.signal(syscall.SIGUSR1)
	c.find(`(goroutine \d+ \[)`)
	post(t, url, "a", 10)
	c.signal(syscall.SIGQUIT) // with the stacks, and then as SIGTERM
	c.find(`msg=stopping signal=(quit)`)
	c.expect(0, "stopped")
}

// pipeLog starts the command with a pipe as its log. The address comes from a
// free port, as the log cannot be read for it.
func pipeLog(t *testing.T, dir string, read bool, env []string, args ...string) (c *child, url string, reader *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	c = launchTo(t, dir, writer, env, append([]string{"-addr", addr}, args...)...)
	_ = writer.Close()
	t.Cleanup(func() { _ = reader.Close() })
	if !read {
		_ = reader.Close()
	}
	url = "http://" + addr
	waitFor(t, "the server answers", func() bool { return status(url+"/ready") == 200 })
	return c, url, reader
}

func TestLog_WhoseReaderHasGoneDoesNotEndTheService(t *testing.T) {
	dir := t.TempDir()
	c, url, _ := pipeLog(t, dir, false, []string{"LOGFORGE_LOG_THROTTLE=0"})
	c.signal(syscall.SIGUSR1) // which writes to the log
	waitFor(t, "the dropped lines are counted", func() bool { return dropped(t, url) > 0 })
	post(t, url, "a", 10)
	c.signal(syscall.SIGTERM)
	if got := c.exit(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	if n := stored(t, filepath.Join(dir, "logs")); n != 10 {
		t.Errorf("%d records", n)
	}
}

func TestLog_WhoseReaderIsStuckHoldsUpNeitherBatchesNorTheStop(t *testing.T) {
	dir := t.TempDir()
	c, url, reader := pipeLog(t, dir, true, []string{"LOGFORGE_LOG_THROTTLE=0", "LOGFORGE_LOG_LEVEL=debug"})
	// Each writes some kilobytes; the pipe holds 64 KiB, the queue 1 MiB.
	waitFor(t, "the dropped lines are counted", func() bool {
		for range 50 {
			c.signal(syscall.SIGUSR1)
		}
		return dropped(t, url) > 0
	})
	post(t, url, "a", 10)
	begin := time.Now()
	c.signal(syscall.SIGTERM)
	if got := c.exit(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if n := stored(t, filepath.Join(dir, "logs")); n != 10 {
		t.Errorf("%d records", n)
	}
	text, err := io.ReadAll(reader)
	if err != nil || !bytes.Contains(text, []byte("listening")) {
		t.Errorf("the pipe holds %d bytes, %v", len(text), err)
	}
}

// Ensure that what was logged last is read, however the process ends.
func TestLog_IsWrittenBeforeTheEnd(t *testing.T) {
	for range 10 {
		launch(t, t.TempDir(), nil, "-addr", "192.0.2.1:1").expect(1, "this machine does not have that address")
	}
}

func dropped(t *testing.T, url string) int {
	t.Helper()
	_, text := get(t, url+"/metrics")
	return metricOf(t, text, "logforge_log_dropped_lines_total")
}
