package deploy

// Debian's Prometheus, with the project's configuration, over both pipelines.

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"logforge/sink/archive/archivetest"
	"logforge/sink/kafka/kafkatest"
)

func TestMain(m *testing.M) { os.Exit(max(kafkatest.Main(m), archivetest.Stop())) }

// pipelines runs both versions until the end of the test, sends each good and
// bad batches all the while, and returns their addresses by the name of their
// service.
func pipelines(t *testing.T) map[string]string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "server")
	compile := exec.Command("go", "build", "-o", bin, "./cmd/server")
	compile.Dir = root
	if text, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	broker := kafkatest.Shared(t)
	bucket, database := archivetest.S3Server(t), archivetest.PostgreSQL(t)
	archive := []string{
		"LOGFORGE_ARCHIVE_AFTER=100ms", "LOGFORGE_ARCHIVE_S3_ENDPOINT=" + bucket.Endpoint(), "LOGFORGE_ARCHIVE_S3_BUCKET=" + bucket.Bucket(t),
		"LOGFORGE_ARCHIVE_S3_ACCESS_KEY=" + archivetest.AccessKey, "LOGFORGE_ARCHIVE_S3_SECRET_KEY=" + archivetest.SecretKey,
		"LOGFORGE_ARCHIVE_POSTGRES_URL=" + database.New(t), "LOGFORGE_ARCHIVE_POSTGRES_INTERVAL=100ms",
	}
	addrs := map[string]string{}
	for version, name := range map[int]string{1: "app-v1", 2: "app-v2"} {
		dir := t.TempDir()
		addrs[name] = "127.0.0.1:" + freePort(t)
		args := []string{
			"-version", strconv.Itoa(version), "-addr", addrs[name], "-aggregation-interval", "1s",
			"-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics"),
		}
		if version == 2 {
			topic := broker.TopicName(t)
			args = append(args, "-brokers", broker.Addr, "-topic", topic, "-group", topic)
			if text, err := exec.Command(bin, append([]string{"topic"}, args...)...).CombinedOutput(); err != nil {
				t.Fatalf("server topic: %v\n%s", err, text)
			}
		}
		server := exec.Command(bin, args...)
		server.Env = append(os.Environ(), archive...)
		start(t, server)
		eventually(t, name+" is ready", func() bool { return get("http://"+addrs[name]+"/ready") == http.StatusOK })
	}

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			for _, addr := range addrs {
				good := fmt.Sprintf(`{"timestamp":"2026-02-09T15:%02d:00Z","path":"/p%d","userAgent":"ops"}`, i%60, i%7)
				want, body := http.StatusAccepted, "["+good+","+good+"]"
				if i%5 == 0 {
					want, body = http.StatusBadRequest, "["+good+`,{"timestamp":"now","path":"/","userAgent":"ops"}]`
				}
				if got := post(t, "http://"+addr, body); got != want {
					t.Errorf("POST %s: %d, not %d", addr, got, want)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return addrs
}

// prometheus runs Prometheus with the project's files, the targets put in
// place of the stack's, and a reading a second. It returns its address.
func prometheus(t *testing.T, addrs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	replaced := func(text, from, to string) string {
		if !strings.Contains(text, from) {
			t.Fatalf("no %q to replace", from)
		}
		return strings.ReplaceAll(text, from, to)
	}
	files := filepath.Join(root, "config/deploy/prometheus")
	write("prometheus.yml", replaced(readText(t, filepath.Join(files, "prometheus.yml")), "_interval: 5s", "_interval: 1s"))
	write("rules.yml", readText(t, filepath.Join(files, "rules.yml")))
	targets := readText(t, filepath.Join(files, "targets-stack.yml"))
	for name, addr := range addrs {
		service := stack(t).Services[name]
		targets = replaced(targets, name+":"+service.Ports[0].Published, addr)
	}
	write("targets.yml", targets)
	addr := "127.0.0.1:" + freePort(t)
	start(t, exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr))
	eventually(t, "Prometheus is ready", func() bool { return get("http://"+addr+"/-/ready") == http.StatusOK })
	return "http://" + addr
}

