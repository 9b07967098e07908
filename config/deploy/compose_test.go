package deploy

// docker-compose.yml, held against the files, the settings and itself.

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"logforge/config"
)

const root = "../.."

// stack loads the compose file as Docker Compose does, all profiles on, with
// env for what it interpolates.
func stack(t testing.TB, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithProfiles([]string{"*"}), cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// apps are the services that run our own binary as a server.
var apps = []string{"app-v1", "app-v2"}

func TestStack_IsWhatThePortsPromise(t *testing.T) {
	project := stack(t)
	want := map[string][]string{ // service to published ports
		"app-v1": {"8082"}, "app-v2": {"8083"}, "topic": nil, "kafka": {"19092"}, "prometheus": {"9090"}, "grafana": {"3000"}, "k6": nil, "s3": {"7070"}, "postgres": {"15432"},
	}
	if got := slices.Sorted(maps.Keys(project.Services)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("services %v", got)
	}
	for name, ports := range want {
		service := project.Services[name]
		var got []string
		for _, p := range service.Ports {
			got = append(got, p.Published)
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to %q, not to this machine only", name, p.Published, p.HostIP)
			}
		}
		if !slices.Equal(got, ports) {
			t.Errorf("%s publishes %v, not %v", name, got, ports)
		}
		if profiles := map[string][]string{"k6": {"k6"}, "s3": {"archive"}, "postgres": {"archive"}}; !slices.Equal(service.Profiles, profiles[name]) {
			t.Errorf("%s has profiles %v", name, service.Profiles)
		}
	}
}

// Ensure that the apps copy to the S3 server and the database of the stack where
// that is asked for, with the keys those have, and nowhere otherwise.
func TestStack_AppsArchiveWhereItSaysOnlyWhereThatIsAskedFor(t *testing.T) {
	for _, archive := range []string{"", "1"} {
		project := stack(t, "ARCHIVE="+archive)
		for _, name := range apps {
			for key, value := range project.Services[name].Environment {
				t.Setenv(key, *value)
			}
			cfg := settingsOf(t, project.Services[name].Command)
			if archive == "" {
				if cfg.Archive.Enabled() {
					t.Errorf("%s has an archive: %+v", name, cfg.Archive)
				}
				continue
			}
			s3, db := project.Services["s3"], project.Services["postgres"]
			if got, want := cfg.Archive.S3.Endpoint, fmt.Sprintf("http://s3:%d", s3.Ports[0].Target); got != want || cfg.Archive.S3.AccessKey != *s3.Environment["ROOT_ACCESS_KEY"] ||
				cfg.Archive.S3.SecretKey != *s3.Environment["ROOT_SECRET_KEY"] || !strings.Contains(s3.Entrypoint[2], "mkdir -p /data/"+cfg.Archive.S3.Bucket+" ") {
				t.Errorf("%s copies to %+v, the stack has %v", name, cfg.Archive.S3, s3.Environment)
			}
			env := db.Environment
			if got, want := cfg.Archive.Postgres.URL, fmt.Sprintf("postgres://%s:%s@postgres/%s?sslmode=disable", *env["POSTGRES_USER"], *env["POSTGRES_PASSWORD"], *env["POSTGRES_DB"]); got != want {
				t.Errorf("%s copies to %s, not %s", name, got, want)
			}
		}
	}
}

// settingsOf loads what a service's command makes of its -config file, which
// the image has in /etc/logforge.
func settingsOf(t testing.TB, args []string) *config.Config {
	t.Helper()
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	loader := config.Bind(fs)
	local := slices.Clone(args)
	for i, a := range local {
		if rest, ok := strings.CutPrefix(a, "/etc/logforge/"); ok {
			local[i] = filepath.Join(root, "config/examples", rest)
		}
	}
	if err := fs.Parse(local); err != nil {
		t.Fatal(err)
	}
	if fs.NArg() > 0 {
		t.Fatalf("%q is no flag", fs.Args())
	}
	cfg, warnings, err := loader.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("%v: %v", args, warnings)
	}
	return cfg
}

