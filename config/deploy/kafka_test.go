package deploy

// The stack's broker.

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"logforge/sink/kafka/kafkatest"
)

func TestStack_KafkaIsReachedByTheNamesItAdvertises(t *testing.T) {
	project := stack(t)
	kafka := project.Services["kafka"]
	env := func(name string) string {
		if v := kafka.Environment[name]; v != nil {
			return *v
		}
		t.Fatalf("kafka lacks %s", name)
		return ""
	}
	listeners := map[string]string{}
	for _, l := range strings.Split(env("KAFKA_LISTENERS"), ",") {
		name, addr, _ := strings.Cut(l, "://")
		listeners[name] = addr
	}
	advertised := map[string]string{}
	for _, l := range strings.Split(env("KAFKA_ADVERTISED_LISTENERS"), ",") {
		name, addr, _ := strings.Cut(l, "://")
		advertised[name] = addr
		_, port, _ := net.SplitHostPort(addr)
		if listeners[name] != ":"+port {
			t.Errorf("kafka advertises %s, but listens on %q", l, listeners[name])
		}
	}
	inside := settingsOf(t, project.Services["app-v2"].Command).Kafka.Brokers
	if !slices.Equal(inside, []string{advertised["INTERNAL"]}) || kafka.Hostname != "kafka" {
		t.Errorf("app-v2 asks %v, kafka advertises %v", inside, advertised)
	}
	outside := settingsOf(t, []string{"-config", filepath.Join(root, "config/examples/config.v2.local.yaml")}).Kafka.Brokers
	if !slices.Equal(outside, []string{advertised["HOST"]}) || advertised["HOST"] != "localhost:"+kafka.Ports[0].Published {
		t.Errorf("an app outside asks %v, kafka advertises %v", outside, advertised)
	}
	if voters, port := env("KAFKA_CONTROLLER_QUORUM_VOTERS"), listeners[env("KAFKA_CONTROLLER_LISTENER_NAMES")]; voters != env("KAFKA_NODE_ID")+"@kafka"+port {
		t.Errorf("quorum voters %s, controller on %s", voters, port)
	}
	if v := kafka.Volumes[0]; v.Target != env("KAFKA_LOG_DIRS") {
		t.Errorf("kafka writes %s, its volume is at %s", env("KAFKA_LOG_DIRS"), v.Target)
	}
	if _, port, _ := net.SplitHostPort(kafka.HealthCheck.Test[len(kafka.HealthCheck.Test)-1]); listeners["INTERNAL"] != ":"+port {
		t.Errorf("kafka's health check asks port %s", port)
	}
}

// Kafka itself reads the settings, as its image's start script writes them:
// formatting the storage checks all of them, and the cluster id.
func TestStack_KafkaAcceptsItsSettings(t *testing.T) {
	kafkatest.Own(t) // which fetches Kafka's jars where they are not there yet
	kafka := stack(t).Services["kafka"]
	var properties strings.Builder
	for name, value := range kafka.Environment {
		key, ok := strings.CutPrefix(name, "KAFKA_")
		if !ok || name == "KAFKA_HEAP_OPTS" {
			continue
		}
		if name == "KAFKA_LOG_DIRS" {
			dir := t.TempDir()
			value = &dir
		}
		properties.WriteString(strings.ToLower(strings.ReplaceAll(key, "_", ".")) + "=" + *value + "\n")
	}
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(properties.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	libs := filepath.Join(root, ".kafka/libs")
	format := exec.Command("java", "-cp", libs+"/*", "kafka.tools.StorageTool", "format", "-t", *kafka.Environment["CLUSTER_ID"], "-c", file)
	if text, err := format.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, properties.String(), text)
	}
	jars, err := filepath.Glob(filepath.Join(libs, "kafka_2.13-*.jar"))
	if _, version, _ := strings.Cut(kafka.Image, ":"); err != nil || len(jars) != 1 || filepath.Base(jars[0]) != "kafka_2.13-"+version+".jar" {
		t.Errorf("the stack runs %s, the tests %v", kafka.Image, jars)
	}
}
