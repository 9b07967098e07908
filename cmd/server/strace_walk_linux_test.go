package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

var walkAll = flag.Bool("strace.all", false, "every errno at every system call; without it those that matter most")

// walkCalls are the system calls with which the server reaches its files, and
// walkErrors what each of them is made to fail with.
var (
	walkCalls  = []string{"openat", "write", "writev", "pread64", "lseek", "fdatasync", "fsync", "ftruncate", "renameat", "mkdirat", "unlinkat", "fstat", "newfstatat", "close", "getdents64", "flock", "sync_file_range", "read", "fcntl"}
	walkErrors = []string{"EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EFBIG", "EINVAL"}
	walkWhen   = []string{"1", "2", "3+2", "1+"}
)

// walkFirst is the part that make test runs.
var walkFirst = []walkCase{
	{"write", "EIO", "2"}, {"write", "EDQUOT", "1+"}, {"openat", "ENFILE", "1+"}, {"openat", "ENOMEM", "3+2"},
	{"fstat", "ENOENT", "1+"}, {"close", "EIO", "1+"}, {"renameat", "EROFS", "1+"}, {"fsync", "EIO", "1"},
	{"lseek", "EIO", "1"}, {"unlinkat", "EIO", "1+"}, {"getdents64", "EIO", "1+"}, {"pread64", "EIO", "1+"},
}

// walkCase is one system call, the error that it fails with, and which of its
// calls do, as strace counts them.
type walkCase struct{ call, errno, when string }

// TestServer_AnyErrorOfAnySystemCallLosesNothing makes the system calls of the real
// program fail, one after another, while records arrive. What was acknowledged is in
// the files once; what was refused at most once; no answer but 202 and 503; the
// server is ready again, with every summary right, without help, unless a sync has
// failed: then it ends with status 1, and the next process goes on.
func TestServer_AnyErrorOfAnySystemCallLosesNothing(t *testing.T) {
	cases := walkFirst
	if *walkAll {
		cases = nil
		for _, call := range walkCalls {
			for _, errno := range walkErrors {
				for _, when := range walkWhen {
					cases = append(cases, walkCase{call, errno, when})
				}
			}
		}
	}
	for _, c := range cases {
		t.Run(c.call+"/"+c.errno+"/"+c.when, func(t *testing.T) {
			t.Parallel()
			newWalk(t).run(c)
		})
	}
}

type walk struct {
	t      *testing.T
	dir    string
	c      *child
	base   string
	client *http.Client
	n      int
	sent   map[string]int // status by path
}

func newWalk(t *testing.T) *walk {
	w := &walk{t: t, dir: t.TempDir(), client: &http.Client{Timeout: patient, Transport: &http.Transport{DisableKeepAlives: true}}, sent: map[string]int{}}
	w.start()
	return w
}

func (w *walk) start() {
	w.c, w.base = serving(w.t, w.dir, []string{
		"LOGFORGE_AGGREGATION_INTERVAL=100ms", "LOGFORGE_STORAGE_SYNC_INTERVAL=150ms", "LOGFORGE_SERVER_REQUEST_TIMEOUT=5s",
		"LOGFORGE_STORAGE_MAX_OPEN_FILES=3",
	})
}

// post sends one record and returns the status; 0 without an answer.
func (w *walk) post(hour int, ack string) int {
	w.n++
	path := fmt.Sprintf("/%d", w.n)
	body := fmt.Sprintf(`{"timestamp":"2026-02-09T%02d:00:00Z","path":%q,"userAgent":"a"}`, hour, path)
	resp, err := w.client.Post(w.base+"/logs?ack="+ack, "application/json", strings.NewReader(body))
	if err != nil {
		w.sent[path] = 0
		return 0
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	w.sent[path] = resp.StatusCode
	if resp.StatusCode != 202 && (resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "") {
		w.t.Errorf("answered %d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), text)
	}
	return resp.StatusCode
}

func (w *walk) get(path string) (int, string) {
	resp, err := w.client.Get(w.base + path)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (w *walk) ended() bool {
	select {
	case <-w.c.done:
		return true
	default:
		return false
	}
}

func (w *walk) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patient); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) || w.ended() {
			w.t.Fatalf("%s (ended: %v)", what, w.ended())
		}
	}
}

