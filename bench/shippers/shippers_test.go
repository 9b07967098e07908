//go:build shippers

package shippers

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-json"

	"logforge/bench/child"
	"logforge/bench/corpus"
	"logforge/sink"
)

var quick = flag.Bool("quick", false, "only 2,000 lines for the shippers that send each in a request of its own")

// patience is how long a shipper may take to send all it has.
const patience = 4 * time.Minute

var (
	server    string            // the program
	lines     []string          // of the log
	fragments map[string]string // of docs/shippers.md
	tools     string            // where install.sh puts the shippers
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "logforge-shippers")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // the system cleans it up otherwise
		server, err = child.Build("logforge/cmd/server", dir)
	}
	if err == nil {
		lines, err = corpus.AccessLogLines("../testdata/access.log.gz")
	}
	if err == nil {
		fragments, err = Fragments(Document)
	}
	if err == nil {
		tools, err = filepath.Abs("../../.tools/shippers")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// combined is what an access log line is, said in the slow and obvious way.
var combined = regexp.MustCompile(`^\S+ \S+ \S+ \[([^\]]+)\] "((?:[^"\\]|\\.)*)" \d{3} \S+ "(?:[^"\\]|\\.)*" "((?:[^"\\]|\\.)*)"$`)

// escapes are those of Apache and nginx.
var escapes = regexp.MustCompile(`\\(x[0-9A-Fa-f]{2}|.)`)

func unescape(s string) string {
	return strings.ToValidUTF8(escapes.ReplaceAllStringFunc(s, func(e string) string {
		var b byte
		if e[1] == 'x' {
			if _, err := fmt.Sscanf(e[2:], "%x", &b); err == nil {
				return string([]byte{b})
			}
		}
		return e[1:]
	}), "\ufffd")
}

// stored is a record as the files have it: what is compared of it.
type stored struct{ Timestamp, Path, UserAgent string }

// expected returns what has to be in the files for these lines, as a multiset,
// and the lines that have to be set aside.
func expected(lines []string) (records map[stored]int, aside map[string]int) {
	records, aside = map[stored]int{}, map[string]int{}
	for _, line := range lines {
		m := combined.FindStringSubmatch(line)
		if m == nil {
			aside[line]++
			continue
		}
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[1])
		if err != nil {
			panic(err)
		}
		path := "-"
		if words := strings.Split(unescape(m[2]), " "); len(words) == 3 {
			path = words[1]
		}
		agent := unescape(m[3])
		if strings.TrimSpace(agent) == "" {
			agent = "-"
		}
		records[stored{at.UTC().Format(time.RFC3339), path, agent}]++
	}
	return records, aside
}

// site is one server with its files.
type site struct {
	t          *testing.T
	dir        string
	host, port string
	process    *child.Process
}

func newSite(t *testing.T) *site {
	t.Helper()
	addr, err := child.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir()}
	s.host, s.port, _ = net.SplitHostPort(addr)
	s.process, err = child.Start(addr, exec.Command(server, "-addr", addr,
		"-logs-dir", filepath.Join(s.dir, "logs"), "-analytics-dir", filepath.Join(s.dir, "analytics")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out := s.process.Kill(); t.Failed() {
			t.Logf("the server said:\n%s", tail(out, 4000))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.process.WaitReady(ctx, "/ready"); err != nil {
		t.Fatal(err)
	}
	return s
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// files returns the records in the files, and the texts of those set aside.
func (s *site) files() (records map[stored]int, aside []string, all int) {
	s.t.Helper()
	records = map[stored]int{}
	hours, _ := filepath.Glob(filepath.Join(s.dir, "logs", "*", "*.log.json"))
	for _, file := range hours {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // it is being written
			}
			var r stored
			if err := json.Unmarshal(line, &r); err != nil {
				s.t.Fatalf("%s: %v: %s", file, err, line)
			}
			records[r]++
			all++
		}
	}
	rejected, _ := filepath.Glob(filepath.Join(s.dir, "logs", ".rejected", "*", "*.ndjson"))
	for _, file := range rejected {
		text, err := os.ReadFile(file)
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if r, err := sink.ParseRejected(line); err == nil {
				aside = append(aside, string(r.Record))
				all++
			}
		}
	}
	return records, aside, all
}

