package aggregator

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"logforge/bench/corpus"
	"logforge/codec"
)

// line returns a canonical line of h.
func line(h codec.Hour, second int, path, agent string) string {
	at := h.Time().Add(time.Duration(second) * time.Second)
	return string(corpus.AppendLine(nil, corpus.Record{Time: at, Path: path, UserAgent: agent})) + "\n"
}

func TestASummaryIsARecountOfTheFile(t *testing.T) {
	s := newStore(t)
	recs := corpus.Records(7, 20_000, 3)
	hours := map[codec.Hour]*strings.Builder{}
	for _, r := range recs {
		h := codec.HourOf(r.Time)
		if hours[h] == nil {
			hours[h] = new(strings.Builder)
		}
		hours[h].Write(append(corpus.AppendLine(nil, r), '\n'))
	}
	for h, text := range hours {
		s.append(h, text.String())
	}
	a := s.aggregator(100_000)
	s.pass(a)
	if len(hours) != 3 {
		t.Fatalf("%d hours", len(hours))
	}
	for h := range hours {
		s.check(t, h)
	}
	if n := a.records.Get(); n != uint64(len(recs)) {
		t.Errorf("the metric says %d records", n)
	}
}

func TestNothingPastTheCommittedLengthIsRead(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x")+line(h, 2, "/b", "x"))
	s.committed[h] -= int64(len(line(h, 2, "/b", "x")))
	a := s.aggregator(10)
	s.pass(a)
	s.check(t, h)
	if r := readRecount(t, s.summary(h)); r.Records != 1 {
		t.Errorf("%d records", r.Records)
	}
	s.append(h, "")
	s.pass(a)
	s.check(t, h)
}