func (w *walk) run(c walkCase) {
	t := w.t
	for hour := 1; hour <= 2; hour++ {
		if s := w.post(hour, "synced"); s != 202 {
			t.Fatalf("at first: %d", s)
		}
	}
	w.until("the first summaries", func() bool { s, _ := w.get("/analytics?hour=2026-02-09T02"); return s == 200 })

	end := w.c.straceAt(append(logPaths(filepath.Join(w.dir, "logs")), summaryPaths(filepath.Join(w.dir, "analytics"))...),
		fmt.Sprintf("%s:error=%s:when=%s", c.call, c.errno, c.when))
	w.during()
	end()
	if trace, err := os.ReadFile(w.c.trace); err != nil || !strings.Contains(string(trace), "(INJECTED)") {
		t.Logf("no call failed: %v", err) // the server does not make it
	}
	if w.ended() {
		if code := w.c.cmd.ProcessState.ExitCode(); code != 1 || !regexp.MustCompile(`sync|write anew`).MatchString(w.c.stderr.String()) || c.call != "fsync" && c.call != "fdatasync" {
			t.Errorf("it ended with status %d", code)
		}
		w.start()
	}
	for hour := 1; hour <= 9; hour++ {
		w.until(fmt.Sprintf("hour %d does not recover", hour), func() bool { return w.post(hour, "synced") == 202 })
	}
	w.until("/ready does not recover", func() bool { s, text := w.get("/ready"); return s == 200 && text == "ready\n" })
	lines := w.lines()
	w.summaries(lines)
	w.c.signal(syscall.SIGTERM)
	if code := w.c.exit(); code != 0 {
		t.Errorf("stopped with status %d", code)
	}
	w.start()
	if again := w.lines(); fmt.Sprint(again) != fmt.Sprint(lines) {
		t.Errorf("after a restart the files hold %v, before %v", again, lines)
	}
	w.summaries(lines)
}

// during sends records while calls fail, and looks whether /ready says so.
func (w *walk) during() {
	refused := 0
	for begin, i := time.Now(), 0; time.Since(begin) < 2*time.Second && !w.ended(); i++ {
		hour := []int{1, 3, 2, 4, 5, 1, 6, 7, 8}[i%9]
		status := w.post(hour, []string{"synced", "written"}[i%2])
		if status == 503 {
			refused++
		} else {
			refused = 0
		}
		_, _ = w.get("/analytics?hour=2026-02-09T01")
		if code, text := w.get("/ready"); refused > 12 && code == 200 && text == "ready\n" && w.post(hour, "written") == 503 {
			w.t.Errorf("ready, and %d records in succession were refused", refused)
			refused = 0
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lines returns how many lines each hour's file holds, and compares them with what
// was answered.
func (w *walk) lines() map[string]int {
	w.t.Helper()
	seen, hours := map[string]int{}, map[string]int{}
	eachLine(w.t, filepath.Join(w.dir, "logs"), func(name, l string) {
		var record struct{ Path string }
		if err := json.Unmarshal([]byte(l), &record); err != nil || !strings.HasSuffix(l, "\n") {
			w.t.Errorf("%s holds %q", name, l)
		}
		seen[record.Path]++
		hours[strings.TrimSuffix(filepath.Base(name), ".log.json")]++
	})
	for path, status := range w.sent {
		if seen[path] > 1 || seen[path] == 0 && status == 202 {
			w.t.Errorf("record %s was answered %d and is there %d times", path, status, seen[path])
		}
	}
	return hours
}

// summaries waits until each hour's summary counts the lines of its file.
func (w *walk) summaries(lines map[string]int) {
	w.t.Helper()
	for hour, n := range lines {
		w.until(fmt.Sprintf("the summary of hour %s does not come to %d records", hour, n), func() bool {
			s, text := w.get("/analytics?hour=2026-02-09T" + hour)
			return s == 200 && strings.Contains(text, fmt.Sprintf(`"records":%d,`, n))
		})
	}
}

// summaryPaths returns what a server makes below an analytics directory in a day.
func summaryPaths(dir string) []string {
	paths := []string{dir, filepath.Join(dir, "2026-02-09")}
	for hour := range 24 {
		paths = append(paths, filepath.Join(dir, fmt.Sprintf("2026-02-09/summary_%02d.json", hour)), filepath.Join(dir, fmt.Sprintf("2026-02-09/.summary_%02d.json.tmp", hour)))
	}
	return paths
}
