package config

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// load runs Load as the command does, with text as the file when it is not
// empty. It runs in an environment without LOGFORGE_ variables but env's.
func load(t *testing.T, text string, env map[string]string, args ...string) (*Config, []string, error) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "LOGFORGE_") {
			t.Setenv(name, value) // restores it when the test ends
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	if text != "" {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"-config", file}, args...)
	}
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	l := Bind(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return l.Load()
}

func mustLoad(t *testing.T, text string, env map[string]string, args ...string) (*Config, []string) {
	t.Helper()
	cfg, warnings, err := load(t, text, env, args...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, warnings
}

func TestLoad_NothingSetIsDefaultAndComplete(t *testing.T) {
	cfg, warnings := mustLoad(t, "", nil)
	want := Default()
	want.Ingestion.Ack = "written"
	if diff := cmp.Diff(&want, cfg); diff != "" || len(warnings) != 0 {
		t.Errorf("warnings %q, difference to Default:\n%s", warnings, diff)
	}
}

func TestLoad_FlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := "server:\n  addr: :1001\n"
	env := map[string]string{"LOGFORGE_SERVER_ADDR": ":1002"}
	f := func(want, text string, env map[string]string, args ...string) {
		t.Helper()
		if cfg, _ := mustLoad(t, text, env, args...); cfg.Server.Addr != want {
			t.Errorf("got %s, want %s", cfg.Server.Addr, want)
		}
	}
	f(":8082", "", nil)
	f(":1001", file, nil)
	f(":1003", file, env, "-addr", ":1003")
	f(":1002", file, env)
}

func TestLoad_EveryFlagSetsItsSetting(t *testing.T) {
	cfg, _ := mustLoad(t, "", nil, "-version", "2", "-addr", ":1", "-logs-dir", "l", "-analytics-dir", "a",
		"-aggregation-interval", "7s", "-brokers", "a:1, b:2", "-topic", "t", "-group", "g")
	want := Default()
	want.Pipeline, want.Version, want.Server.Addr, want.Ingestion.Ack = 2, 2, ":1", "replicated"
	want.Storage.LogsDir, want.Storage.AnalyticsDir, want.Aggregation.Interval = "l", "a", 7*time.Second
	want.Kafka.Brokers, want.Kafka.Topic, want.Kafka.GroupID = []string{"a:1", "b:2"}, "t", "g"
	if diff := cmp.Diff(&want, cfg); diff != "" {
		t.Error(diff)
	}
}

func TestLoad_ExplicitZeroIsAValue(t *testing.T) {
	cfg, _ := mustLoad(t, "server:\n  waitForRoom: 0\n  dashboard: false\nlog: {throttle: 0s}\n", nil)
	if cfg.Server.WaitForRoom != 0 || cfg.Server.Dashboard || cfg.Log.Throttle != 0 {
		t.Errorf("a zero in the file was replaced by a default: %+v %+v", cfg.Server, cfg.Log)
	}
	cfg, _ = mustLoad(t, "server: {waitForRoom: 5s}", map[string]string{"LOGFORGE_SERVER_WAIT_FOR_ROOM": "0", "LOGFORGE_SERVER_DASHBOARD": "false"})
	if cfg.Server.WaitForRoom != 0 || cfg.Server.Dashboard {
		t.Errorf("a zero in the environment was replaced: %+v", cfg.Server)
	}
}

func TestLoad_EmptyFileAndEmptySectionsMeanDefaults(t *testing.T) {
	for _, text := range []string{"# nothing\n", "{}", "server:\nkafka:\n  brokers:\n"} {
		cfg, _ := mustLoad(t, text, nil)
		if want := Default(); cfg.Server.Addr != want.Server.Addr || !cmp.Equal(cfg.Kafka, want.Kafka) {
			t.Errorf("%q changed something", text)
		}
	}
}