// waitFor waits until n records are in the files or set aside.
func (s *site) waitFor(n int) {
	s.t.Helper()
	last, since := -1, time.Now()
	for {
		_, _, all := s.files()
		if all >= n {
			return
		}
		if all != last {
			last, since = all, time.Now()
		}
		if time.Since(since) > patience/4 {
			s.t.Errorf("%d of %d lines have come, and then no more for %v", all, n, patience/4)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// check compares what is in the files with what was sent, as multisets.
func (s *site) check(sent []string) {
	s.t.Helper()
	wantRecords, wantAside := expected(sent)
	records, aside, _ := s.files()
	wrong := 0
	complain := func(format string, args ...any) {
		s.t.Helper()
		if wrong++; wrong <= 10 {
			s.t.Errorf(format, args...)
		}
	}
	for r, n := range wantRecords {
		if records[r] != n {
			complain("%d times in the files instead of %d: %+v", records[r], n, r)
		}
	}
	for r, n := range records {
		if wantRecords[r] == 0 {
			complain("%d times in the files, and nobody has sent it: %+v", n, r)
		}
	}
	for line, n := range wantAside {
		found := 0
		for _, record := range aside {
			if holds(record, line) {
				found++
			}
		}
		if found != n {
			complain("%d times set aside instead of %d: %s; set aside are: %.300q", found, n, line, aside)
		}
	}
	if len(aside) != len(wantAside) {
		complain("%d records are set aside instead of %d", len(aside), len(wantAside))
		for i, record := range aside {
			complain("set aside: %s", record)
			if i > 5 {
				break
			}
		}
	}
	if wrong > 10 {
		s.t.Errorf("and %d more", wrong-10)
	}
}

// holds reports whether a record set aside is the line, or an object with it.
func holds(record, line string) bool {
	if record == line {
		return true
	}
	quoted, err := json.MarshalWithOption(line, json.DisableHTMLEscape())
	return err == nil && strings.Contains(strings.ReplaceAll(record, `\/`, `/`), string(bytes.Trim(quoted, `"`)))
}

// write puts lines into a file of the site, as the shipper finds it.
func (s *site) write(lines []string) (name string) {
	s.t.Helper()
	name = filepath.Join(s.dir, "access.log")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// fragment returns what the document says for a shipper, for this site.
func (s *site) fragment(name, log string) string {
	s.t.Helper()
	text, ok := fragments[name]
	if !ok {
		s.t.Fatalf("%s has no fragment for %s", Document, name)
	}
	return Point(text, log, s.host, s.port)
}

// config puts a text into a file of the site.
func (s *site) config(name, text string) string {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// background runs a command until the test calls what it returns.
func (s *site) background(cmd *exec.Cmd) (stop func()) {
	s.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if s.t.Failed() {
			s.t.Logf("%s said:\n%s", filepath.Base(cmd.Path), tail(out.String(), 4000))
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// foreground runs a command to its end.
func (s *site) foreground(cmd *exec.Cmd) {
	s.t.Helper()
	done := make(chan struct{})
	timer := time.AfterFunc(patience, func() {
		s.t.Errorf("%s does not end", filepath.Base(cmd.Path))
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	timer.Stop()
	close(done)
	if err != nil {
		s.t.Errorf("%s: %v\n%s", filepath.Base(cmd.Path), err, tail(string(out), 4000))
	}
}

// sent returns the lines that are sent: all of them, or with -quick fewer where
// each is a request of its own.
func sent(oneByOne bool) []string {
	if oneByOne && *quick {
		// The one that is broken off is among them.
		return append(append([]string(nil), lines[:1500]...), lines[8700:9200]...)
	}
	return lines
}
