package docs

// The commands of the front page, run.

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// within bounds how long a command of the front page may take to print what the
// page shows.
const within = 30 * time.Second

// Ensure that each session on the front page prints what the page shows, in
// order, against a server that was started with make run. Three dots stand
// for the rest of a line.
func TestREADME_SessionsPrintWhatThePageShows(t *testing.T) {
	dir := t.TempDir()
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(absolute, "bench"), filepath.Join(dir, "bench")); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	makeRun(t, "run", "LOGFORGE_SERVER_ADDR="+addr, "LOGFORGE_AGGREGATION_INTERVAL=100ms",
		"LOGFORGE_STORAGE_LOGS_DIR="+filepath.Join(dir, "logs"), "LOGFORGE_STORAGE_ANALYTICS_DIR="+filepath.Join(dir, "analytics"))
	eventually(t, "the server is ready", func() bool {
		resp, err := http.Get("http://" + addr + "/ready")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})

	blocks, _ := read(t, filepath.Join(root, "README.md"))
	sessions := 0
	for _, b := range blocks {
		if b.info != "console" {
			continue
		}
		sessions++
		for _, c := range commands(t, b) {
			text := strings.ReplaceAll(c.command, "localhost:8082", addr)
			var got string
			for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
				if got = shell(t, dir, text); shows(got, c.want) {
					break
				}
				if time.Now().After(end) || strings.Contains(text, " -d") || strings.Contains(text, "--data") {
					t.Fatalf("README.md:%d: %s\nprints\n%s\nbut the page shows\n%s", c.line, c.command, got, c.want)
				}
			}
		}
	}
	if sessions == 0 {
		t.Error("the front page has no session")
	}
}

type command struct {
	line          int
	command, want string
}

// commands splits a session at its prompts.
func commands(t *testing.T, b block) (found []command) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			found = append(found, command{line: b.line + i, command: text})
			continue
		}
		if len(found) == 0 {
			t.Fatalf("%s:%d: a session begins with a prompt", b.file, b.line)
		}
		found[len(found)-1].want += line + "\n"
	}
	return found
}

// shows reports whether got is want, where a line of want that ends in three dots
// stands for all lines that begin like it.
func shows(got, want string) bool {
	gotLines, wantLines := strings.Split(strings.TrimRight(got, "\n"), "\n"), strings.Split(strings.TrimRight(want, "\n"), "\n")
	if len(gotLines) != len(wantLines) {
		return false
	}
	for i, line := range wantLines {
		head, open := strings.CutSuffix(line, "...")
		if open && !strings.HasPrefix(gotLines[i], head) || !open && gotLines[i] != line {
			return false
		}
	}
	return true
}

func shell(t *testing.T, dir, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return string(out)
}

// makeRun starts a make target that runs until it is told to stop, with more
// variables, and tells it at the end of the test.
func makeRun(t *testing.T, target string, env ...string) {
	t.Helper()
	cmd := exec.Command("make", "-s", target)
	cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make does not pass signals on
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait() // make says that it was interrupted
		if t.Failed() {
			t.Logf("make %s:\n%s", target, log.String())
		}
	})
}

// eventually waits as long as a first build may take.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// freeAddr returns an address whose port is free and below the range of outgoing
// connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// Ensure that pipeline 2 runs with the page's commands, on other ports and
// directories than the page's so that nothing that runs here is in the way.
func TestREADME_Version2RunsAsThePageSays(t *testing.T) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("%s is missing: without it there is no Kafka to run", program)
		}
	}
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	env := []string{
		"KAFKA_PORT=" + port, "KAFKA_DIR=" + filepath.Join(dir, "kafka"),
		"LOGFORGE_KAFKA_BROKERS=127.0.0.1:" + port, "LOGFORGE_SERVER_ADDR=" + addr,
		"LOGFORGE_STORAGE_LOGS_DIR=" + filepath.Join(dir, "logs"), "LOGFORGE_STORAGE_ANALYTICS_DIR=" + filepath.Join(dir, "analytics"),
	}
	target := func(name string) *exec.Cmd {
		cmd := exec.Command("make", "-s", name)
		cmd.Dir, cmd.Env = root, append(os.Environ(), env...)
		return cmd
	}
	t.Cleanup(func() {
		if out, err := target("kafka-down").CombinedOutput(); err != nil {
			t.Errorf("make kafka-down: %v\n%s", err, out)
		}
	})
	if out, err := target("kafka-up").CombinedOutput(); err != nil {
		t.Fatalf("make kafka-up: %v\n%s", err, out)
	}
	makeRun(t, "run-v2", env...)
	const line = `203.0.113.9 - - [09/Feb/2026:15:23:00 +0000] "GET /home HTTP/1.1" 200 5 "-" "curl/8"` + "\n"
	file := filepath.Join(dir, "logs/2026-02-09/15.log.json")
	sent := false
	eventually(t, "the line is in "+file, func() bool {
		if !sent {
			if resp, err := http.Post("http://"+addr+"/ingest", "text/plain", strings.NewReader(line)); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				sent = resp.StatusCode == http.StatusOK
			}
		}
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), `"path":"/home"`)
	})
}