func TestStack_AppsListenWriteAndConnectWhereItSays(t *testing.T) {
	project := stack(t)
	for version, name := range map[int]string{1: "app-v1", 2: "app-v2"} {
		service := project.Services[name]
		cfg := settingsOf(t, service.Command)
		if cfg.Pipeline != version {
			t.Errorf("%s runs pipeline %d", name, cfg.Pipeline)
		}
		_, port, err := net.SplitHostPort(cfg.Server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := service.Ports[0]; port != got.Published || uint32(atoi(t, port)) != got.Target {
			t.Errorf("%s listens on %s, the stack maps %s to %d", name, port, got.Published, got.Target)
		}
		for _, dir := range []string{cfg.Storage.LogsDir, cfg.Storage.AnalyticsDir} {
			if v := service.Volumes; len(v) != 1 || v[0].Type != "volume" || !strings.HasPrefix(dir, v[0].Target+"/") {
				t.Errorf("%s writes %s, its volumes are %v", name, dir, v)
			}
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) {
			t.Errorf("%s may write outside its volume, or has capabilities", name)
		}
		if grace := *service.StopGracePeriod; grace <= types.Duration(cfg.Server.ShutdownTimeout+cfg.Server.DrainDelay) {
			t.Errorf("%s is killed after %s, but may take %s to stop", name, grace, cfg.Server.ShutdownTimeout)
		}
		test := service.HealthCheck.Test
		if !slices.Equal([]string(test[:3]), []string{"CMD", "/server", "healthcheck"}) || !slices.Equal([]string(test[3:]), []string(service.Command)) {
			t.Errorf("%s: health check %v asks another server than %v", name, test, service.Command)
		}
	}
	topic, v2 := project.Services["topic"], project.Services["app-v2"]
	if topic.Command[0] != "topic" || !slices.Equal([]string(topic.Command[1:]), []string(v2.Command)) {
		t.Errorf("topic runs %v, app-v2 %v", topic.Command, v2.Command)
	}
	if a, b := project.Services["app-v1"].Volumes[0].Source, v2.Volumes[0].Source; a == b {
		t.Errorf("both versions write volume %s", a)
	}
}

func TestStack_EveryMountedFileIsThere(t *testing.T) {
	for _, targets := range []string{"stack", "host"} {
		for name, service := range stack(t, "PROMETHEUS_TARGETS="+targets).Services {
			for _, v := range service.Volumes {
				if v.Type != "bind" {
					continue
				}
				if _, err := os.Stat(v.Source); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
				if !v.ReadOnly {
					t.Errorf("%s may write %s", name, v.Source)
				}
			}
		}
	}
}

func TestStack_WhatIsWaitedForCanBeWaitedFor(t *testing.T) {
	project := stack(t)
	adopted := false
	for name, service := range project.Services {
		for on, dependency := range service.DependsOn {
			other, ok := project.Services[on]
			switch {
			case !ok:
				t.Errorf("%s waits for %s, which is no service", name, on)
			case dependency.Condition == types.ServiceConditionHealthy && (other.HealthCheck == nil || other.HealthCheck.Disable):
				t.Errorf("%s waits for the health of %s, which has no check", name, on)
			case dependency.Condition == types.ServiceConditionCompletedSuccessfully:
				adopted = adopted || on == "topic"
			}
		}
	}
	// "up --wait" takes a service that ends for a failure, unless one waits for its end.
	if !adopted {
		t.Error("nothing waits for the end of topic")
	}
	for _, name := range []string{"kafka", "prometheus"} {
		if on := project.Services[name].DependsOn; len(on) > 0 {
			t.Errorf("infra-up would also start %v", on)
		}
	}
}

func TestStack_PrometheusScrapesTheAppsAndGrafanaReadsPrometheus(t *testing.T) {
	for _, targets := range []string{"stack", "host"} {
		project := stack(t, "PROMETHEUS_TARGETS="+targets)
		prometheus := project.Services["prometheus"]
		mounted := mountedAt(t, prometheus, "/etc/prometheus/targets.yml")
		var groups []struct{ Targets []string }
		readYAML(t, mounted, &groups)
		var got, want []string
		for _, g := range groups {
			got = append(got, g.Targets...)
		}
		for _, name := range apps {
			host := name
			if targets == "host" {
				host = strings.TrimSuffix(prometheus.ExtraHosts.AsList(":")[0], ":host-gateway")
			}
			want = append(want, host+":"+project.Services[name].Ports[0].Published)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s scrapes %v, not %v", filepath.Base(mounted), got, want)
		}
		if !slices.Contains(prometheus.Command, "--config.file=/etc/prometheus/prometheus.yml") {
			t.Errorf("prometheus runs %v", prometheus.Command)
		}
		mountedAt(t, prometheus, "/etc/prometheus/prometheus.yml")
		mountedAt(t, prometheus, "/etc/prometheus/rules.yml")
	}

	project := stack(t)
	grafana := project.Services["grafana"]
	provisioning := mountedAt(t, grafana, "/etc/grafana/provisioning")
	var sources struct{ Datasources []struct{ URL, UID string } }
	readYAML(t, filepath.Join(provisioning, "datasources/prometheus.yml"), &sources)
	if want := "http://prometheus:" + project.Services["prometheus"].Ports[0].Published; len(sources.Datasources) != 1 || sources.Datasources[0].URL != want || sources.Datasources[0].UID != "prometheus" {
		t.Errorf("data sources %v, not one at %s", sources, want)
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, filepath.Join(provisioning, "dashboards/logforge.yml"), &providers)
	dashboards := mountedAt(t, grafana, providers.Providers[0].Options.Path)
	if _, err := os.Stat(filepath.Join(dashboards, "logforge.json")); err != nil {
		t.Error(err)
	}
}

func TestStack_VariablesOfOurOwnAreSettings(t *testing.T) {
	known := map[string]bool{}
	cfg := config.Default()
	for s := range cfg.Settings() {
		known[s.Env] = true
	}
	for _, file := range []string{"docker-compose.yml", "Dockerfile"} {
		for _, name := range regexp.MustCompile(`LOGFORGE_[A-Z0-9_]+`).FindAllString(readText(t, filepath.Join(root, file)), -1) {
			if !known[name] {
				t.Errorf("%s names %s, which sets nothing", file, name)
			}
		}
	}
}

func TestStack_K6GetsTheVariablesItsScriptReads(t *testing.T) {
	k6 := stack(t).Services["k6"]
	dir := mountedAt(t, k6, "/scripts")
	script := filepath.Join(dir, strings.TrimPrefix(k6.Command[len(k6.Command)-1], "/scripts/"))
	if _, err := os.Stat(script); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.js"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(readText(t, script), "open(") {
		t.Error("the script opens a file; is it mounted?")
	}
	var text strings.Builder
	for _, f := range files {
		text.WriteString(readText(t, f))
	}
	for version, name := range map[string]string{"V1_URL": "app-v1", "V2_URL": "app-v2"} {
		app := stack(t).Services[name]
		if got, want := k6.Environment[version], "http://"+name+":"+app.Ports[0].Published; got == nil || *got != want {
			t.Errorf("k6 posts to %v, not to %s", got, want)
		}
		if _, ok := k6.DependsOn[name]; !ok {
			t.Errorf("k6 does not wait for %s", name)
		}
	}
	for name := range k6.Environment {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text.String()) {
			t.Errorf("no k6 script reads %s", name)
		}
	}
}

// mountedAt returns what a service has at a path in its container.
func mountedAt(t *testing.T, service types.ServiceConfig, target string) string {
	t.Helper()
	for _, v := range service.Volumes {
		if v.Target == target && v.Type == "bind" {
			return v.Source
		}
	}
	t.Fatalf("%s has nothing mounted at %s", service.Name, target)
	return ""
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readText(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
