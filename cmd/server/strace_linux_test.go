package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// strace makes system calls of a running server fail, or wait, and returns how
// to end that. Calls of files below the logs directory dir are meant, if there is
// one.
func (c *child) strace(dir string, inject ...string) (end func()) {
	c.t.Helper()
	return c.straceAt(logPaths(dir), inject...)
}

// logPaths returns what a server makes below a logs directory in two days.
func logPaths(dir string) (paths []string) {
	if dir == "" {
		return nil
	}
	for _, name := range []string{"", "2026-02-09", "2026-02-10", ".journal", "..journal.tmp", ".probe", "2026-02-09/.probe", "2026-02-10/.probe"} {
		paths = append(paths, filepath.Join(dir, name))
	}
	for hour := range 24 {
		for _, day := range []string{"2026-02-09", "2026-02-10"} {
			paths = append(paths, filepath.Join(dir, day, fmt.Sprintf("%02d.log.json", hour)))
		}
	}
	return paths
}

// straceAt is strace for calls of the files at paths; of any without paths.
func (c *child) straceAt(paths []string, inject ...string) (end func()) {
	c.t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			c.t.Fatal("strace is missing: .ci/run installs it")
		}
		c.t.Skip("strace is missing (apt-get install strace)")
	}
	c.trace = filepath.Join(c.t.TempDir(), "trace")
	args := []string{"-f", "-p", strconv.Itoa(c.cmd.Process.Pid), "-o", c.trace}
	for _, i := range inject {
		args = append(args, "-e", "inject="+i)
	}
	for _, p := range paths {
		args = append(args, "-P", p)
	}
	var said buffer
	s := exec.Command(path, args...)
	s.Stderr = &said
	if err := s.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = s.Wait() // it is ended by a signal
		close(done)
	}()
	end = func() {
		_ = s.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(patient):
			c.t.Error("strace does not end")
		}
	}
	for start := time.Now(); !strings.Contains(said.String(), "attached"); time.Sleep(time.Millisecond) {
		select {
		case <-done:
			if os.Getenv("CI") == "true" {
				c.t.Fatalf("strace cannot attach: %s", said.String())
			}
			c.t.Skipf("strace cannot attach: %s", said.String())
		default:
		}
		if time.Since(start) > patient {
			c.t.Fatal("strace does not attach")
		}
	}
	return end
}

// postAt sends one record and returns the status, and whether it says when to come
// again; 0 when there is no answer.
func postAt(base, query, at string) (status int, retry bool) {
	body := fmt.Sprintf(`{"timestamp":%q,"path":"/","userAgent":"a"}`, at)
	resp, err := http.Post(base+"/logs"+query, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, false
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Retry-After") != ""
}

func TestServer_ASystemCallThatFailsIs503UntilItWorksAgain(t *testing.T) {
	dir := t.TempDir()
	c, base := serving(t, dir, []string{"LOGFORGE_SERVER_REQUEST_TIMEOUT=1s"})
	logs := filepath.Join(dir, "logs")
	accepted := 0
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(patient); !ok(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	for i, f := range []struct {
		what   string
		inject []string
		day    string // of the record: the directory of 02-10 is not there yet
	}{
		{"write, EIO", []string{"write,writev:error=EIO"}, "09"},
		{"write, ENOSPC, and what is left cannot be cut off", []string{"write,writev:error=ENOSPC:when=2+", "ftruncate:error=EIO"}, "09"},
		{"write, EDQUOT", []string{"write,writev:error=EDQUOT"}, "09"},
		{"open, EACCES", []string{"openat:error=EACCES"}, "09"},
		{"open, EMFILE", []string{"openat:error=EMFILE"}, "09"},
		{"open, ENOENT", []string{"openat:error=ENOENT"}, "09"},
		{"mkdir, EROFS", []string{"mkdirat:error=EROFS"}, "10"},
	} {
		at := fmt.Sprintf("2026-02-%sT%02d:00:00Z", f.day, i+1)
		end := c.strace(logs, f.inject...)
		status, retry := postAt(base, "?ack=synced", at)
		if status != 503 || !retry {
			t.Errorf("%s: %d, Retry-After %v", f.what, status, retry)
		}
		until(f.what+": /ready does not say so", func() bool { s, _ := get(t, base+"/ready"); return s == 503 })
		end()
		until(f.what+": does not recover", func() bool { s, _ := postAt(base, "?ack=synced", at); return s == 202 })
		accepted++
		until(f.what+": /ready does not recover", func() bool { s, _ := get(t, base+"/ready"); return s == 200 })
	}

	// No descriptors to accept with: clients wait, and nothing ends.
	end := c.strace("", "accept4:error=EMFILE:when=1..50")
	until("accept, EMFILE", func() bool { s, _ := postAt(base, "", "2026-02-09T20:00:00Z"); return s == 202 })
	accepted++
	end()

	// A disk that takes its time: in time for the client, and no acknowledgement.
	end = c.strace(logs, "fdatasync:delay_enter=4s")
	began := time.Now()
	if status, retry := postAt(base, "?ack=synced", "2026-02-09T21:00:00Z"); status != 503 || !retry {
		t.Errorf("the disk hangs: %d", status)
	}
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("the disk hangs, and the answer took %v", took)
	}
	end()

	lines := 0
	eachLine(t, logs, func(name, l string) {
		if lines++; !strings.HasPrefix(l, `{"timestamp":"2026-02-`) || !strings.HasSuffix(l, "}\n") {
			t.Errorf("%s holds %q", name, l)
		}
	})
	if lines != accepted && lines != accepted+1 {
		t.Errorf("%d lines, %d were accepted and one has an unknown fate", lines, accepted)
	}

	// A failed sync is final.
	end = c.strace(logs, "fdatasync:error=EIO")
	if status, _ := postAt(base, "?ack=synced", "2026-02-09T22:00:00Z"); status == 202 {
		t.Error("a failed sync is acknowledged")
	}
	c.expect(1, "restart needed")
	end()
}