func TestEnvironment_ListsAreCommaSeparated(t *testing.T) {
	cfg, _ := mustLoad(t, "", map[string]string{"LOGFORGE_KAFKA_BROKERS": "a:1, b:2,", "LOGFORGE_AUTH_KEYS": "k1,k2"})
	if diff := cmp.Diff([]string{"a:1", "b:2"}, cfg.Kafka.Brokers); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Keys{{Value: "k1"}, {Value: "k2"}}, cfg.Auth.Keys); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment_SetsEveryKindOfSetting(t *testing.T) {
	cfg, _ := mustLoad(t, "version: 2", map[string]string{
		"LOGFORGE_SERVER_MAX_BODY_BYTES":    "1MiB",
		"LOGFORGE_SERVER_READ_TIMEOUT":      "90s",
		"LOGFORGE_KAFKA_CONSUMERS":          "7",
		"LOGFORGE_AUTH_ENABLED":             "true",
		"LOGFORGE_AUTH_KEYS":                "k",
		"LOGFORGE_KAFKA_ROLE":               "ingest",
		"LOGFORGE_INGESTION_SYNC_ON_INGEST": "false",
	})
	if cfg.Server.MaxBodyBytes != MiB || cfg.Server.ReadTimeout != 90*time.Second || cfg.Kafka.Consumers != 7 ||
		!cfg.Auth.Enabled || cfg.Kafka.Role != "ingest" || cfg.Ingestion.Ack != "enqueued" {
		t.Errorf("%+v", cfg)
	}
}

// Ensure that a mistake is told in the same words wherever it is made, and that
// all mistakes are told, not the first.
func TestEnvironment_SpeaksLikeTheFile(t *testing.T) {
	for key, value := range map[string]string{
		"auth.enabled": "maybe", "server.readTimeout": "soon", "server.maxBodyBytes": "1XB", "server.maxConnections": "many", "server.dashboard": "",
	} {
		section, name, _ := strings.Cut(key, ".")
		_, _, inFile := load(t, section+": {"+name+": '"+value+"'}", nil)
		_, _, inEnv := load(t, "", map[string]string{EnvName(key): value})
		if inFile == nil || inEnv == nil {
			t.Fatalf("%s: %q was accepted: %v, %v", key, value, inFile, inEnv)
		}
		_, file, _ := strings.Cut(inFile.Error(), "c.yaml:1: ")
		_, env, _ := strings.Cut(inEnv.Error(), "environment: ")
		if file != env || file == "" {
			t.Errorf("the file says %q, the environment %q", inFile, inEnv)
		}
	}
	_, _, err := load(t, "", map[string]string{"LOGFORGE_AUTH_ENABLED": "maybe", "LOGFORGE_SERVER_MAX_CONNECTIONS": "many"})
	if err == nil || !strings.Contains(err.Error(), "auth.enabled (LOGFORGE_AUTH_ENABLED): \"maybe\" is not true or false") || !strings.Contains(err.Error(), "MAX_CONNECTIONS") {
		t.Errorf("got %v", err)
	}
}

func TestPipeline_HasTwoNamesThatMustNotContradictEachOther(t *testing.T) {
	f := func(want int, text string, env map[string]string, args ...string) {
		t.Helper()
		cfg, _ := mustLoad(t, text, env, args...)
		if cfg.Pipeline != want || cfg.Version != want {
			t.Errorf("%q %v %v: pipeline %d, version %d", text, env, args, cfg.Pipeline, cfg.Version)
		}
	}
	f(1, "", nil)
	f(2, "pipeline: 2", nil)
	f(2, "version: 2", nil)
	f(2, "pipeline: 2\nversion: 2", nil)
	f(1, "version: 2", nil, "-pipeline", "1")
	f(1, "pipeline: 2", nil, "-version", "1")
	f(2, "version: 1", map[string]string{"LOGFORGE_PIPELINE": "2"})
	f(2, "pipeline: 1", map[string]string{"LOGFORGE_VERSION": "2"})
	refused := func(text string, env map[string]string, args ...string) {
		t.Helper()
		_, _, err := load(t, text, env, args...)
		if err == nil || !strings.Contains(err.Error(), "older name") || !strings.Contains(err.Error(), "remove") {
			t.Errorf("%q %v %v: %v", text, env, args, err)
		}
	}
	refused("pipeline: 2\nversion: 1", nil)
	refused("", map[string]string{"LOGFORGE_PIPELINE": "2", "LOGFORGE_VERSION": "1"})
	refused("", nil, "-pipeline", "1", "-version", "2")
	for _, name := range []string{"pipeline", "version"} {
		if _, _, err := load(t, name+": 3", nil); err == nil || !strings.Contains(err.Error(), named(name)+": 3 is not allowed: must be 1 or 2") {
			t.Errorf("%s: 3: %v", name, err)
		}
	}
}