// sample is one result of an instant query.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

func (s sample) number(t *testing.T) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s.Value[1].(string), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// ask puts an API's answer into result.
func ask(t *testing.T, address string, result any) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	answer := struct {
		Status, Error string
		Data          any
	}{Data: result}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Status != "success" {
		t.Fatalf("%s: %s", address, answer.Error)
	}
}

func query(t *testing.T, base, expr string) []sample {
	t.Helper()
	var data struct{ Result []sample }
	ask(t, base+"/api/v1/query?query="+url.QueryEscape(expr), &data)
	return data.Result
}

// panel is what this test reads of the dashboard.
type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

func TestPrometheus_AnswersEveryQueryOfTheDashboardAndTheRules(t *testing.T) {
	addrs := pipelines(t)
	base := prometheus(t, addrs)
	eventually(t, "both pipelines were scraped a few times", func() bool {
		found := query(t, base, `min_over_time(up{job="logforge"}[8s]) == 1 and count_over_time(up[8s]) >= 7`)
		return len(found) == len(addrs)
	})
	for _, addr := range addrs { // the first summary, the first commit
		eventually(t, addr+" has aggregated", func() bool {
			found := query(t, base, `rate(logforge_aggregation_records_total{instance="`+addr+`"}[5s]) > 0`)
			return len(found) == 1
		})
	}

	t.Run("dashboard", func(t *testing.T) { askDashboard(t, base) })
	t.Run("rules", func(t *testing.T) { askRules(t, base) })
	t.Run("metrics", func(t *testing.T) { checkMetrics(t, addrs) })
	t.Run("invariant", func(t *testing.T) {
		const expr = `logforge_records_received_total - on (instance) logforge_records_written_total - on (instance) sum by (instance) (logforge_records_rejected_total)`
		found := query(t, base, expr)
		if len(found) != 2 {
			t.Fatalf("%d results", len(found))
		}
		for _, s := range found {
			if s.number(t) != 0 {
				t.Errorf("%s: received - written - rejected = %v", s.Metric["instance"], s.Value[1])
			}
		}
	})
}

func askDashboard(t *testing.T, base string) {
	var board struct {
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	if err := json.Unmarshal([]byte(readText(t, filepath.Join(root, "config/deploy/grafana/dashboards/logforge.json"))), &board); err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			queries++
			expr := strings.NewReplacer("$__rate_interval", "5s", "$instance", ".*", "$job", ".*").Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: what is left of a variable in %s", p.Title, expr)
			}
			found := query(t, base, expr)
			if !slices.ContainsFunc(found, func(s sample) bool { return !math.IsNaN(s.number(t)) }) {
				t.Errorf("%s: no data for %s", p.Title, expr)
			}
		}
	}
	if queries < 30 {
		t.Errorf("%d queries", queries)
	}
	// The data source is the first variable, so that the board can be imported as
	// it is; the others ask it.
	list := board.Templating.List
	if len(list) != 3 || list[0].Type != "datasource" || list[0].Name != "datasource" {
		t.Fatalf("the variables are %+v", list)
	}
	for i, want := range []int{1, 2} { // one job, two servers
		label := regexp.MustCompile(`^label_values\((\w+)(?:\{.*\})?, (\w+)\)$`).FindStringSubmatch(list[i+1].Definition)
		if label == nil {
			t.Fatalf("variable %s is %q", list[i+1].Name, list[i+1].Definition)
		}
		var values []string
		ask(t, base+"/api/v1/label/"+label[2]+"/values?match[]="+label[1], &values)
		if len(values) != want {
			t.Errorf("the dashboard offers %v for %s", values, list[i+1].Name)
		}
	}
	text := readText(t, filepath.Join(root, "config/deploy/grafana/dashboards/logforge.json"))
	if strings.Contains(text, `"uid": "prometheus"`) {
		t.Error("a panel asks a data source by its id instead of $datasource")
	}
}

