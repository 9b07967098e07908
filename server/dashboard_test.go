package server

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-json"

	"logforge/config"
)

func withDashboard(c *config.Config) { c.Server.Dashboard = true }

func TestThePageLoadsWithNothingFromElsewhere(t *testing.T) {
	f := start(t, withDashboard)
	paths := []string{"/"}
	err := fs.WalkDir(dashboardFiles, "dashboard", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && path != "dashboard/index.html" {
			paths = append(paths, "/"+path)
		}
		return err
	})
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	kinds := map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
	for _, path := range paths {
		r := f.do("GET", path, nil)
		want := kinds[filepath.Ext(path)]
		if path == "/" {
			want = "text/html"
		}
		if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), want) {
			t.Errorf("GET %s: %d, %s", path, r.status, r.header.Get("Content-Type"))
		}
		policy := r.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("GET %s: policy %q", path, policy)
		}
		if got := f.do("GET", path, nil, "If-None-Match", r.header.Get("ETag")); got.status != 304 || got.body != "" {
			t.Errorf("GET %s again: %d with %d bytes", path, got.status, len(got.body))
		}
		// uPlot's licence names its author's address; our own files name no host.
		if !strings.Contains(path, "/uplot/") {
			for _, host := range []string{"http://", "https://"} {
				if i := strings.Index(r.body, host); i >= 0 && !strings.HasPrefix(r.body[i:], "http://www.w3.org/") {
					t.Errorf("%s names a host: %.60s", path, r.body[i:])
				}
			}
		}
	}
	for _, path := range []string{"/dashboard/", "/dashboard/index.html", "/dashboard/../go.mod", "/dashboard/e2e/run.sh", "/dashboard/nothing"} {
		if r := f.do("GET", path, nil); r.status != 404 {
			t.Errorf("GET %s: %d", path, r.status)
		}
	}
}

func TestWithoutTheDashboardThereIsNoPageAndNoDataForOne(t *testing.T) {
	f := start(t, nil)
	for _, path := range []string{"/", "/dashboard/main.js", "/dashboard/config", "/dashboard/metrics"} {
		if r := f.do("GET", path, nil); r.status != 404 {
			t.Errorf("GET %s: %d", path, r.status)
		}
	}
}

func TestThePageIsOpenAndItsDataAsksForTheKey(t *testing.T) {
	f := start(t, func(c *config.Config) {
		withDashboard(c)
		c.Auth = config.Auth{Enabled: true, HeaderName: `X-"Key"`, Keys: config.Keys{{Value: "sesame"}}}
	})
	if r := f.do("GET", "/", nil); r.status != 200 || !strings.Contains(r.body, `data-key-header="X-&#34;Key&#34;"`) {
		t.Errorf("GET /: %d, and the page does not know the header", r.status)
	}
	for _, path := range []string{"/dashboard/config", "/analytics?hour=2026-02-09T15"} {
		if r := f.do("GET", path, nil); r.status != 401 {
			t.Errorf("GET %s without a key: %d", path, r.status)
		}
	}
}

func TestThePageIsToldWhatItSaysOfThisServer(t *testing.T) {
	dir := t.TempDir()
	facts := func(change func(*config.Config)) dashboardFacts {
		f := start(t, func(c *config.Config) {
			withDashboard(c)
			c.Storage.AnalyticsDir = dir
			c.Ingestion.Ack = config.DefaultAck(c.Pipeline)
			change(c)
		})
		r := f.do("GET", "/dashboard/config", nil)
		var got dashboardFacts
		if err := json.Unmarshal([]byte(r.body), &got); err != nil || r.status != 200 || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s: %v", r.status, r.body, err)
		}
		return got
	}
	got := facts(func(*config.Config) {})
	if got.Ack != "written" || strings.Join(got.Acks, " ") != "written synced" || got.Kafka != nil || got.SyncIntervalSeconds != 1 ||
		got.MaxBodyBytes != 20<<20 || got.Version != "1.2.3" || got.FirstDay != "2026-02-09" || got.RecentDay != "2026-02-09" || got.LastDay != "2026-02-09" {
		t.Errorf("pipeline 1: %+v", got)
	}
	got = facts(func(c *config.Config) { c.Pipeline, c.Ingestion.Ack = 2, "replicated" })
	if got.Ack != "replicated" || strings.Join(got.Acks, " ") != "replicated enqueued" || got.Kafka == nil || got.Kafka.Topic != "logs" {
		t.Errorf("pipeline 2: %+v", got)
	}
	got = facts(func(c *config.Config) { c.Pipeline, c.Ingestion.Ack, c.Kafka.RequireAllAcks = 2, "enqueued", false })
	if strings.Join(got.Acks, " ") != "enqueued" {
		t.Errorf("without all acks: %+v", got)
	}
}

func TestTheChartLibraryIsAsItsSumsSay(t *testing.T) {
	sums, err := dashboardFiles.ReadFile("dashboard/uplot/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for line := range strings.Lines(string(sums)) {
		want, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		body, err := dashboardFiles.ReadFile("dashboard/uplot/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s was changed: server/dashboard/vendor.sh fetches it anew", name)
		}
		files++
	}
	if files != 3 {
		t.Errorf("%d files", files)
	}
}

func TestEveryMetricIsDescribedOnceBeforeItsSamples(t *testing.T) {
	f := start(t, withDashboard)
	f.do("POST", "/logs", strings.NewReader(line1))
	for _, path := range []string{"/metrics", "/dashboard/metrics"} {
		described, current := map[string]bool{}, ""
		for line := range strings.Lines(f.do("GET", path, nil).body) {
			if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
				name, sentence, _ := strings.Cut(rest, " ")
				if described[name] || len(strings.TrimSpace(sentence)) < 5 {
					t.Errorf("%s: HELP of %s: %q, twice %v", path, name, sentence, described[name])
				}
				described[name], current = true, name
				continue
			}
			if name := line[:strings.IndexAny(line, "{ ")]; line[0] != '#' && !strings.HasPrefix(name, current) {
				t.Errorf("%s: %s has no HELP; register it with package metric", path, name)
			}
		}
		if !described["logforge_records_written_total"] || !described["go_goroutines"] || described["go_info_ext"] {
			t.Errorf("%s describes %v", path, described)
		}
	}
}
