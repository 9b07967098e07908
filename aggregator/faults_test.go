package aggregator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"logforge/codec"
)

// Whatever happens to the files between passes, afterwards every summary is the
// sum of what was counted of earlier files of its hour and of a recount of the
// committed part of its file.
func TestSummariesAreRightWhateverHappensBetweenPasses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t)
		defer s.close()
		a := s.aggregator(100_000)
		earlier := map[codec.Hour]recount{} // what was counted of files that are gone
		edited := map[codec.Hour]bool{}     // since the last pass
		hour := func() codec.Hour { return testHour + codec.Hour(rapid.IntRange(0, 3).Draw(rt, "hour")) }
		written := 0
		lines := func(h codec.Hour) string {
			var text strings.Builder
			for range rapid.IntRange(1, 20).Draw(rt, "lines") {
				written++
				if rapid.IntRange(0, 20).Draw(rt, "bad") == 0 {
					fmt.Fprintf(&text, "not a record %d\n", written)
					continue
				}
				// Unlike any line before it, as real ones are.
				path := fmt.Sprintf("/%d?%d", rapid.IntRange(0, 9).Draw(rt, "path"), written)
				text.WriteString(line(h, written%3600, path, fmt.Sprintf("agent %d", written%7)))
			}
			return text.String()
		}
		has := func(h codec.Hour) bool { _, ok := s.committed[h]; return ok }
		pass := func() {
			for _, h := range slices.Sorted(maps.Keys(edited)) {
				// Into a file of the same length is noticed after a restart only.
				if last, ok := a.seen[h]; ok && has(h) && last.length == s.committed[h] {
					s.append(h, lines(h))
				}
			}
			clear(edited)
			s.pass(a)
			for h := testHour; h <= testHour+3; h++ {
				want := newRecount(h)
				if has(h) {
					text, err := os.ReadFile(s.path(h))
					if err != nil {
						rt.Fatal(err)
					}
					want = recountOf(h, string(text[:s.committed[h]]))
				}
				want.add(earlier[h])
				if _, err := os.Stat(s.summary(h)); os.IsNotExist(err) {
					if want.Records+want.Malformed > 0 {
						rt.Fatalf("no summary of %s, which has %d records", h, want.Records)
					}
					continue
				}
				if diff := cmp.Diff(want, readRecount(rt, s.summary(h))); diff != "" {
					rt.Fatalf("summary of %s (-want +got):\n%s", h, diff)
				}
			}
		}
		actions := map[string]func(*rapid.T){
			"append": func(*rapid.T) {
				h := hour()
				s.append(h, lines(h))
			},
			"append, not all committed": func(*rapid.T) {
				h := hour()
				before := s.committed[h]
				text := lines(h)
				s.append(h, text)
				s.committed[h] = before + int64(rapid.IntRange(0, len(text)).Draw(rt, "committed"))
			},
			"shorten, as one generation": func(*rapid.T) {
				h := hour()
				length := s.committed[h] * int64(rapid.IntRange(0, 99).Draw(rt, "percent")) / 100
				if os.Truncate(s.path(h), length) == nil {
					s.committed[h] = length
					edited[h] = true
				}
			},
			"replace, as one generation": func(*rapid.T) {
				if h := hour(); has(h) {
					os.Remove(s.path(h))
					s.append(h, lines(h))
					edited[h] = true
				}
			},
			"remove": func(*rapid.T) {
				h := hour()
				if !has(h) {
					return
				}
				pass() // what was not counted yet is lost
				if _, err := os.Stat(s.summary(h)); err == nil {
					earlier[h] = readRecount(rt, s.summary(h))
				}
				s.remove(h)
			},
			"remove a summary": func(*rapid.T) {
				h := hour()
				if os.Remove(s.summary(h)) == nil {
					delete(earlier, h)
				}
			},
			"damage a summary": func(*rapid.T) {
				h := hour()
				text, err := os.ReadFile(s.summary(h))
				if err != nil || len(earlier) > 0 {
					return
				}
				at := rapid.IntRange(0, len(text)-1).Draw(rt, "at")
				text[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
				if err := os.WriteFile(s.summary(h), text, 0o644); err != nil {
					rt.Fatal(err)
				}
				if _, err := a.AppendHour(t.Context(), nil, h, 0); err == nil {
					rt.Fatalf("a damaged summary was served: %s", text)
				}
			},
			"remove the directory": func(*rapid.T) {
				if err := os.RemoveAll(s.cfg.AnalyticsDir); err != nil {
					rt.Fatal(err)
				}
				clear(earlier)
			},
			"restart": func(*rapid.T) { a = s.aggregator(100_000) },
			"pass":    func(*rapid.T) { pass() },
		}
		rt.Repeat(actions)
		pass()
	})
}

