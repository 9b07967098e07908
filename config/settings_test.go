package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents anew")

func TestSettings_HaveTheirTagsAndTheVariableOfTheirPath(t *testing.T) {
	var cfg Config
	seen := map[string]bool{}
	for s := range cfg.Settings() {
		last := s.Key[strings.LastIndexByte(s.Key, '.')+1:]
		if last == "" || s.Description == "" || s.Env == "" {
			t.Errorf("%+v lacks a yaml, env or env-description tag", s)
		}
		if want := EnvName(s.Key); s.Env != want {
			t.Errorf("%s has the variable %s, want %s", s.Key, s.Env, want)
		}
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		if legacy[s.Key] != "" {
			t.Errorf("%s is a setting and in the list of keys without a meaning", s.Key)
		}
		seen[s.Key] = true
	}
	if len(seen) < 60 {
		t.Errorf("only %d settings found", len(seen))
	}
}

func TestEnvName_IsUpperSnakeCase(t *testing.T) {
	f := func(key, want string) {
		t.Helper()
		if got := EnvName(key); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	f("version", "LOGFORGE_VERSION")
	f("kafka.groupID", "LOGFORGE_KAFKA_GROUP_ID")
	f("server.maxConnectionsPerIP", "LOGFORGE_SERVER_MAX_CONNECTIONS_PER_IP")
	f("server.tls.clientCAFile", "LOGFORGE_SERVER_TLS_CLIENT_CA_FILE")
}

func TestBytes_RoundTripAndRefuseNonsense(t *testing.T) {
	f := func(text string, want Bytes, printed string) {
		t.Helper()
		got, err := ParseBytes(text)
		if err != nil || got != want || got.String() != printed {
			t.Errorf("%q: got %d %q %v, want %d %q", text, got, got.String(), err, want, printed)
		}
	}
	f("0", 0, "0")
	f("262144", 256*KiB, "256KiB")
	f("256KiB", 256*KiB, "256KiB")
	f(" 32 MiB ", 32*MiB, "32MiB")
	f("1GB", 1e9, "1000000000")
	f("3GiB", 3*GiB, "3GiB")
	f("12B", 12, "12")
	for _, bad := range []string{"", "-1", "1.5MiB", "MiB", "9999999999GiB", "1TiB", "x"} {
		if got, err := ParseBytes(bad); err == nil {
			t.Errorf("%q was read as %d", bad, got)
		}
	}
}

// Ensure that the table in docs/configuration.md is the settings of this build;
// go test ./config -update writes it.
func TestSettings_TableInTheDocsIsCurrent(t *testing.T) {
	const file, begin, end = "../docs/configuration.md", "<!-- settings -->\n", "<!-- /settings -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := bytes.Cut(text, []byte(begin))
	old, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatalf("%s has no %s…%s", file, strings.TrimSpace(begin), end)
	}
	table := settingsTable()
	if string(old) == table {
		return
	}
	if !*update {
		t.Fatalf("the settings table in %s is not this build's; write it with: go test ./config -update", file)
	}
	text = fmt.Appendf(nil, "%s%s%s%s%s", head, begin, table, end, tail)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func settingsTable() string {
	var b strings.Builder
	b.WriteString("| setting | default | meaning |\n|---|---|---|\n")
	cfg := Default()
	for s := range cfg.Settings() {
		value := ""
		if text := s.Text(); text != "" {
			value = "`" + text + "`"
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s |\n", s.Key, s.Env, value, strings.ReplaceAll(s.Description, "|", "\\|"))
	}
	return b.String()
}
