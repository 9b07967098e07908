package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"logforge/sink"
	"logforge/sink/kafka/kafkatest"
)

// rejectedFile writes n records that were set aside for want of a name, one of
// them truncated and one torn off at the end.
func rejectedFile(t *testing.T, dir string, hour, n int) string {
	t.Helper()
	name := filepath.Join(dir, "logs", ".rejected", "2026-02-09", fmt.Sprintf("%02d.ndjson", hour))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	var text []byte
	for i := range n {
		record := fmt.Sprintf(`{"timestamp":"2026-02-09T15:00:00Z","where":"/r/%d/%d","userAgent":"x"}`, hour, i)
		if i%3 == 0 {
			record = fmt.Sprintf(`192.0.2.1 - - [09/Feb/2026:15:00:00 +0000] "GET /r/%d/%d HTTP/1.1" 200 1 "-" "x"`, hour, i)
		}
		r := sink.Rejected{At: time.Now(), From: "192.0.2.1", Route: "/ingest", Field: "path", Reason: "is missing", Record: []byte(record)}
		text = r.AppendJSON(text)
	}
	truncated := sink.Rejected{At: time.Now(), Record: []byte("beginning"), Bytes: 1 << 20}
	text = truncated.AppendJSON(text)
	if err := os.WriteFile(name, append(text, `{"at":"2026-02`...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// paths counts the records in the files by their paths.
func paths(t *testing.T, logsDir string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	eachLine(t, logsDir, func(_, line string) {
		_, rest, _ := strings.Cut(line, `"path":"`)
		path, _, _ := strings.Cut(rest, `"`)
		counts[path]++
	})
	return counts
}

func wantOnce(t *testing.T, counts map[string]int, hours, n int) {
	t.Helper()
	for hour := range hours {
		for i := range n {
			if path := fmt.Sprintf("/r/%d/%d", hour, i); counts[path] != 1 {
				t.Errorf("%s is stored %d times", path, counts[path])
			}
		}
	}
	if len(counts) != hours*n {
		t.Errorf("%d paths instead of %d", len(counts), hours*n)
	}
}

var named = []string{"LOGFORGE_INGESTION_FIELDS_PATH=path,where"}

// Ensure that resubmit stores every record of a directory once, says what it did,
// and does nothing the second time.
func TestResubmit_StoresEachRecordOnce(t *testing.T) {
	dir := t.TempDir()
	for hour := range 3 {
		rejectedFile(t, dir, hour, 700)
	}
	_, url := serving(t, dir, named)
	addr := strings.TrimPrefix(url, "http://")
	launch(t, dir, nil, "-addr", addr, "resubmit", "logs/.rejected").expect(0, "stored=2100", `"only their beginning was kept"=3`)
	wantOnce(t, paths(t, filepath.Join(dir, "logs")), 3, 700)
	launch(t, dir, nil, "-addr", addr, "resubmit", "logs/.rejected").expect(0, "stored=0")
	wantOnce(t, paths(t, filepath.Join(dir, "logs")), 3, 700)
}

// Ensure that being killed at any moment loses and doubles nothing.
func TestResubmit_SurvivesBeingKilled(t *testing.T) {
	dir := t.TempDir()
	const hours, n = 4, 3000
	for hour := range hours {
		rejectedFile(t, dir, hour, n)
	}
	_, url := serving(t, dir, named)
	addr := strings.TrimPrefix(url, "http://")
	for range 12 {
		c := launch(t, dir, nil, "-addr", addr, "resubmit", "logs/.rejected")
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond) // the moment is what is tested
		_ = c.cmd.Process.Kill()
		<-c.done
	}
	launch(t, dir, nil, "-addr", addr, "resubmit", "logs/.rejected").expect(0)
	wantOnce(t, paths(t, filepath.Join(dir, "logs")), hours, n)
}

// Ensure that a chunk whose outcome is unknown stops the command, until a person has
// decided.
func TestResubmit_AsksWhenNobodyKnows(t *testing.T) {
	for word, want := range map[string]int{"skip": 0, "again": 1} {
		dir := t.TempDir()
		name := rejectedFile(t, dir, 0, 10)
		size := int64(0)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasSuffix(line, "\n") {
				size += int64(len(line))
			}
		}
		progress := fmt.Sprintf(`{"source":"x","position":0,"pending":{"to":%d,"key":"k","instance":"gone"}}`, size)
		if err := os.WriteFile(filepath.Join(filepath.Dir(name), ".00.ndjson.resubmitted"), []byte(progress), 0o644); err != nil {
			t.Fatal(err)
		}
		_, url := serving(t, dir, named)
		addr := strings.TrimPrefix(url, "http://")
		launch(t, dir, nil, "-addr", addr, "resubmit", name).expect(1, "it is unknown", "skip", "again")
		if counts := paths(t, filepath.Join(dir, "logs")); len(counts) != 0 {
			t.Errorf("stored before anybody decided: %v", counts)
		}
		launch(t, dir, nil, "-addr", addr, "resubmit", name, word).expect(0)
		counts := paths(t, filepath.Join(dir, "logs"))
		if len(counts) != 10*want {
			t.Errorf("%s: %v", word, counts)
		}
		launch(t, dir, nil, "-addr", addr, "resubmit", name).expect(0, "stored=0")
	}
}

// Ensure that what is no web request now either is set aside again, once, and that
// a server which is not there yet is waited for.
func TestResubmit_SetsAsideAgainWhatIsStillNoWebRequest(t *testing.T) {
	dir := t.TempDir()
	name := rejectedFile(t, dir, 0, 10)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		junk := sink.Rejected{At: time.Now(), Record: fmt.Appendf(nil, "junk %d\n\xff", i)}
		text = append(junk.AppendJSON(nil), text...)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
	_, url := serving(t, dir, nil)
	addr := strings.TrimPrefix(url, "http://")
	launch(t, dir, nil, "-addr", addr, "resubmit", name).expect(0, "stored=10", `"set aside again"=20`)
	launch(t, dir, nil, "-addr", addr, "resubmit", name).expect(0, "stored=0", `"set aside again"=0`)
	if status, _ := get(t, url+"/health"); status != http.StatusOK {
		t.Error(status)
	}
}

func TestResubmit_SaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	launch(t, dir, nil, "resubmit", "nowhere").expect(1, "nowhere")
	launch(t, dir, nil, "resubmit", ".", "perhaps").expect(1, "perhaps")
	launch(t, dir, nil, "resubmit", "topic:x").expect(1, "offset")
	launch(t, dir, nil, "resubmit", "topic").expect(1, "pipeline 1")
}

