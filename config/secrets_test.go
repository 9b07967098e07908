package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeFile makes a file in a directory of the test's own.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKeys_SwitchAuthenticationOnUnlessFalseIsSaidBesideThem(t *testing.T) {
	file := writeFile(t, "k\n")
	f := func(enabled, warns bool, text string, env map[string]string) {
		t.Helper()
		cfg, warnings := mustLoad(t, text, env)
		if cfg.Auth.Enabled != enabled {
			t.Errorf("%q %v: enabled is %v", text, env, cfg.Auth.Enabled)
		}
		if all := strings.Join(warnings, "\n"); strings.Contains(all, "AUTHENTICATION IS OFF") != warns {
			t.Errorf("%q %v: warnings %q", text, env, warnings)
		}
	}
	keys, keysFile := map[string]string{"LOGFORGE_AUTH_KEYS": "k"}, map[string]string{"LOGFORGE_AUTH_KEYS_FILE": file}
	f(false, false, "", nil)
	f(true, false, "", keys)
	f(true, false, "", keysFile)
	f(true, false, "auth: {keys: [k]}", nil)
	f(true, false, "auth: {keys: {alice: k}}", nil)
	f(true, false, "auth: {keysFile: "+file+"}", nil)
	f(true, false, "auth: {enabled: , keys: [k]}", nil) // no value is not a false
	f(true, false, "auth: {enabled: true, keys: [k]}", nil)
	f(false, true, "auth: {enabled: false, keys: [k]}", nil)
	f(false, true, "auth: {keys: [k]}", map[string]string{"LOGFORGE_AUTH_ENABLED": "false"})
	f(false, true, "", map[string]string{"LOGFORGE_AUTH_ENABLED": "false", "LOGFORGE_AUTH_KEYS": "k"})
	// Nobody who adds keys in the environment means the server to stay open.
	f(true, false, "auth: {enabled: false, keys: []}", keys)
	f(true, false, "auth: {enabled: false}", keysFile)
	f(false, false, "auth: {enabled: false, keys: []}", nil)
}

func TestKeys_HaveNamesInEveryLayer(t *testing.T) {
	want := Keys{{"alice", "k1"}, {"", "k:2"}, {"bob", "k 3"}}
	f := func(text string, env map[string]string) {
		t.Helper()
		cfg, _ := mustLoad(t, text, env)
		if diff := cmp.Diff(want, cfg.Auth.Keys); diff != "" {
			t.Errorf("%q %v:\n%s", text, env, diff)
		}
	}
	f("auth:\n  keys:\n    - alice: k1\n    - k:2\n    - bob: k 3\n", nil)
	f("", map[string]string{"LOGFORGE_AUTH_KEYS": "alice: k1, k:2,bob: k 3"})
	f("auth: {keysFile: "+writeFile(t, "\ufeff# who may write\r\nalice: k1\r\n\r\n  k:2 \nbob:  k 3")+"}", nil)
	want = Keys{{"alice", "k1"}, {"bob", "17"}}
	f("auth: {keys: {alice: k1, bob: 17}}", nil)
	want = nil
	f("auth: {keys: ['', ' ', null, ~]}", nil)
}

// Ensure that what is refused is named, and that no message shows a key.
func TestKeys_AreRefusedWithoutBeingShown(t *testing.T) {
	f := func(says, text string) {
		t.Helper()
		_, _, err := load(t, text, nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, does not say %q", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: the error shows a key: %v", text, err)
		}
	}
	f("auth.keys (LOGFORGE_AUTH_KEYS)", "auth: {keys: hunter2}")
	f("must be a list of keys", "auth: {keys: [[hunter2]]}")
	f("must be a list of keys", "auth: {keys: {alice: [hunter2]}}")
	f("must be a list of keys", "auth: {keys: {hunter2}}")
	f("must hold settings", "auth: hunter2")
	f("put the value in quotes", "auth: {keys: [*hunter2]}")
	f("what stands for a secret", "auth: {keys: ['********']}")
	f("what stands for a secret", "auth: {keys: {alice: '********'}}")
	f("put the secret itself", "version: 2\nkafka: {sasl: {mechanism: PLAIN, username: u, password: '********'}}")
	f("key 2 is there twice", "auth: {keys: [hunter2, hunter2]}")
	f("two keys are named alice", "auth: {keys: [alice: hunter2, alice: hunter3]}")
	f("the name of key 1", "auth: {keys: ['hunter 2': x]}")
	f("control character", `auth: {keys: ["hunter\x07"]}`)
	f("key 1 is empty", "auth: {keys: {alice: ''}}")
	f("analytics.peers", "analytics: {peers: ['http://me:hunter2@host:1']}")
	f("archive.s3.endpoint", "archive: {s3: {bucket: logs, endpoint: 'http://me:hunter2@host:1'}}")
	f("kafka.sasl.password (LOGFORGE_KAFKA_SASL_PASSWORD): must be one value", "version: 2\nkafka: {sasl: {password: [hunter2]}}")
}

