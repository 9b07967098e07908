package aggregator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"logforge/codec"
)

// answer is what GET /analytics says of a range.
type answer struct {
	From, To             time.Time
	Records, Malformed   uint64
	RequestsPerPath      map[string]uint64
	RequestsPerUserAgent map[string]uint64
	Missing              []time.Time
	Hours                []recount
}

func parse[T any](t *testing.T, text []byte) (v T) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestAnHourIsAnsweredAsItsSummarySaysIt(t *testing.T) {
	s := newStore(t)
	h, text := corpusLines(2000)
	s.append(h, string(text)+"not a record\n")
	a := s.aggregator(100_000)
	s.pass(a)
	got, err := a.AppendHour(t.Context(), []byte("before"), h, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := bytes.CutPrefix(got, []byte("before"))
	if !ok {
		t.Error("what dst held is gone")
	}
	if diff := cmp.Diff(recountOf(h, string(text)+"not a record\n"), parse[recount](t, got)); diff != "" {
		t.Error(diff)
	}
}

func TestTopKeepsTheLargestCountsAndAmongEqualOnesTheFirstKeys(t *testing.T) {
	s := newStore(t)
	h := testHour
	for path, n := range map[string]int{"/b": 3, "/a": 2, "/c": 2, "/d": 1, "/e": 7} {
		s.append(h, strings.Repeat(line(h, 1, path, "x"), n))
	}
	a := s.aggregator(100)
	s.pass(a)
	f := func(top int, want string) {
		t.Helper()
		got, err := a.AppendHour(t.Context(), nil, h, top)
		if err != nil {
			t.Fatal(err)
		}
		want = fmt.Sprintf(`{"hour":"2026-02-09T15:00:00Z","records":15,"malformed":0,"requestsPerPath":{%s},"requestsPerUserAgent":{"x":15}}`+"\n", want)
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("top %d:\n%s", top, diff)
		}
	}
	f(1, `"/e":7`)
	f(3, `"/e":7,"/b":3,"/a":2`)
	f(5, `"/e":7,"/b":3,"/a":2,"/c":2,"/d":1`)
	f(0, `"/e":7,"/b":3,"/a":2,"/c":2,"/d":1`)
	f(99, `"/e":7,"/b":3,"/a":2,"/c":2,"/d":1`)
}