// Ensure that what an ingest node of pipeline 2 sets aside is in the dead-letter
// topic, and comes back from there once, with its extra members in the files.
func TestResubmit_TheDeadLetterTopicComesBackOnce(t *testing.T) {
	broker := kafkatest.Shared(t)
	dir := t.TempDir()
	name := broker.Topic(t, 1)
	v2 := []string{"-pipeline", "2", "-brokers", broker.Addr, "-topic", name, "-group", name}
	launch(t, dir, nil, append(v2, "topic")...).expect(0)
	var body strings.Builder
	for i := range 50 {
		fmt.Fprintf(&body, `{"timestamp":"2026-02-09T15:00:00Z","where":"/t/%d","n":%d}`+"\n", i, i)
	}
	send := func(url string) {
		t.Helper()
		resp, err := http.Post(url+"/ingest", "", strings.NewReader(body.String()))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	c, url := serving(t, dir, nil, v2...)
	ready(t, url)
	send(url)
	c.signal(syscall.SIGTERM)
	c.expect(0)
	if n := stored(t, filepath.Join(dir, "logs")); n != 0 {
		t.Fatalf("%d records are stored without a name for their path", n)
	}

	_, url = serving(t, dir, named, v2...)
	ready(t, url)
	addr := strings.TrimPrefix(url, "http://")
	for range 2 {
		launch(t, dir, nil, append(v2, "-addr", addr, "resubmit", "topic")...).expect(0)
	}
	waitFor(t, "50 records", func() bool { return stored(t, filepath.Join(dir, "logs")) >= 50 })
	counts := paths(t, filepath.Join(dir, "logs"))
	for i := range 50 {
		if path := fmt.Sprintf("/t/%d", i); counts[path] != 1 {
			t.Errorf("%s is stored %d times", path, counts[path])
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "logs", "2026-02-09", "15.log.json"))
	if err != nil || !strings.Contains(string(text), `"path":"/t/7","userAgent":"-","n":7}`) {
		t.Errorf("%v: %.500s", err, text)
	}
}