// Ensure that every alert leads to a section that says what to look at and what to
// do, and that every section is of an alert.
func TestRules_EachLeadsToItsRunbook(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, filepath.Join(root, "config/deploy/prometheus/rules.yml"), &file)
	sections := map[string]string{}
	for _, section := range strings.Split(readText(t, filepath.Join(root, "docs/runbooks.md")), "\n## ")[1:] {
		name, text, _ := strings.Cut(section, "\n")
		sections[name] = text
	}
	for _, rule := range file.Groups[0].Rules {
		if want := "docs/runbooks.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
			t.Errorf("%s leads to %q, not %q", rule.Alert, rule.Annotations["runbook_url"], want)
		}
		text, ok := sections[rule.Alert]
		if !ok || !strings.Contains(text, "**Look at**") || !strings.Contains(text, "**Do**") {
			t.Errorf("docs/runbooks.md does not say what to look at and what to do for %s", rule.Alert)
		}
		delete(sections, rule.Alert)
	}
	for name := range sections {
		t.Errorf("docs/runbooks.md has a section %s, and no rule has that name", name)
	}
}

// optional are the metrics that are there only where peers or named
// keys are set, or once a record was set aside.
var optional = regexp.MustCompile(`^logforge_(analytics_peer|key|records_set_aside)_`)

func askRules(t *testing.T, base string) {
	var data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError, State, Query string
			}
		}
	}
	ask(t, base+"/api/v1/rules", &data)
	rules := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" || r.State == "firing" {
				t.Errorf("%s is %s, %s: %s", r.Name, r.Health, r.State, r.LastError)
			}
			// A metric that was renamed would make a rule that can never fire.
			for _, name := range regexp.MustCompile(`\b(?:logforge|kafka)_\w+|\bup\b`).FindAllString(r.Query, -1) {
				if optional.MatchString(name) {
					continue
				}
				if len(query(t, base, "count("+name+")")) == 0 {
					t.Errorf("%s asks for %s, which nobody exports", r.Name, name)
				}
			}
		}
	}
	var file struct {
		Groups []struct{ Rules []yaml.Node }
	}
	readYAML(t, filepath.Join(root, "config/deploy/prometheus/rules.yml"), &file)
	if rules == 0 || rules != len(file.Groups[0].Rules) {
		t.Errorf("Prometheus has %d rules", rules)
	}
}

// checkMetrics lets Prometheus's linter read both pipelines' metrics, and holds
// that what docs/metrics.md and the page name is exported by one of them.
func checkMetrics(t *testing.T, addrs map[string]string) {
	var all strings.Builder
	for name, addr := range addrs {
		resp, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		lint := exec.Command("promtool", "check", "metrics")
		text := readBody(t, resp)
		lint.Stdin = strings.NewReader(text)
		if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: promtool check metrics: %v\n%s", name, err, out)
		}
		all.WriteString(text)
	}
	exported := all.String()
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(readText(t, filepath.Join(root, "docs/metrics.md")), -1) {
		if name := row[1]; !optional.MatchString(name) && !strings.Contains(exported, "# TYPE "+name+" ") {
			t.Errorf("docs/metrics.md lists %s, which nobody exports", name)
		}
	}
	named := regexp.MustCompile(`: "(\w+)"`).FindAllStringSubmatch(readText(t, filepath.Join(root, "server/dashboard/names.js")), -1)
	for _, n := range named {
		if !strings.Contains(exported, "# TYPE "+n[1]+" ") {
			t.Errorf("the page reads %s, which nobody exports", n[1])
		}
	}
	if len(named) < 10 {
		t.Errorf("the page reads %d metrics", len(named))
	}
}