func TestAnHourWithoutASummaryDoesNotExist(t *testing.T) {
	a := newStore(t).aggregator(10)
	if got, err := a.AppendHour(t.Context(), []byte("x"), testHour, 0); !errors.Is(err, fs.ErrNotExist) || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestARangeIsMergedAndHourByHour(t *testing.T) {
	s := newStore(t)
	want := answer{
		From: testHour.Time(), To: (testHour + 30).Time(), Missing: []time.Time{},
		RequestsPerPath: map[string]uint64{}, RequestsPerUserAgent: map[string]uint64{},
	}
	for _, h := range []codec.Hour{testHour - 1, testHour, testHour + 1, testHour + 24, testHour + 30, testHour + 31} {
		text := strings.Repeat(line(h, 1, "/all", "x"), 3) + line(h, 2, "/"+h.String(), "\"q\"") + "bad\n"
		s.append(h, text)
		if h < testHour || h > testHour+30 {
			continue
		}
		r := recountOf(h, text)
		want.Hours = append(want.Hours, r)
		want.Records += r.Records
		want.Malformed += r.Malformed
		for k, n := range r.RequestsPerPath {
			want.RequestsPerPath[k] += n
		}
		for k, n := range r.RequestsPerUserAgent {
			want.RequestsPerUserAgent[k] += n
		}
	}
	a := s.aggregator(100)
	s.pass(a)
	got, err := a.AppendRange(t.Context(), nil, testHour, testHour+30, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, parse[answer](t, got)); diff != "" {
		t.Error(diff)
	}

	got, err = a.AppendRange(t.Context(), []byte("\n"), testHour, testHour+30, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	top := parse[answer](t, got)
	if diff := cmp.Diff(map[string]uint64{"/all": 12}, top.RequestsPerPath); diff != "" {
		t.Error(diff)
	}
	if top.Records != want.Records || len(top.Hours) != 4 {
		t.Errorf("%d records, %d hours", top.Records, len(top.Hours))
	}
	for _, h := range top.Hours {
		if diff := cmp.Diff(map[string]uint64{"/all": 3}, h.RequestsPerPath); diff != "" || h.Records != 4 {
			t.Error(h.Records, diff)
		}
	}
}

func TestARangeWithoutAnySummaryIsEmpty(t *testing.T) {
	a := newStore(t).aggregator(10)
	got, err := a.AppendRange(t.Context(), nil, testHour, testHour+1, 5, 5)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"from":"2026-02-09T15:00:00Z","to":"2026-02-09T16:00:00Z","records":0,"malformed":0,"requestsPerPath":{},"requestsPerUserAgent":{},"missing":[],"hours":[]}` + "\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestAMergedRangeNamesNoMoreKeysThanASummary(t *testing.T) {
	s := newStore(t)
	for h := testHour; h < testHour+10; h++ {
		s.append(h, line(h, 1, "/"+h.String(), "x")+line(h, 2, "/all", "x"))
	}
	a := s.aggregator(4)
	s.pass(a)
	got, err := a.AppendRange(t.Context(), nil, testHour, testHour+9, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := parse[answer](t, got)
	var sum uint64
	for _, n := range r.RequestsPerPath {
		sum += n
	}
	if len(r.RequestsPerPath) != 5 || r.RequestsPerPath["/all"] != 10 || r.RequestsPerPath[Other] != 7 || sum != r.Records {
		t.Errorf("%v", r.RequestsPerPath)
	}
}

func TestARangeTooLargeToAnswerIsRefused(t *testing.T) {
	s := newStore(t)
	const hours = 3
	for h := testHour; h < testHour+hours; h++ {
		var text strings.Builder
		for i := range 12 << 10 {
			text.WriteString(line(h, 1, fmt.Sprintf("/%d%s", i, strings.Repeat("x", 1000)), "x"))
		}
		s.append(h, text.String())
	}
	a := s.aggregator(100_000)
	s.pass(a)
	_, err := a.AppendRange(t.Context(), nil, testHour, testHour+hours-1, 0, 0)
	if !errors.Is(err, ErrTooLarge) || !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if _, err := a.AppendRange(t.Context(), nil, testHour, testHour+hours-1, 100, 100); err != nil {
		t.Error(err)
	}
	if _, err := a.AppendHour(t.Context(), nil, testHour, 0); err != nil {
		t.Error(err)
	}
}

func TestAnswers_OfADamagedSummaryAreRefusedAndARangeSaysThatItIsMissing(t *testing.T) {
	s := newStore(t)
	s.append(testHour, line(testHour, 1, "/a", "x"))
	s.append(testHour+1, line(testHour+1, 1, "/b", "x"))
	a := s.aggregator(10)
	s.pass(a)
	text, err := os.ReadFile(s.summary(testHour))
	if err != nil {
		t.Fatal(err)
	}
	f := func(damaged string) {
		t.Helper()
		if err := os.WriteFile(s.summary(testHour), []byte(damaged), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := a.AppendHour(t.Context(), []byte("x"), testHour, 0); !errors.Is(err, fs.ErrClosed) || string(got) != "x" {
			t.Fatalf("%s\nis answered with %q, %v", damaged, got, err)
		}
		body, err := a.AppendRange(t.Context(), nil, testHour, testHour+1, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := parse[answer](t, body)
		if got.Records != 1 || len(got.Hours) != 1 || got.RequestsPerPath["/b"] != 1 || len(got.RequestsPerPath) != 1 {
			t.Fatalf("%s\nis in the range: %s", damaged, body)
		}
		if diff := cmp.Diff([]time.Time{testHour.Time()}, got.Missing); diff != "" {
			t.Fatalf("%s\nmissing:%s", damaged, diff)
		}
		s.pass(a) // it was reported
		s.check(t, testHour)
	}
	for at := range text {
		f(string(text[:at]))
		f(string(text[:at]) + string(text[at]^1) + string(text[at+1:]))
		os.Remove(aside(s.summary(testHour)))
	}
	f(string(text) + "\n")
	f(strings.Replace(string(text), `"records": 1`, `"records": 2`, 1))
}

// Answers are given while passes replace what they are made of.
func TestAnswersBesidePassesAreWholeSummaries(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	a := s.aggregator(10)
	s.pass(a)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, f := range []func() ([]byte, error){
				func() ([]byte, error) { return a.AppendHour(t.Context(), nil, h, 0) },
				func() ([]byte, error) { return a.AppendRange(t.Context(), nil, h, h+1, 0, 0) },
			} {
				text, err := f()
				var r recount
				if err == nil {
					err = json.Unmarshal(text, &r)
				}
				if err == nil && (r.Records == 0 || r.RequestsPerPath["/a"] != r.Records || r.RequestsPerUserAgent["x"] != r.Records) {
					err = fmt.Errorf("torn: %s", text)
				}
				if err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 200 {
		s.append(h, line(h, 1, "/a", "x"))
		s.pass(a)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
