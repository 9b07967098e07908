package main

// Tests run the command as a child process: this test binary, told by a
// variable to be the server.

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"logforge/sink/kafka/kafkatest"
)

const beServer = "LOGFORGE_TEST_BE_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(beServer) != "" {
		_ = os.Unsetenv(beServer) // it is no setting
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(kafkatest.Main(m))
}

// patient bounds every wait in these tests; what takes so long has failed.
const patient = 60 * time.Second

type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr buffer
	done   chan struct{}
	trace  string // what strace has written last
}

// buffer collects what the child writes while the test looks at it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// take returns what was written and empties the buffer.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// launch starts the server in dir with the given variables (NAME=value) and
// arguments. It is killed at the end of the test if it still runs.
func launch(t *testing.T, dir string, env []string, args ...string) *child {
	t.Helper()
	return launchTo(t, dir, nil, env, args...)
}

// launchTo is launch with a log of the test's own; nil collects it in the child.
func launchTo(t *testing.T, dir string, log *os.File, env []string, args ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(exe, args...), done: make(chan struct{})}
	c.cmd.Dir = dir
	// The race detector would sleep a second before each exit.
	c.cmd.Env = append([]string{beServer + "=1", "GORACE=atexit_sleep_ms=0", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	if log != nil {
		c.cmd.Stderr = log
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.cmd.Wait() // the status is in ProcessState
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		if t.Failed() {
			t.Logf("%v wrote:\n%s", c.cmd.Args[1:], c.stderr.String())
		}
	})
	return c
}

// serving starts a server on a free port and returns it with its base URL.
func serving(t *testing.T, dir string, env []string, args ...string) (*child, string) {
	t.Helper()
	c := launch(t, dir, env, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	return c, "http://" + c.find(`listening addr=(\S+)`)
}

// find waits until the child's log matches and returns the first group.
func (c *child) find(pattern string) string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patient); ; time.Sleep(5 * time.Millisecond) {
		if m := re.FindStringSubmatch(c.stderr.String()); m != nil {
			return m[1]
		}
		select {
		case <-c.done:
			c.t.Fatalf("it ended before it wrote %q", pattern)
		default:
		}
		if time.Now().After(end) {
			c.t.Fatalf("it did not write %q", pattern)
		}
	}
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit status.
func (c *child) exit() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patient):
		c.t.Fatal("it does not end")
	}
	return c.cmd.ProcessState.ExitCode()
}

// expect waits for the end and checks the status and what it said.
func (c *child) expect(status int, says ...string) {
	c.t.Helper()
	if got := c.exit(); got != status {
		c.t.Errorf("exit status %d, want %d", got, status)
	}
	for _, s := range says {
		if all := c.stdout.String() + c.stderr.String(); !strings.Contains(all, s) {
			c.t.Errorf("it does not say %q, but:\n%s", s, all)
		}
	}
}

// get returns the status and body of a GET.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// status returns the status of a GET; 0 when there is no answer.
func status(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// metricOf returns the value of a metric without labels in the text of /metrics.
func metricOf(t *testing.T, text, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%s is not exported", name)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// freeAddr returns a free loopback address with a port below the range from
// which the kernel gives ports to outgoing connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := "127.0.0.1:" + strconv.Itoa(10000+rand.IntN(10000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port between 10000 and 20000")
	return ""
}
