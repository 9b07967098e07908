package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// poster sends batches of its own paths until it is refused, and remembers
// which were acknowledged.
func poster(url string, id int, acked *sync.Map, fifty func()) {
	for n := 0; ; n++ {
		var body strings.Builder
		for i := range 20 {
			fmt.Fprintf(&body, `{"timestamp":"2026-02-09T15:%02d:00Z","path":"/%d/%d/%d","userAgent":"test"}`+"\n", i, id, n, i)
		}
		resp, err := http.Post(url+"/logs", "application/x-ndjson", strings.NewReader(body.String()))
		if err != nil {
			return // refused connection, or closed: not acknowledged
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return
		}
		for i := range 20 {
			acked.Store(fmt.Sprintf("/%d/%d/%d", id, n, i), true)
		}
		if n == 50 {
			fifty()
		}
	}
}

// Ensure that after SIGTERM under load everything acknowledged is in the files,
// once, and that the summary was brought up to them.
func TestStop_SIGTERMUnderLoadLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	c, url := serving(t, dir, nil, "-aggregation-interval", "1h")
	var acked sync.Map
	var posters, warm sync.WaitGroup
	for id := range 8 {
		warm.Add(1)
		posters.Go(func() { poster(url, id, &acked, sync.OnceFunc(warm.Done)) })
	}
	warm.Wait()
	c.signal(syscall.SIGTERM)
	c.expect(0, "stopped")
	posters.Wait()

	stored := map[string]int{}
	file, err := os.Open(filepath.Join(dir, "logs/2026-02-09/15.log.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var record struct{ Path string }
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		stored[record.Path]++
	}
	count := 0
	acked.Range(func(path, _ any) bool {
		count++
		if n := stored[path.(string)]; n != 1 {
			t.Errorf("%s was acknowledged and is stored %d times", path, n)
		}
		return true
	})
	if count < 8*50*20 {
		t.Errorf("only %d records were acknowledged", count)
	}

	var summary struct{ RequestsPerPath map[string]int }
	text, err := os.ReadFile(filepath.Join(dir, "analytics/2026-02-09/summary_15.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &summary); err != nil {
		t.Fatal(err)
	}
	if len(summary.RequestsPerPath) != len(stored) {
		t.Errorf("the summary names %d paths, the file holds %d", len(summary.RequestsPerPath), len(stored))
	}
}

func TestStop_ThatTakesTooLongEndsAtOnce(t *testing.T) {
	c, _ := serving(t, t.TempDir(), []string{"LOGFORGE_SERVER_DRAIN_DELAY=299ms", "LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=300ms", "LOGFORGE_SERVER_READ_TIMEOUT=1h"})
	c.signal(syscall.SIGTERM)
	// Whether the rest fits into the last millisecond is chance; that it ends is not.
	if status := c.exit(); status != 0 && status != 1 {
		t.Errorf("exit status %d", status)
	}
}

// Ensure that a client that stops in the middle of its body does not keep the
// process alive.
func TestStop_StalledClientDoesNotHoldUpTheStop(t *testing.T) {
	c, url := serving(t, t.TempDir(), []string{"LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=500ms", "LOGFORGE_SERVER_READ_TIMEOUT=1h"})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[{"); err != nil {
		t.Fatal(err)
	}
	get(t, url+"/health") // the stalled one was accepted before this one
	c.signal(syscall.SIGTERM)
	c.exit()
}

func TestStop_DrainingIsSaidBeforeTheListenerCloses(t *testing.T) {
	c, url := serving(t, t.TempDir(), []string{"LOGFORGE_SERVER_DRAIN_DELAY=1h", "LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=2h"})
	c.signal(syscall.SIGTERM)
	c.find(`msg=(stopping)`)
	for end := time.Now().Add(patient); ; time.Sleep(5 * time.Millisecond) {
		status, body := get(t, url+"/ready")
		if status == http.StatusServiceUnavailable && strings.Contains(body, "draining") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, _ := get(t, url+"/health"); status != 200 {
		t.Errorf("a draining process is not alive: %d", status)
	}
}

func TestProfile_CaptureWritesThreeProfilesThatPprofReads(t *testing.T) {
	dir := t.TempDir()
	c, url := serving(t, dir, []string{"PROFILE_CAPTURE=1", "PROFILE_NAME=x", "PROFILE_DIR=out"})
	get(t, url+"/metrics")
	c.signal(syscall.SIGTERM)
	c.expect(0)
	for kind, shows := range map[string]string{"cpu": "Type: cpu", "heap": "Type: inuse_space", "goroutine": "Type: goroutine"} {
		out, err := exec.Command("go", "tool", "pprof", "-top", filepath.Join(dir, "out", kind+"_x.prof")).CombinedOutput()
		if err != nil || !strings.Contains(string(out), shows) {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
	}
}

func TestProfile_EnabledServesPprof(t *testing.T) {
	c, _ := serving(t, t.TempDir(), []string{"PROFILE_ENABLED=1", "PROFILE_ADDR=127.0.0.1:0"})
	url := c.find(`url=(http://\S+)`)
	if status, body := get(t, url+"goroutine?debug=1"); status != 200 || !strings.Contains(body, "cmd/server.serve") {
		t.Errorf("%d %s", status, body)
	}
	// It does not answer on the service's port.
	if status, _ := get(t, "http://"+c.find(`listening addr=(\S+)`)+"/debug/pprof/"); status != 404 {
		t.Errorf("the service answers %d for /debug/pprof/", status)
	}
}

// Ensure that a signal that comes as soon as the process listens is no race
// between starting and stopping.
func TestStop_SIGTERMRightAfterTheStart(t *testing.T) {
	dir := t.TempDir()
	for range 20 {
		c, _ := serving(t, dir, nil)
		c.signal(syscall.SIGTERM)
		c.expect(0, "stopped")
	}
}
