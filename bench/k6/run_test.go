// Package k6 holds the load scripts; here is what run.sh does around k6.
package k6

import (
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stub stands for k6: it posts as many batches of two records as smoke has
// requests, and writes the figures that ingest.js writes.
const stub = `#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in URL=*) url=${1#URL=} ;; RUN=*) run=${1#RUN=} ;; OUT=*) out=${1#OUT=} ;; esac
	shift
done
n=0
while [ $n -lt 10 ]; do
	line='{"timestamp":"2026-02-09T15:00:00Z","path":"/?run='$run-$n-'","userAgent":"k6"}'
	curl -fsS -o /dev/null -d "[$line,$line]" "$url/logs" || exit 1
	n=$((n + 1))
done
printf '{\n  "batch": 2,\n  "acknowledged": 20,\n  "unanswered": 0\n}\n' >"$out"
`

type setup struct {
	t           *testing.T
	dir, server string
	url         string
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("curl is missing")
		}
		t.Skip("curl is missing")
	}
	s := &setup{t: t, dir: t.TempDir(), url: "http://127.0.0.1:" + freePort(t)}
	if err := os.WriteFile(filepath.Join(s.dir, "k6"), []byte(stub), 0o755); err != nil {
		t.Fatal(err)
	}
	s.server = filepath.Join(s.dir, "server")
	if out, err := exec.Command("go", "build", "-o", s.server, "../../cmd/server").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return s
}

// run runs the script and returns what it says.
func (s *setup) run(env ...string) string {
	s.t.Helper()
	cmd := exec.Command("./run.sh", "v1")
	cmd.Env = append(os.Environ(), append([]string{"K6=" + filepath.Join(s.dir, "k6"), "SERVER=" + s.server,
		"OUT_DIR=" + filepath.Join(s.dir, "out"), "V1_URL=" + s.url, "BATCH=2"}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func (s *setup) expect(out string, says ...string) {
	s.t.Helper()
	for _, want := range says {
		if !strings.Contains(out, want) {
			s.t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(10000))
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = ln.Close()
			return port
		}
	}
	t.Fatal("no free port between 10000 and 20000")
	return ""
}

func TestRun_StartsAServerOfItsOwnWhereNoneAnswersAndStopsIt(t *testing.T) {
	s := newSetup(t)
	out := s.run()
	s.expect(out, "No server answers at "+s.url, "about 400 records", "stopped again", "smoke test", "20 records in 10 batches, 10 of them whole")
	if _, err := os.Stat(filepath.Join(s.dir, "out/v1-scratch")); !os.IsNotExist(err) {
		t.Errorf("the scratch directory is left behind: %v", err)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err == nil {
		conn.Close()
		t.Error("the server still runs")
	}
	s.expect(s.run("SCENARIO=constant", "RATE=100", "DURATION=1m30s"), "about 18000 records", "This is a measurement")
}

func TestRun_SaysBeforehandWhatItLeavesWhereAServerAnswers(t *testing.T) {
	s := newSetup(t)
	logs := filepath.Join(s.dir, "logs")
	server := exec.Command(s.server, "-addr", strings.TrimPrefix(s.url, "http://"), "-logs-dir", logs, "-analytics-dir", filepath.Join(s.dir, "analytics"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err == nil {
			conn.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the server does not start")
		}
	}
	out := s.run("LOGS_DIR=" + logs)
	s.expect(out, "A server answers at "+s.url, "about 400 records of this run will stay in its directories ("+logs, "20 records in 10 batches")
	if strings.Index(out, "will stay") > strings.Index(out, "in the files of") {
		t.Error("it is said afterwards")
	}
	if _, err := os.Stat(filepath.Join(logs, "2026-02-09/15.log.json")); err != nil {
		t.Error(err)
	}
}