func TestALineWithoutItsEndIsNotCounted(t *testing.T) {
	s := newStore(t)
	h := testHour
	whole := line(h, 1, "/a", "x")
	for cut := range len(whole) {
		s.append(h, whole+whole[:cut])
		a := s.aggregator(10)
		s.pass(a)
		s.check(t, h)
		s.append(h, whole[cut:])
		s.pass(a)
		s.check(t, h)
		if err := os.RemoveAll(filepath.Dir(s.path(h))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnHourWithoutAWholeLineGetsNoSummary(t *testing.T) {
	s := newStore(t)
	a := s.aggregator(10)
	for _, part := range line(testHour, 1, "/a", "x")[:20] {
		s.append(testHour, string(part))
		s.pass(a)
	}
	if n := a.recounts.Get(); n != 0 {
		t.Errorf("%d recounts", n)
	}
	if days, _ := filepath.Glob(filepath.Join(s.cfg.AnalyticsDir, "*-*")); len(days) > 0 {
		t.Errorf("there is %v", days)
	}
}

func TestAFileThatIsGoneLeavesItsSummary(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	a := s.aggregator(10)
	s.pass(a)
	want := readRecount(t, s.summary(h))
	s.remove(h)
	s.committed[h] = 1000 // the sink may not know yet
	s.pass(a)
	delete(s.committed, h)
	s.pass(a)
	if diff := cmp.Diff(want, readRecount(t, s.summary(h))); diff != "" {
		t.Error(diff)
	}
	if len(a.seen) != 0 {
		t.Error("an hour without a file is kept in memory")
	}
}

func TestAFileShorterThanCommittedIsLeftUntilTheSinkKnows(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, strings.Repeat(line(h, 1, "/a", "x"), 3))
	a := s.aggregator(10)
	s.pass(a)
	if err := os.Truncate(s.path(h), 2*s.committed[h]/3); err != nil {
		t.Fatal(err)
	}
	s.committed[h]++ // it has grown, says the sink
	s.pass(a)
	if r := readRecount(t, s.summary(h)); r.Records != 3 {
		t.Errorf("%d records of 3", r.Records)
	}
	s.append(h, "")
	s.pass(a)
	s.check(t, h)
}

func TestAFailingHourDoesNotStopTheOthers(t *testing.T) {
	s := newStore(t)
	for h := testHour; h < testHour+3; h++ {
		s.append(h, line(h, 1, "/a", "x"))
	}
	bad := testHour + 1
	a := s.aggregator(10)
	blocked := blockSummary(t, s, bad)
	err := a.Pass(t.Context())
	if err == nil || !strings.Contains(err.Error(), bad.String()) {
		t.Errorf("error %v", err)
	}
	s.check(t, testHour)
	s.check(t, testHour+2)
	blocked()
	s.pass(a)
	s.check(t, bad)
	if n, failed := a.records.Get(), a.errors.Get(); n != 3 || failed != 1 {
		t.Errorf("metrics: %d records, %d errors", n, failed)
	}
}

// blockSummary makes the next replacement of h's summary fail until the function
// it returns is called.
func blockSummary(t *testing.T, s *store, h codec.Hour) (free func()) {
	t.Helper()
	dir, name := filepath.Split(s.summary(h))
	temp := dir + "." + name + ".tmp" // where its next content is written
	if err := os.MkdirAll(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(temp); err != nil {
			t.Fatal(err)
		}
	}
}

func TestASummaryThatIsNotReadableIsMadeAnew(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x")+line(h, 2, "/b", "x"))
	s.pass(s.aggregator(10))
	whole, err := os.ReadFile(s.summary(h))
	if err != nil {
		t.Fatal(err)
	}
	f := func(content string) {
		t.Helper()
		if err := os.WriteFile(s.summary(h), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		s.append(h, line(h, 3, "/c", "y"))
		s.pass(s.aggregator(10))
		s.check(t, h)
	}
	for cut := range whole {
		f(string(whole[:cut]))
	}
	f(string(whole) + "{}")
	f("[]")
	f(strings.Replace(string(whole), `"/a": 1`, `"/a": 7`, 1))
	f(strings.Replace(string(whole), `"records": 2`, `"records": 3`, 1))
	f(strings.Replace(string(whole), `"records": 2`, `"records": -2`, 1))
	f(strings.Replace(string(whole), `"records": 2`, `"records": "2"`, 1))
	f(strings.Replace(string(whole), `"records": 2`, `"records": 1e99`, 1))
	f(strings.Replace(string(whole), `"/a": 1`, `"/a": "1"`, 1))
	f(strings.Replace(string(whole), `"/a": 1`, `"/a": 0.5`, 1))
	f(strings.Replace(string(whole), `"/b": 1`, `"/b": 2`, 1))
	f(strings.Replace(string(whole), "T15", "T16", 1))
	f(strings.Replace(string(whole), `"fingerprint": "`, `"fingerprint": "0`, 1))
	f(strings.Replace(string(whole), `"offset": `, `"offset": 9`, 1))
	f(strings.Replace(string(whole), `"/a"`, `"\u002fa"`, 1))
}

func TestASummaryIsTheSameInHoweverManyPartsItWasCounted(t *testing.T) {
	_, text := corpusLines(3000)
	lines := strings.SplitAfter(string(text), "\n")
	for _, maxKeys := range []int{1, 20, 100_000} {
		once := newStore(t)
		once.append(testHour, string(text))
		once.pass(once.aggregator(maxKeys))
		want, err := os.ReadFile(once.summary(testHour))
		if err != nil {
			t.Fatal(err)
		}
		if r := readRecount(t, once.summary(testHour)); r.Records != 3000 || len(r.RequestsPerPath) > maxKeys+1 {
			t.Errorf("%d records, %d paths", r.Records, len(r.RequestsPerPath))
		}

		parts := newStore(t)
		a := parts.aggregator(maxKeys)
		for i, part := range slices.Collect(slices.Chunk(lines, 700)) {
			parts.append(testHour, strings.Join(part, ""))
			if i%2 == 1 { // go on from memory, or from the file
				a = parts.aggregator(maxKeys)
			}
			parts.pass(a)
		}
		got, err := os.ReadFile(parts.summary(testHour))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("maxKeys %d:\n%s", maxKeys, diff)
		}
	}
}