// crash is what the step function of a test panics with.
type crash struct{}

// passUntil makes a pass that crashes when the named step comes for the nth
// time. It reports whether it came to that.
func passUntil(a *Aggregator, step string, nth int) (crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			crashed = true
		}
	}()
	onSteps(a, func(name string) error {
		if name == step {
			if nth--; nth == 0 {
				panic(crash{})
			}
		}
		return nil
	})
	_ = a.Pass(context.Background())
	return false
}

func TestACrashAtAnyStepOfAReplacementCountsNothingTwiceAndLosesNothing(t *testing.T) {
	steps := []string{"create", "mkdir", "write", "sync", "rename", "renamed", "syncdir"}
	for _, step := range steps {
		for nth := 1; nth <= 2; nth++ {
			t.Run(fmt.Sprintf("%s,%d", step, nth), func(t *testing.T) {
				s := newStore(t)
				hours := []codec.Hour{testHour, testHour + 24} // two folders
				grow := func(n int) {
					for _, h := range hours {
						s.append(h, strings.Repeat(line(h, n, fmt.Sprint("/", n), "x"), n))
					}
				}
				for n := 1; n <= 3; n++ {
					grow(n)
					if step == "mkdir" { // comes for a new day only
						hours = append(hours, testHour+codec.Hour(48*n), testHour+codec.Hour(48*n+24))
						grow(n)
					}
					if !passUntil(s.aggregator(10), step, nth) {
						t.Fatal("the step did not come")
					}
					if n == 2 { // more, before the restart
						grow(7)
					}
					s.pass(s.aggregator(10))
					for _, h := range hours {
						s.check(t, h)
						if left := leftOver(s.summary(h)); len(left) > 0 {
							t.Errorf("left over: %v", left)
						}
					}
				}
			})
		}
	}
}

// The steps are those that really come, so that the test above leaves none out.
func TestTheStepsOfAReplacementAreKnown(t *testing.T) {
	s := newStore(t)
	s.append(testHour, line(testHour, 1, "/a", "x"))
	a := s.aggregator(10)
	var steps []string
	onSteps(a, func(name string) error {
		if !slices.Contains(steps, name) {
			steps = append(steps, name)
		}
		return nil
	})
	s.pass(a)
	if diff := cmp.Diff([]string{"create", "mkdir", "write", "sync", "rename", "renamed", "syncdir"}, steps); diff != "" {
		t.Error(diff)
	}
}

func TestATemporaryFileOfACrashIsOverwritten(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	dir, name := filepath.Split(s.summary(h))
	temp := dir + "." + name + ".tmp"
	if err := os.MkdirAll(filepath.Dir(temp), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(temp, []byte(strings.Repeat("torn", 10_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	s.pass(s.aggregator(10))
	s.check(t, h)
}

func TestASyncThatFailsLeavesTheOldSummaryAndIsTriedAgain(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	a := s.aggregator(10)
	s.pass(a)
	old := readRecount(t, s.summary(h))

	s.append(h, line(h, 2, "/b", "x"))
	onSteps(a, func(step string) error {
		if step == "sync" {
			return errors.New("no such luck")
		}
		return nil
	})
	if err := a.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Error(err)
	}
	if diff := cmp.Diff(old, readRecount(t, s.summary(h))); diff != "" {
		t.Error(diff)
	}
	if left := leftOver(s.summary(h)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	onSteps(a, func(string) error { return nil })
	s.pass(a)
	s.check(t, h)
	if n := a.records.Get(); n != 2 {
		t.Errorf("the metric says %d records of 2", n)
	}
}