func TestSecrets_AreReadFromFilesOnEveryLoad(t *testing.T) {
	file := writeFile(t, "sesame \r\n")
	text := "version: 2\nkafka: {sasl: {mechanism: PLAIN, username: u, passwordFile: " + file + "}}"
	cfg, _ := mustLoad(t, text, nil)
	if cfg.Kafka.SASL.Password != "sesame " { // a password may end in a space, but in no line end
		t.Errorf("got %q", cfg.Kafka.SASL.Password)
	}
	if err := os.WriteFile(file, []byte("open"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Kafka.SASL.CurrentPassword(); got != "open" {
		t.Errorf("a new connection uses %q", got)
	}
	if cfg, _ := mustLoad(t, text, nil); cfg.Kafka.SASL.Password != "open" {
		t.Errorf("got %q", cfg.Kafka.SASL.Password)
	}

	// The later layer wins, whichever of the two it names.
	if cfg, _ := mustLoad(t, text, map[string]string{"LOGFORGE_KAFKA_SASL_PASSWORD": "env"}); cfg.Kafka.SASL.CurrentPassword() != "env" {
		t.Errorf("the file of an earlier layer won: %q", cfg.Kafka.SASL.Password)
	}
	inline := "version: 2\nkafka: {sasl: {mechanism: PLAIN, username: u, password: inline}}"
	if cfg, _ := mustLoad(t, inline, map[string]string{"LOGFORGE_KAFKA_SASL_PASSWORD_FILE": file}); cfg.Kafka.SASL.CurrentPassword() != "open" {
		t.Errorf("the value of an earlier layer won: %q", cfg.Kafka.SASL.Password)
	}

	refused := func(text string, says ...string) {
		t.Helper()
		_, _, err := load(t, text, nil)
		for _, want := range says {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, does not say %q", text, err, want)
			}
		}
	}
	refused("auth: {keys: [a], keysFile: "+file+"}", "auth.keys and auth.keysFile are both set")
	refused("auth: {keysFile: /nowhere/keys}", "auth.keysFile (LOGFORGE_AUTH_KEYS_FILE)", "/nowhere/keys")
	refused("auth: {keysFile: "+writeFile(t, "# none\n")+"}", "is empty")
	refused("auth: {keysFile: "+t.TempDir()+"}", "auth.keysFile", "not a regular file")
	refused("auth: {keysFile: /dev/null}", "not a regular file")
	refused("auth: {keysFile: "+writeFile(t, strings.Repeat("x", maxFileBytes+1))+"}", "larger than 1MiB")
	refused("auth: {keysFile: "+writeFile(t, "********")+"}", "what stands for a secret")
}

// Ensure that every secret is marked as one and has a setting for a file beside
// it: printing, errors and reloading go by that mark.
func TestSecrets_HaveTheirMarkAndTheirFile(t *testing.T) {
	cfg := Default()
	secrets := 0
	all := map[string]bool{}
	for s := range cfg.Settings() {
		all[s.Key] = true
	}
	for s := range cfg.Settings() {
		name := s.Key[strings.LastIndexByte(s.Key, '.')+1:]
		sounds := regexp.MustCompile(`(?i)(password|secret|token|dsn|connectionstring|^keys$|^url$|peerkey)`).MatchString(name) && !strings.HasSuffix(name, "File")
		if sounds != s.Secret {
			t.Errorf("%s: marked as a secret: %v, sounds like one: %v", s.Key, s.Secret, sounds)
		}
		if s.Secret {
			secrets++
			if !all[s.Key+"File"] {
				t.Errorf("%s has no %sFile beside it", s.Key, s.Key)
			}
		}
	}
	if secrets < 2 {
		t.Errorf("only %d secrets found", secrets)
	}
}
