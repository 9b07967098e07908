package proof

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"logforge/bench/child"
	"logforge/bench/corpus"
	"logforge/sink/archive/archivetest"
	"logforge/sink/kafka/kafkatest"
)

// accessLog is the real log, relative to this directory.
const accessLog = "../testdata/access.log.gz"

const (
	clients  = 16
	patience = 30 * time.Second // for anything that has to happen soon
)

var (
	kills = flag.Int("kills", 6, "how often the server is killed")
	seed  = flag.Uint64("seed", 0, "seed of the kills and of what is sent; 0 takes one from the clock")
	keep  = flag.String("keep", "", "directory to leave the files in; it must not exist yet")
)

// programs is the directory of the server once program has built it.
var programs string

var program = sync.OnceValues(func() (string, error) { return child.Build("logforge/cmd/server", programs) })

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if programs, err = os.MkdirTemp("", "logforge-proof"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := max(kafkatest.Main(m), archivetest.Stop())
	if err := os.RemoveAll(programs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// directory returns where a test's server keeps its files.
func directory(t *testing.T) string {
	if *keep == "" {
		return t.TempDir()
	}
	if err := os.Mkdir(*keep, 0o755); err != nil {
		t.Fatal(err)
	}
	return *keep
}

// start starts a server that keeps its files below dir: version 1, unless the
// flags say otherwise. Its summaries are renewed so often that a kill may well
// fall into one.
func start(t *testing.T, dir, addr string, flags ...string) *child.Process {
	t.Helper()
	return startWith(t, dir, addr, nil, flags...)
}

// startWith is start with variables (NAME=value) besides those of the test.
func startWith(t *testing.T, dir, addr string, env []string, flags ...string) *child.Process {
	t.Helper()
	server, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server, append([]string{"-version", "1", "-addr", addr, "-aggregation-interval", "50ms",
		"-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics")}, flags...)...)
	cmd.Env = append(os.Environ(), env...)
	p, err := child.Start(addr, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	return p
}

func waitReady(t *testing.T, p *child.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.WaitReady(ctx, "/ready"); err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := child.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func realLog(t *testing.T) []corpus.Record {
	t.Helper()
	recs, err := corpus.OpenAccessLog(accessLog)
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func form(t *testing.T, name string) corpus.Form {
	t.Helper()
	f, err := corpus.FormOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func gzipped(body []byte) []byte {
	var out bytes.Buffer
	z := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(&out)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return out.Bytes()
}

// recount asks recount.py for its opinion, where there is a Python to run it.
func recount(t *testing.T, dir string, args ...string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("LEFT OUT: the second recount, by recount.py. Install python3 to have it.")
		return
	}
	out, err := exec.Command(python, append([]string{"recount.py", "--log", accessLog, "--dir", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Errorf("recount.py: %v\n%s", err, out)
		return
	}
	t.Logf("recount.py: %s", bytes.TrimSpace(out))
}
