package proof

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"logforge/bench/child"
	"logforge/bench/corpus"
	"logforge/sink/kafka/kafkatest"
)

var cluster = flag.Bool("cluster", false, "instances that are one view share a cluster of three brokers")

// view is an answer of GET /analytics to a range, of all instances.
type view struct {
	Records         int64
	RequestsPerPath map[string]int64
	CountsLowBy     map[string]int64
	Peers           []struct {
		URL      string
		Answered bool
		Error    string
	}
	Missing []string
	Hours   []struct{ Records int64 }
}

func (v view) silent() (urls []string) {
	for _, p := range v.Peers {
		if !p.Answered {
			urls = append(urls, p.URL)
		}
	}
	return urls
}

// TestInstances_AreOneViewBehindHAProxy runs two processes that ingest and keep
// nothing, and two that consume, each into a directory of its own, all with the
// same list of peers, and HAProxy before the first two. What it answers has to be
// a recount of the log that was posted, and while one of the consumers is dead, a
// recount of the files of the other one, with the dead one named.
//
// At length (make chaos) it runs through a cluster of three brokers with three
// replicas of everything, one of which is killed and comes back as well.
func TestInstances_AreOneViewBehindHAProxy(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is not installed, and in CI nothing is left out")
		}
		t.Skip("needs haproxy (Debian: apt-get install haproxy)")
	}
	var brokers, topic string
	killBroker, restartBroker := func() {}, func() {}
	if *cluster {
		three := kafkatest.OwnCluster(t)
		brokers, topic = strings.Join(three.Addrs(), ","), "one-view"
		admin := three.Admin(t)
		if _, err := admin.CreateTopics(t.Context(), 8, 3, nil, topic, topic+".dlq"); err != nil {
			t.Fatal(err)
		}
		three.AwaitInSync(t, admin, topic, 3)
		killBroker = func() { three.Brokers[1].Kill(t) }
		restartBroker = func() {
			three.Restart(t, three.Brokers[1])
			three.AwaitInSync(t, admin, topic, 3)
		}
	} else {
		broker := kafkatest.Shared(t)
		brokers, topic = broker.Addr, broker.Topic(t, 8)
	}
	log := realLog(t)
	half := len(log) / 2

	names := []string{"ingest-1", "ingest-2", "consume-1", "consume-2"}
	addrs, dirs, processes := map[string]string{}, map[string]string{}, map[string]*child.Process{}
	var peers []string
	for _, name := range names {
		addrs[name], dirs[name] = freeAddr(t), t.TempDir()
		peers = append(peers, "http://"+addrs[name])
	}
	run := func(name string) {
		t.Helper()
		role, _, _ := strings.Cut(name, "-")
		processes[name] = startWith(t, dirs[name], addrs[name],
			[]string{"LOGFORGE_ANALYTICS_PEERS=" + strings.Join(peers, ","), "LOGFORGE_KAFKA_ROLE=" + role, "LOGFORGE_KAFKA_SESSION_TIMEOUT=6s"},
			"-version", "2", "-brokers", brokers, "-topic", topic, "-group", topic)
		waitReady(t, processes[name])
	}
	for _, name := range names {
		run(name)
	}
	front := freeAddr(t)
	proxy(t, haproxy, front, addrs["ingest-1"], addrs["ingest-2"])
	f := form(t, "ndjson")

	await := func(what string, want func() (map[string]int64, []string, error)) {
		t.Helper()
		var diff string
		for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			got, err := ask(front, log)
			if err != nil {
				diff = err.Error()
				continue
			}
			paths, silent, err := want()
			if err != nil {
				t.Fatal(err)
			}
			var records int64
			for _, n := range paths {
				records += n
			}
			if got.Records == records && maps.Equal(paths, got.RequestsPerPath) && slices.Equal(silent, got.silent()) && got.CountsLowBy == nil {
				return
			}
			diff = fmt.Sprintf("%d records of %d, %d paths of %d, silent %q of %q", got.Records, records, len(got.RequestsPerPath), len(paths), got.silent(), silent)
		}
		t.Fatalf("%s: %s", what, diff)
	}
	posted := func(n int, silent ...string) func() (map[string]int64, []string, error) {
		paths := map[string]int64{}
		for _, r := range log[:n] {
			paths[r.Path]++
		}
		return func() (map[string]int64, []string, error) { return paths, silent, nil }
	}

	postAll(t, front, requests(f, log[:half], 100, ""))
	await("all instances run", posted(half))

	dead := "http://" + addrs["consume-2"]
	processes["consume-2"].Kill()
	killBroker()
	await("one is dead", func() (map[string]int64, []string, error) {
		paths, err := storedPaths(dirs["consume-1"])
		return paths, []string{dead}, err
	})
	postAll(t, front, requests(f, log[half:], 100, "gzip"))
	restartBroker()
	run("consume-2")
	await("it has come back", posted(len(log)))

	// The sum is that of directories that are each right by themselves.
	for _, name := range names {
		if err := processes[name].Stop(patience); err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(name, "consume") {
			if err := compareSummaries(dirs[name]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if left, _ := filepath.Glob(filepath.Join(dirs[name], "*", "????-*")); len(left) > 0 {
			t.Errorf("%s keeps %v", name, left)
		}
	}
}

// proxy runs HAProxy on front before servers until the test ends.
func proxy(t *testing.T, haproxy, front string, servers ...string) {
	t.Helper()
	var cfg strings.Builder
	fmt.Fprintf(&cfg, "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"+
		"frontend all\n bind %s\n default_backend ingest\nbackend ingest\n balance roundrobin\n option httpchk GET /ready\n", front)
	for i, addr := range servers {
		fmt.Fprintf(&cfg, " server s%d %s check inter 500ms\n", i, addr)
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(cfg.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := child.Start(front, exec.Command(haproxy, "-db", "-f", file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if said := p.Kill(); t.Failed() {
			t.Logf("haproxy said:\n%s", said)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.WaitReady(ctx, "/ready"); err != nil {
		t.Fatal(err)
	}
}

// ask asks for the hours of a log.
func ask(addr string, log []corpus.Record) (v view, err error) {
	first, last := log[0].Time, log[0].Time
	for _, r := range log {
		if r.Time.Before(first) {
			first = r.Time
		}
		if r.Time.After(last) {
			last = r.Time
		}
	}
	const hour = "2006-01-02T15"
	resp, err := http.Get(fmt.Sprintf("http://%s/analytics?from=%s&to=%s&top=1000000&hourTop=1", addr, first.UTC().Format(hour), last.UTC().Format(hour)))
	if err != nil {
		return v, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return v, err
	}
	if resp.StatusCode != http.StatusOK {
		return v, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return v, json.Unmarshal(body, &v)
}

// storedPaths counts the paths in the hourly files below dir.
func storedPaths(dir string) (map[string]int64, error) {
	paths := map[string]int64{}
	err := eachLine(dir, func(_, line string) error {
		var r struct{ Path string }
		err := json.Unmarshal([]byte(line), &r)
		paths[r.Path]++
		return err
	})
	return paths, err
}
