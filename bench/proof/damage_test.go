package proof

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"logforge/bench/corpus"
)

// hourly is what a server keeps: lines by hour, and their summaries.
type hourly map[time.Time][]string

func (h hourly) add(recs ...corpus.Record) {
	for _, r := range recs {
		hour := r.Time.Truncate(time.Hour)
		h[hour] = append(h[hour], string(corpus.AppendLine(nil, r))+"\n")
	}
}

// write writes the files of a server that made no mistake in its summaries.
func (h hourly) write(t *testing.T, dir string) {
	t.Helper()
	for hour, lines := range h {
		s := summary{Hour: hour, Records: int64(len(lines)), RequestsPerPath: map[string]int64{}, RequestsPerUserAgent: map[string]int64{}}
		for _, line := range lines {
			var r struct{ Path, UserAgent string }
			if json.Unmarshal([]byte(line), &r) == nil {
				s.RequestsPerPath[r.Path]++
				s.RequestsPerUserAgent[r.UserAgent]++
			}
		}
		put(t, filepath.Join(dir, "logs", hour.Format(hourFile)), strings.Join(lines, ""))
		text, err := json.Marshal(map[string]any{"hour": s.Hour, "records": s.Records, "requestsPerPath": s.RequestsPerPath, "requestsPerUserAgent": s.RequestsPerUserAgent})
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "analytics", hour.Format("2006-01-02/summary_15.json")), string(text))
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOracle_SeesEveryKindOfDamage makes files as a right server would, damages
// them in one way, and asks the oracle and recount.py.
func TestOracle_SeesEveryKindOfDamage(t *testing.T) {
	log := realLog(t)
	f := func(what string, wantFault bool, damage func(o *oracle, h hourly, dir string)) {
		t.Helper()
		dir := t.TempDir()
		o, h := &oracle{log: log}, hourly{}
		for _, s := range []state{acknowledged, refused, unknown, unknown} {
			number, recs := o.draw(300) // more than two hours
			o.set(number, s)
			if s == acknowledged || number == 2 {
				h.add(recs...)
			}
		}
		damage(o, h, "")
		h.write(t, dir)
		damage(nil, nil, dir)
		batches := filepath.Join(dir, "batches.tsv")
		if err := o.write(batches); err != nil {
			t.Fatal(err)
		}
		_, err := o.compare(dir)
		if err == nil {
			err = compareSummaries(dir)
		}
		if (err != nil) != wantFault {
			t.Errorf("%s: the oracle says %v", what, err)
		}
		python, lookErr := exec.LookPath("python3")
		if lookErr != nil {
			t.Log("LEFT OUT: what recount.py says. Install python3 to have it.")
			return
		}
		out, err := exec.Command(python, "recount.py", "--log", accessLog, "--dir", dir, "--batches", batches).CombinedOutput()
		if (err != nil) != wantFault {
			t.Errorf("%s: recount.py says %v\n%s", what, err, out)
		}
	}
	first := log[0].Time.Truncate(time.Hour)
	second := first.Add(time.Hour)
	lines := func(do func(lines []string) []string) func(*oracle, hourly, string) {
		return func(o *oracle, h hourly, _ string) {
			if h != nil {
				h[first] = do(h[first])
			}
		}
	}
	files := func(do func(dir string)) func(*oracle, hourly, string) {
		return func(_ *oracle, _ hourly, dir string) {
			if dir != "" {
				do(dir)
			}
		}
	}
	f("nothing", false, func(*oracle, hourly, string) {})
	f("an acknowledged record is missing", true, lines(func(l []string) []string { return l[1:] }))
	f("an acknowledged record is there twice", true, lines(func(l []string) []string { return append(l, l[3]) }))
	f("a record of a refused batch is there", true, func(o *oracle, h hourly, _ string) {
		if o != nil {
			h.add(o.record(o.batches[1].first))
		}
	})
	f("the first records of an unanswered batch are there", false, func(o *oracle, h hourly, _ string) {
		if o != nil {
			h.add(o.record(o.batches[3].first), o.record(o.batches[3].first+1))
		}
	})
	f("a later record of an unanswered batch is there alone", true, func(o *oracle, h hourly, _ string) {
		if o != nil {
			h.add(o.record(o.batches[3].first + 1))
		}
	})
	f("a record that nobody sent", true, func(o *oracle, h hourly, _ string) {
		if o != nil {
			h.add(corpus.Record{Time: first, Path: "/made-up?id=7", UserAgent: "x"})
		}
	})
	f("a record that was changed", true, lines(func(l []string) []string {
		l[0] = strings.Replace(l[0], "Mozilla", "mozilla", 1)
		return l
	}))
	f("a torn line", true, lines(func(l []string) []string {
		l[5] = l[5][:20] + "\n"
		return l
	}))
	f("a last line without its end", true, lines(func(l []string) []string {
		l[len(l)-1] = strings.TrimSuffix(l[len(l)-1], "\n")
		return l
	}))
	f("a record in another hour's file", true, func(_ *oracle, h hourly, _ string) {
		if h != nil {
			h[first], h[second] = h[first][1:], append(h[second], h[first][0])
		}
	})
	f("a summary is missing", true, files(func(dir string) {
		if err := os.Remove(filepath.Join(dir, "analytics", first.Format("2006-01-02/summary_15.json"))); err != nil {
			t.Fatal(err)
		}
	}))
	f("a summary counts one record less", true, files(func(dir string) {
		file := filepath.Join(dir, "analytics", first.Format("2006-01-02/summary_15.json"))
		var s map[string]any
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		s["records"] = s["records"].(float64) - 1
		if text, err = json.Marshal(s); err != nil {
			t.Fatal(err)
		}
		put(t, file, string(text))
	}))
}