func TestAck_IsSettledBetweenItsTwoNames(t *testing.T) {
	const ackEnv, oldEnv = "LOGFORGE_INGESTION_ACK", "LOGFORGE_INGESTION_SYNC_ON_INGEST"
	f := func(want, text string, env map[string]string) {
		t.Helper()
		cfg, _ := mustLoad(t, text, env)
		if cfg.Ingestion.Ack != want || cfg.Ingestion.SyncOnIngest != "" {
			t.Errorf("%q %v: got %q, want %q", text, env, cfg.Ingestion.Ack, want)
		}
	}
	f("written", "version: 1", nil)
	f("synced", "ingestion: {ack: synced}", nil)
	f("replicated", "version: 2", nil)
	f("enqueued", "version: 2\ningestion: {ack: enqueued}", nil)
	f("enqueued", "version: 2\ningestion: {syncOnIngest: false}", nil)
	f("replicated", "version: 2\ningestion: {syncOnIngest: true}", nil)
	f("replicated", "version: 2\ningestion: {syncOnIngest: true, ack: replicated}", nil)
	f("enqueued", "version: 2\ningestion: {ack: replicated}", map[string]string{oldEnv: "false"})
	f("enqueued", "version: 2\ningestion: {syncOnIngest: true}", map[string]string{ackEnv: "enqueued"})
	f("replicated", "version: 2\ningestion: {ack: enqueued}", map[string]string{ackEnv: ""})
	f("written", "version: 1\ningestion: {syncOnIngest: true}", nil)

	_, _, err := load(t, "version: 2\ningestion: {syncOnIngest: true, ack: enqueued}", nil)
	if err == nil || !strings.Contains(err.Error(), "syncOnIngest") {
		t.Errorf("a contradiction was accepted: %v", err)
	}
	if _, warnings := mustLoad(t, "ingestion: {syncOnIngest: true}", nil); len(warnings) != 1 {
		t.Errorf("syncOnIngest in pipeline 1: warnings %q", warnings)
	}
}

func TestEnvironment_UnknownVariableIsAWarningWithTheNearestName(t *testing.T) {
	_, warnings := mustLoad(t, "", map[string]string{
		"LOGFORGE_SERVER_ADR":        ":1",
		"LOGFORGE_SERVICE_HOST":      "10.0.0.1",
		"LOGFORGE_PORT_8082_TCP":     "tcp://10.0.0.1:8082",
		"LOGFORGE_SOMETHING_FOREIGN": "x",
	})
	want := []string{
		"environment variable LOGFORGE_SERVER_ADR sets nothing; did you mean LOGFORGE_SERVER_ADDR?",
		"environment variable LOGFORGE_SOMETHING_FOREIGN sets nothing",
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Error(diff)
	}
}

// Ensure that a variable of a script that is not set is no start with defaults.
func TestLoad_RefusesAnEmptyNameOfTheFile(t *testing.T) {
	if _, _, err := load(t, "", nil, "-config", ""); err == nil || !strings.Contains(err.Error(), "-config names no file") {
		t.Errorf("got %v", err)
	}
}

