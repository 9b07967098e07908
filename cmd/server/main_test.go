package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestHelpTeaches(t *testing.T) {
	c := launch(t, t.TempDir(), nil, "-h")
	c.expect(0, "hourly files", "server -config config.yaml", "curl", "-logs-dir", "LOGFORGE_STORAGE_LOGS_DIR", "beats",
		"replay", "topic", "healthcheck", "PROFILE_CAPTURE")
	if c.stderr.String() != "" {
		t.Errorf("help that was asked for belongs on standard output")
	}
}

func TestVersionSaysWhichBuild(t *testing.T) {
	launch(t, t.TempDir(), nil, "version").expect(0, "logforge ", "go1.")
}

func TestWrongCommandLineOrConfigurationIsNamedAndExits2(t *testing.T) {
	dir := t.TempDir()
	yaml := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(yaml, []byte("server:\n  adr: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(says string, args ...string) {
		t.Helper()
		launch(t, dir, nil, args...).expect(2, says)
	}
	f("-nonsense", "-nonsense")
	f(`no command "nonsense"`, "nonsense")
	f("usage: server replay DIR", "replay")
	f("usage: server serve", "serve", "more")
	f("unknown key server.adr; did you mean server.addr?", "-config", yaml)
	f("nowhere.yaml", "-config", "nowhere.yaml")
	f("server.addr (LOGFORGE_SERVER_ADDR)", "-addr", "nonsense")
	f("version", "-version", "3")
	launch(t, dir, []string{"LOGFORGE_LOG_LEVEL=loud"}).expect(2, "LOGFORGE_LOG_LEVEL")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("a refused start left something behind: %v %v", entries, err)
	}
}

func TestCheckConfigPrintsWhatIsInEffectAndStartsNothing(t *testing.T) {
	dir := t.TempDir()
	c := launch(t, dir, []string{"LOGFORGE_AUTH_KEYS=hunter2", "LOGFORGE_SERVER_ADR=:1"}, "-check-config", "-addr", ":1234", "serve", "-topic", "t", "-pipeline", "2")
	c.expect(0, "addr: :1234 # flag -addr", "topic: t", "ack: replicated", "# environment LOGFORGE_AUTH_KEYS", "maxBodyBytes: 32MiB", "did you mean LOGFORGE_SERVER_ADDR?")
	if strings.Contains(c.stdout.String(), "hunter2") {
		t.Error("a secret is printed")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestTakenPortIsAClearError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	launch(t, t.TempDir(), nil, "-addr", ln.Addr().String()).expect(1, ln.Addr().String(), "another process listens there", "-addr")
}

func TestSecondProcessOnADirectoryNamesTheHolder(t *testing.T) {
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

func TestUnusableDirectoryIsAClearError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	launch(t, dir, nil, "-addr", "127.0.0.1:0", "-logs-dir", "file").expect(1, "file")
}

func TestHealthcheckTellsTheLivingFromTheDead(t *testing.T) {
	dir := t.TempDir()
	c, url := serving(t, dir, nil)
	addr := strings.TrimPrefix(url, "http://")
	launch(t, dir, nil, "healthcheck", "-addr", addr).expect(0)
	c.signal(syscall.SIGINT)
	c.expect(0)
	launch(t, dir, nil, "healthcheck", "-addr", addr).expect(1, "healthcheck failed", addr)
}

func TestVersionRouteAndReadiness(t *testing.T) {
	_, url := serving(t, t.TempDir(), nil)
	if status, body := get(t, url+"/version"); status != 200 || !strings.Contains(body, `"pipelineMode":"v1"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body := get(t, url+"/ready"); status != 200 || !strings.HasPrefix(body, "ready") {
		t.Errorf("%d %s", status, body)
	}
}
