package aggregator

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/go-cmp/cmp"

	"logforge/config"
)

// edit replaces old by replacement in h's summary.
func edit(t *testing.T, name, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), old, replacement, 1)
	if edited == string(text) {
		t.Fatalf("there is no %s in %s", old, text)
	}
	if err := os.WriteFile(name, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSummary_OfARemovedFileStaysAndANewFileAddsToIt(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, strings.Repeat(line(h, 1, "/a", "x"), 1000)+"bad\n")
	a := s.aggregator(10)
	s.pass(a)
	want := recountOf(h, strings.Repeat(line(h, 1, "/a", "x"), 1000)+"bad\n")
	for n := range 6 {
		s.remove(h)
		s.pass(a)
		if n%2 == 1 {
			a = s.aggregator(10)
		}
		// A record that was sent again counts again.
		late := line(h, 1, "/a", "x")
		s.append(h, late)
		s.pass(a)
		want.add(recountOf(h, late))
		if n > 2 { // more for the file that is there
			s.append(h, late+"bad\n")
			s.pass(a)
			want.add(recountOf(h, late+"bad\n"))
		}
		if diff := cmp.Diff(want, readRecount(t, s.summary(h))); diff != "" {
			t.Fatalf("after %d new files:\n%s", n+1, diff)
		}
	}
}

func TestSummary_ARecountKeepsWhatEarlierFilesHad(t *testing.T) {
	s := newStore(t)
	h := testHour
	first, second := strings.Repeat(line(h, 1, "/a", "x"), 5), strings.Repeat(line(h, 2, "/b", "y"), 4)
	s.append(h, first)
	a := s.aggregator(10)
	s.pass(a)
	s.remove(h)
	s.append(h, second)
	s.pass(a)
	if err := os.Truncate(s.path(h), int64(len(second))/2); err != nil {
		t.Fatal(err)
	}
	s.append(h, "")
	s.pass(a)
	want := recountOf(h, first+second[:len(second)/2])
	if diff := cmp.Diff(want, readRecount(t, s.summary(h))); diff != "" {
		t.Error(diff)
	}
	if n := a.recounts.Get(); n != 1 {
		t.Errorf("%d recounts", n)
	}
}

// The journal of a logs directory can be lost, as when it was copied without its
// dot files: all generations are then new, but the lines are the same.
func TestSummary_IsGoneOnWithWhereAllGenerationsAreNewAtAStart(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	s.append(h+1, line(h+1, 1, "/a", "x"))
	s.pass(s.aggregator(10))
	s.generation[h], s.generation[h+1] = 70, 71
	s.append(h+1, line(h+1, 2, "/b", "x"))
	a := s.aggregator(10)
	s.pass(a)
	s.append(h, line(h, 2, "/b", "x"))
	s.pass(a)
	s.check(t, h)
	s.check(t, h+1)
}

func TestSummary_OfAnEarlierVersionIsGoneOnWith(t *testing.T) {
	const legacy = `{
 "hour": "2026-02-09T15:00:00Z",
 "records": 2,
 "malformed": 0,
 "offset": %d,
 "fingerprint": "%s",
 "requestsPerPath": {
  "/a": 1,
  "/b": 1
 },
 "requestsPerUserAgent": {
  "x": 2
 }
}
`
	h := testHour
	text := line(h, 1, "/a", "x") + line(h, 2, "/b", "x")
	f := func(change func(s *store), want string) {
		t.Helper()
		s := newStore(t)
		s.append(h, text)
		a := s.aggregator(10)
		sum, err := a.fingerprint(s.Extents()[0], int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(s.summary(h)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.summary(h), fmt.Appendf(nil, legacy, len(text), sum), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := a.AppendHour(t.Context(), nil, h, 0); err != nil {
			t.Errorf("it is not served: %v", err)
		}
		change(s)
		s.pass(a)
		if diff := cmp.Diff(recountOf(h, want), readRecount(t, s.summary(h))); diff != "" {
			t.Error(diff)
		}
	}
	late := line(h, 3, "/c", "y")
	f(func(*store) {}, text)
	f(func(s *store) { s.append(h, late) }, text+late)
	f(func(s *store) { s.remove(h); s.append(h, late) }, text+late)
	f(func(s *store) { edit(t, s.summary(h), `"/a": 1`, `"/a": 2`) }, text) // does not add up
}

func TestSummary_ThatIsDamagedIsKeptAsideWhereThereIsNoFileToCountAgain(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	s.append(h+1, line(h+1, 1, "/b", "x"))
	var log bytes.Buffer
	a := s.open(config.Aggregation{MaxKeys: 10, Interval: time.Hour}, slog.New(slog.NewTextHandler(&log, nil)), metrics.NewSet())
	s.pass(a)
	s.remove(h)
	s.pass(a)
	edit(t, s.summary(h), `"/a": 1`, `"/a": 9`)
	damaged, err := os.ReadFile(s.summary(h))
	if err != nil {
		t.Fatal(err)
	}
	missing := func() {
		t.Helper()
		body, err := a.AppendRange(t.Context(), nil, h, h+1, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := parse[answer](t, body)
		if diff := cmp.Diff([]time.Time{h.Time()}, got.Missing); diff != "" || got.RequestsPerPath["/b"] != 1 {
			t.Errorf("%s in %s", diff, body)
		}
	}
	missing()
	s.pass(a)
	missing()
	if _, err := a.AppendHour(t.Context(), nil, h, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	kept, err := os.ReadFile(aside(s.summary(h)))
	if err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("kept %q, %v", kept, err)
	}
	if !strings.Contains(log.String(), aside(s.summary(h))) {
		t.Errorf("the log does not name the file:\n%s", log.String())
	}
	a = s.aggregator(10)
	s.pass(a)
	missing() // after a restart too

	// Late lines begin anew, and the answer still says that counts are missing.
	s.append(h, line(h, 2, "/late", "x"))
	s.pass(a)
	s.check(t, h)
	missing()
	if err := os.Remove(aside(s.summary(h))); err != nil {
		t.Fatal(err)
	}
	if body, err := a.AppendRange(t.Context(), nil, h, h+1, 0, 0); err != nil || len(parse[answer](t, body).Missing) > 0 {
		t.Errorf("%v in %s", err, body)
	}
}

func TestSummary_ThatIsDamagedAndHadEarlierFilesIsKeptAside(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	a := s.aggregator(10)
	s.pass(a)
	s.remove(h)
	s.append(h, line(h, 2, "/b", "x"))
	s.pass(a)
	edit(t, s.summary(h), `"/a": 1`, `"/a": 3`)
	a = s.aggregator(10)
	s.pass(a)
	s.check(t, h)
	if _, err := os.Stat(aside(s.summary(h))); err != nil {
		t.Error(err)
	}
	if n := a.damaged.Get(); n != 1 {
		t.Errorf("the metric says %d", n)
	}
}