// Ensure that a pipe serves for a start, and is not waited for afterwards.
func TestLoad_ReadsAPipeOnce(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		if f, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteString("server: {addr: ':1'}")
			_ = f.Close()
		}
	}()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	l := Bind(fs)
	if err := fs.Parse([]string{"-config", fifo}); err != nil {
		t.Fatal(err)
	}
	if cfg, _, err := l.Load(); err != nil || cfg.Server.Addr != ":1" {
		t.Fatalf("%v", err)
	}
	if _, _, err := l.Load(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_MissingFileIsAnError(t *testing.T) {
	if _, _, err := load(t, "", nil, "-config", "/nowhere/c.yaml"); err == nil || !strings.Contains(err.Error(), "/nowhere/c.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestPrintedConfiguration_LoadsAgainAsItIsAndHidesSecrets(t *testing.T) {
	cfg, _ := mustLoad(t, "version: 2\nserver: {addr: ':1', drainDelay: 3s, maxBodyBytes: 1000}\nkafka: {brokers: [a:1], linger: 2ms}", nil)
	text, err := cfg.YAML(func(string) Origin { return Origin{LayerFile, "c.yaml:1"} })
	if err != nil {
		t.Fatal(err)
	}
	again, warnings := mustLoad(t, string(text), nil)
	if diff := cmp.Diff(cfg, again); diff != "" || len(warnings) != 0 {
		t.Errorf("warnings %q; difference:\n%s", warnings, diff)
	}

	cfg.Auth.Keys, cfg.Kafka.SASL.Password = Keys{{Value: "hunter2"}, {"alice", "swordfish"}}, "sesame"
	text, err = cfg.YAML(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "swordfish", "sesame"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the printed configuration shows %q", secret)
		}
	}
	if cfg.Auth.Keys[0].Value != "hunter2" {
		t.Error("printing changed the configuration")
	}
}

func TestPrintedConfiguration_SaysWhereEachValueComesFromAndLeavesOutWhatIsNotUsed(t *testing.T) {
	file := writeFile(t, "server:\n  addr: :1\nstorage: {logsDir: l}\nauth: {keys: [alice: k]}\nkafka: {topic: t}\n")
	t.Setenv("LOGFORGE_SERVER_RETRY_AFTER", "7s")
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	l := Bind(fs)
	if err := fs.Parse([]string{"-config", file, "-logs-dir", "x"}); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, err := cfg.YAML(l.Origin)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"pipeline: 1 # default", "addr: :1 # file " + file + ":2\n", "retryAfter: 7s # environment LOGFORGE_SERVER_RETRY_AFTER",
		"logsDir: x # flag -logs-dir", "enabled: true # file (there are keys)", "keys: [{alice: '********'}] # file " + file + ":4",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if want := "# not used by pipeline 1: kafka.topic (file " + file + ":5)\n"; !strings.HasSuffix(string(text), want) {
		t.Errorf("does not end in %q:\n%s", want, text)
	}
	for _, left := range []string{"kafka:", "consumer:", "version:", "syncOnIngest"} {
		if strings.Contains(string(text), left) {
			t.Errorf("pipeline 1 does not use %s", left)
		}
	}
}

// Ensure that the sample changes nothing as it is, and is every setting with its
// default once it is uncommented.
func TestSample_IsEverySettingWithItsDefault(t *testing.T) {
	sample := string(Sample())
	cfg, warnings := mustLoad(t, sample, nil)
	want, _ := mustLoad(t, "", nil)
	if diff := cmp.Diff(want, cfg); diff != "" || len(warnings) > 0 {
		t.Errorf("%q\n%s", warnings, diff)
	}
	file := writeFile(t, uncommented(sample))
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	origins := Bind(fs)
	if err := fs.Parse([]string{"-config", file}); err != nil {
		t.Fatal(err)
	}
	cfg, warnings, err := origins.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, cfg, cmpopts.EquateEmpty()); diff != "" || len(warnings) > 0 {
		t.Errorf("%q\n%s", warnings, diff)
	}
	for s := range cfg.Settings() {
		if !s.isOlderName() && s.Key != "ingestion.ack" && origins.Origin(s.Key).Layer != LayerFile {
			t.Errorf("the sample lacks %s", s.Key)
		}
	}
}

// uncommented takes the # away before every setting of a sample; but for
// ingestion.ack, whose default follows from the pipeline.
func uncommented(sample string) string {
	var all strings.Builder
	for line := range strings.Lines(sample) {
		if text := strings.TrimLeft(line, " "); strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "# ") && text != "#\n" && text != "#ack: \"\"\n" {
			line = strings.Replace(line, "#", "", 1)
		}
		all.WriteString(line)
	}
	return all.String()
}
