package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestYAML_MistakesAreNamedWithLineAndRemedy(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, _, err := load(t, text, nil)
		if err == nil {
			t.Errorf("%q was accepted", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q:\n%v\ndoes not say %q", text, err, w)
			}
		}
	}
	f("server:\n  adr: :1\n", "c.yaml:2: unknown key server.adr; did you mean server.addr?")
	f("servr:\n  addr: :1\n", "unknown key servr; did you mean server?")
	f("kafka:\n  groupId: x\n", "did you mean kafka.groupID?")
	f("kafka:\n  flushBytes: 1\n", "unknown key kafka.flushBytes; did you mean consumer.flushBytes?")
	f("nonsense: 1\n", "c.yaml:1: unknown key nonsense")
	f("version: 1\nserver: {}\nversion: 2\n", "c.yaml:3: the key version is already set on line 1")
	f("server:\n  addr: a:1\n  addr: b:1\n", "c.yaml:3: the key addr is already set on line 2")
	f("adr: 1\nstorage:\n  logDir: x\n", "adr", "storage.logsDir") // all of them, not the first
	f("server: 5\n", "c.yaml:1: server must hold settings")
	f("- a\n", "the file must hold settings")
	f("server: {addr: [a]}", "server.addr", "must be one value")
	f("server: {readTimeout: 30}", "server.readTimeout (LOGFORGE_SERVER_READ_TIMEOUT)", `"30" is not a duration`, "30s")
	f("server: {readTimeout: [30s]}", "server.readTimeout", "must be a duration", "30s")
	f("server: {maxConnections: many}", "server.maxConnections", `"many" is not a whole number`)
	f("server: {maxBodyBytes: 1XB}", "server.maxBodyBytes", "32MiB")
	f("server: {dashboard: perhaps}", "server.dashboard", "true or false")
	f("kafka: {brokers: localhost:1}", "kafka.brokers", "list")
	f("version: one", "version (LOGFORGE_VERSION)", "whole number")
	f("version: 1\n---\nversion: 2\n", "more than one YAML document")
	f("server: [", "c.yaml: yaml: line 1")
	f(":\n", "c.yaml")
}

func TestYAML_AnchorsWork(t *testing.T) {
	cfg, _ := mustLoad(t, "server:\n  readTimeout: &t 7s\n  writeTimeout: *t\n", nil)
	if cfg.Server.WriteTimeout != cfg.Server.ReadTimeout {
		t.Errorf("got %v", cfg.Server.WriteTimeout)
	}
	cfg, _ = mustLoad(t, "server: &s {readTimeout: 7s}\nkafka: {tls: {<<: {enabled: true}}}\n", nil)
	if !cfg.Kafka.TLS.Enabled {
		t.Error("a merge key is passed over")
	}
}

// Ensure that a file of the earlier program (with all its settings) starts.
func TestYAML_FirstDesignFilesStartWithOneWarningAKey(t *testing.T) {
	const text = `
version: 2
server: {addr: ":8083", readHeaderTimeout: 2s, readTimeout: 10s, writeTimeout: 10s, idleTimeout: 60s, requestTimeout: 5s}
auth: {enabled: false, headerName: "X-API-Key", keys: []}
storage:
  backend: file
  logsDir: "./logs"
  analyticsDir: "./analytics"
  minio: {endpoint: "localhost:9000", bucket: logforge, accessKey: a, secretKey: s, useSSL: false, logsPrefix: logs, analyticsPrefix: analytics}
aggregation: {interval: 30s}
ingestion:
  queueBufferSize: 100000
  producerWorkers: 48
  producerWriteTimeout: 5s
  queueHighWaterPercent: 0.98
  syncOnIngest: true
  circuitFailureThreshold: 3
  circuitCooldown: 15s
consumer: {flushSize: 4096, flushInterval: 100ms, persistTimeout: 5s}
kafka:
  brokers: [localhost:19092]
  topic: logs
  groupID: logs-consumer-group
  batchSize: 5000
  batchTimeout: 5ms
  batchBytes: 2000000
  compression: none
  async: false
  consumers: 10
  requireAllAcks: true
`
	cfg, warnings := mustLoad(t, text, nil)
	if cfg.Ingestion.Ack != "replicated" || cfg.Kafka.Consumers != 10 || cfg.Kafka.GroupID != "logs-consumer-group" {
		t.Errorf("%+v", cfg)
	}
	if all := strings.Join(warnings, "\n"); !strings.Contains(all, "storage.minio has no effect while storage.backend is file") {
		t.Errorf("no warning for storage.minio")
	}
	if len(warnings) != len(legacy)+1 {
		t.Errorf("%d warnings for %d keys without a meaning: %q", len(warnings), len(legacy), warnings)
	}
	for key, instead := range legacy {
		if all := strings.Join(warnings, "\n"); !strings.Contains(all, key+" is a setting of an earlier program") || !strings.Contains(all, instead) {
			t.Errorf("no warning for %s", key)
		}
	}
}

func TestExamples_LoadWithoutWarnings(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	dirs := map[string]string{}
	for _, file := range files {
		cfg, warnings := mustLoad(t, "", nil, "-config", file)
		if len(warnings) != 0 {
			t.Errorf("%s: %q", file, warnings)
		}
		if want := "config.v" + string('0'+rune(cfg.Pipeline)) + "."; !strings.HasPrefix(filepath.Base(file), want) {
			t.Errorf("%s configures pipeline %d", file, cfg.Pipeline)
		}
		if strings.HasSuffix(file, "local.yaml") {
			for _, own := range []string{cfg.Server.Addr, cfg.Storage.LogsDir, cfg.Storage.AnalyticsDir} {
				if other := dirs[own]; other != "" {
					t.Errorf("%s and %s both use %s and cannot run side by side", file, other, own)
				}
				dirs[own] = file
			}
		}
	}
}
