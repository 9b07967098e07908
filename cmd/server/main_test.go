package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"logforge/config"
)

func TestHelp_Teaches(t *testing.T) {
	f := func(args []string, says ...string) {
		t.Helper()
		c := launch(t, t.TempDir(), nil, args...)
		c.expect(0, says...)
		if c.stderr.String() != "" {
			t.Errorf("%v: help that was asked for belongs on standard output", args)
		}
	}
	general := []string{"hourly files", "server -config config.yaml", "curl", "-logs-dir", "LOGFORGE_STORAGE_LOGS_DIR", "beats",
		"replay", "topic", "healthcheck", "PROFILE_CAPTURE", "SIGHUP", "Exit status"}
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}, {"-addr", ":1", "-h"}} {
		f(args, general...)
	}
	for _, c := range commands {
		f([]string{"help", c.name}, "server "+c.name, "Usage: server "+c.name)
		f([]string{c.name, "-h"}, "server "+c.name, "Usage: server "+c.name)
	}
	f([]string{"replay", "-h"}, "DIR", "-brokers", "can be repeated")
	if text := launch(t, t.TempDir(), nil, "replay", "-h"); text.exit() != 0 || strings.Contains(text.stdout.String(), "-addr") {
		t.Error("the help of replay names flags that it does not heed")
	}
	launch(t, t.TempDir(), nil, "help", "repaly").expect(2, "did you mean replay?")
}

func TestVersion_SaysWhichBuildThisIs(t *testing.T) {
	launch(t, t.TempDir(), nil, "version").expect(0, "logforge ", "go1.")
	launch(t, t.TempDir(), nil, "-version").expect(2, "server version")
}

// Ensure that the documents that are printed are those of package config.
func TestConfig_PrintsSampleAndSchema(t *testing.T) {
	dir := t.TempDir()
	for word, want := range map[string][]byte{"sample": config.Sample(), "schema": config.Schema()} {
		c := launch(t, dir, []string{"LOGFORGE_SERVER_ADDR=nonsense"}, "config", word)
		if c.expect(0); c.stdout.String() != string(want) {
			t.Errorf("config %s prints something else", word)
		}
	}
	launch(t, dir, nil, "config", "scheme").expect(2, "did you mean schema?")
}

func TestConfig_NamesWhatWouldKeepTheServiceFromStarting(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"config", "-check-config"} {
		f := func(env string, says ...string) {
			t.Helper()
			launch(t, dir, []string{env}, command).expect(2, says...)
		}
		f("LOGFORGE_STORAGE_LOGS_DIR=file/logs", "storage.logsDir (LOGFORGE_STORAGE_LOGS_DIR)", "choose another directory", "addr: :8082")
		f("LOGFORGE_SERVER_MAX_BODY_BYTES=64MiB", "server.maxInFlightBytes")
		f("LOGFORGE_SERVER_ADDR=192.0.2.1:1", "this machine does not have that address")
		f("LOGFORGE_SERVER_SHUTDOWN_TIMEOUT=soon", "server.shutdownTimeout (LOGFORGE_SERVER_SHUTDOWN_TIMEOUT)")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the check left something behind: %v %v", entries, err)
	}
	// An address that is taken may be taken by the service itself.
	c, url := serving(t, dir, nil)
	launch(t, dir, nil, "-check-config", "-addr", strings.TrimPrefix(url, "http://")).expect(0)
	c.signal(syscall.SIGTERM)
	c.expect(0)
}

// Ensure that what docs/configuration.md tells to type works as it is written.
func TestConfig_CommandsOfItsDocumentWork(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "by="+t.Name()+"\n")
	commands, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("the document has no commands")
	}
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "bin"), 0o755), os.Symlink(exe, filepath.Join(dir, "bin/server"))); err != nil {
		t.Fatal(err)
	}
	sh := exec.Command("/bin/sh", "-ec", commands)
	sh.Dir, sh.Env = dir, []string{beServer + "=1", "PATH=" + os.Getenv("PATH")}
	out, err := sh.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "addr: :8082 # default") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, file := range []string{"logforge.yaml", "schema.json"} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Size() < 1000 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Ensure that docs/command-line.md holds what the program says of itself;
// go test ./cmd/server -run CommandLine -update writes it.
func TestCommandLine_DocumentIsCurrent(t *testing.T) {
	const file, begin, end = "../../docs/command-line.md", "<!-- commands -->\n", "<!-- /commands -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %s…%s", file, strings.TrimSpace(begin), end)
	}
	var all strings.Builder
	section := func(title string, args ...string) {
		var out strings.Builder
		if status := run(args, &out, io.Discard); status != 0 {
			t.Fatalf("%v: status %d", args, status)
		}
		fmt.Fprintf(&all, "## %s\n\n```text\n%s```\n\n", title, out.String())
	}
	section("server", "help")
	for _, c := range commands {
		section("server "+c.name, "help", c.name)
	}
	if old == all.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what this build says; write it with: go test ./cmd/server -run CommandLine -update", file)
	}
	if err := os.WriteFile(file, []byte(head+begin+all.String()+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

var update = flag.Bool("update", false, "write the generated documents anew")

func TestCommandLine_WrongOnesAreNamedAndExit2(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(yaml, []byte("server:\n  adr: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(says string, args ...string) {
		t.Helper()
		launch(t, dir, nil, args...).expect(2, says)
	}
	f("there is no flag -nonsense", "-nonsense")
	f("there is no flag -adr; did you mean -addr?", "-adr", ":1")
	f(`"soon" is not a duration`, "-aggregation-interval", "soon")
	f(`no command "nonsense"`, "nonsense")
	f(`no command "sevre"; did you mean serve?`, "sevre")
	f("older name version is 2 (flag -version)", "-pipeline", "1", "-version", "2")
	f("usage: server replay DIR", "replay")
	f("usage: server serve", "serve", "more")
	f("unknown key server.adr; did you mean server.addr?", "-config", yaml)
	f("nowhere.yaml", "-config", "nowhere.yaml")
	f("server.addr (LOGFORGE_SERVER_ADDR)", "-addr", "nonsense")
	f("version", "-version", "3")
	launch(t, dir, []string{"LOGFORGE_LOG_LEVEL=loud"}).expect(2, "LOGFORGE_LOG_LEVEL")
	launch(t, dir, []string{"LOGFORGE_SERVER_MAX_BODY_BYTES=64MiB"}).expect(2, "server.maxInFlightBytes")
	launch(t, dir, []string{"LOGFORGE_SERVER_TLS_CERT_FILE=/nowhere", "LOGFORGE_SERVER_TLS_KEY_FILE=/nowhere"}).expect(2, "server.tls.certFile", "/nowhere")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("a refused start left something behind: %v %v", entries, err)
	}
}

func TestConfig_PrintsWhatIsInEffectAndStartsNothing(t *testing.T) {
	dir := t.TempDir()
	c := launch(t, dir, []string{"LOGFORGE_AUTH_KEYS=hunter2", "LOGFORGE_SERVER_ADR=:1"}, "-check-config", "-addr", ":1234", "serve", "-topic", "t", "-pipeline", "2")
	c.expect(0, "addr: :1234 # flag -addr", "topic: t", "ack: replicated", "# environment LOGFORGE_AUTH_KEYS", "maxBodyBytes: 20MiB", "did you mean LOGFORGE_SERVER_ADDR?")
	if strings.Contains(c.stdout.String(), "hunter2") {
		t.Error("a secret is printed")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestStart_TakenPortIsAClearError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	launch(t, t.TempDir(), nil, "-addr", ln.Addr().String()).expect(1, ln.Addr().String(), "another process listens there", "-addr")
}

func TestStart_SecondProcessOnADirectoryNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	first, _ := serving(t, dir, nil)
	second := launch(t, dir, nil, "-addr", "127.0.0.1:0", "-analytics-dir", "other")
	second.expect(1, strconv.Itoa(first.cmd.Process.Pid))
	first.signal(syscall.SIGTERM)
	first.expect(0)
	// The lock goes with the process.
	third, _ := serving(t, dir, nil)
	third.signal(syscall.SIGTERM)
	third.expect(0)
}

func TestStart_UnusableDirectoryIsAClearError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, nil, "-addr", "127.0.0.1:0", "-logs-dir", "file").expect(1, "storage.logsDir", "a file is in the way; choose another directory")
}

func TestHealthcheck_TellsTheLivingFromTheDead(t *testing.T) {
	dir := t.TempDir()
	c, url := serving(t, dir, nil)
	addr := strings.TrimPrefix(url, "http://")
	launch(t, dir, nil, "healthcheck", "-addr", addr).expect(0)
	c.signal(syscall.SIGINT)
	c.expect(0)
	launch(t, dir, nil, "healthcheck", "-addr", addr).expect(1, "healthcheck failed", addr)
}

func TestServe_AnswersVersionAndReadiness(t *testing.T) {
	_, url := serving(t, t.TempDir(), nil)
	if status, body := get(t, url+"/version"); status != 200 || !strings.Contains(body, `"pipelineMode":"v1"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(t, url+"/ready"); status != 200 || !strings.HasPrefix(body, "ready") {
		t.Errorf("%d %s", status, body)
	}
}
