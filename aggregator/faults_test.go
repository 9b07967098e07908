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

// Whatever happens to the files between passes, afterwards every summary is a
// recount of the committed part of its file, or, where there is no file, what
// it was.
func TestSummariesAreRightWhateverHappensBetweenPasses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStore(t)
		a := s.aggregator(100_000)
		last := map[codec.Hour]recount{} // of hours without a file
		hour := func() codec.Hour { return testHour + codec.Hour(rapid.IntRange(0, 3).Draw(rt, "hour")) }
		changed := map[codec.Hour]bool{} // hours that have more than grown since the last pass
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
			"truncate": func(*rapid.T) {
				h := hour()
				length := s.committed[h] * int64(rapid.IntRange(0, 99).Draw(rt, "percent")) / 100
				if os.Truncate(s.path(h), length) == nil {
					s.committed[h] = length
					changed[h] = true
				}
			},
			"replace": func(*rapid.T) {
				h := hour()
				os.Remove(s.path(h))
				s.append(h, lines(h))
				changed[h] = true
			},
			"delete": func(*rapid.T) {
				h := hour()
				os.Remove(s.path(h))
				delete(s.committed, h)
				changed[h] = true
			},
			"restart": func(*rapid.T) { a = s.aggregator(100_000) },
			"pass": func(*rapid.T) {
				for _, h := range slices.Sorted(maps.Keys(changed)) {
					// Into a file of the same length is noticed after a restart only.
					if last, ok := a.seen[h]; ok && last.length == s.committed[h] {
						s.append(h, lines(h))
					}
				}
				clear(changed)
				s.pass(a)
				for h := testHour; h <= testHour+3; h++ {
					if _, ok := s.committed[h]; !ok {
						if want, ok := last[h]; ok {
							if diff := cmp.Diff(want, readRecount(rt, s.summary(h))); diff != "" {
								rt.Fatalf("the summary of %s, whose file is gone, has changed:\n%s", h, diff)
							}
						}
						continue
					}
					if _, err := os.Stat(s.summary(h)); os.IsNotExist(err) {
						text, _ := os.ReadFile(s.path(h))
						if strings.Contains(string(text[:s.committed[h]]), "\n") {
							rt.Fatalf("no summary of %s", h)
						}
						continue
					}
					s.check(rt, h)
					last[h] = readRecount(rt, s.summary(h))
				}
			},
		}
		rt.Repeat(actions)
		actions["pass"](rt)
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
	a.out.step = func(name string) {
		if name == step {
			if nth--; nth == 0 {
				panic(crash{})
			}
		}
	}
	_ = a.Pass(context.Background())
	return false
}

func TestACrashAtAnyStepOfAReplacementCountsNothingTwiceAndLosesNothing(t *testing.T) {
	steps := []string{"create", "write", "flush", "sync", "close", "rename", "renamed", "syncdir"}
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
					if !passUntil(s.aggregator(10), step, nth) {
						t.Fatal("the step did not come")
					}
					if n == 2 { // more, before the restart
						grow(7)
					}
					s.pass(s.aggregator(10))
					for _, h := range hours {
						s.check(t, h)
						if left, _ := filepath.Glob(filepath.Dir(s.summary(h)) + "/.*"); len(left) > 0 {
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
	a.out.step = func(name string) {
		if !slices.Contains(steps, name) {
			steps = append(steps, name)
		}
	}
	s.pass(a)
	if diff := cmp.Diff([]string{"create", "write", "flush", "sync", "close", "rename", "renamed", "syncdir"}, steps); diff != "" {
		t.Error(diff)
	}
}

func TestATemporaryFileOfACrashIsOverwritten(t *testing.T) {
	s := newStore(t)
	h := testHour
	s.append(h, line(h, 1, "/a", "x"))
	temp := temporary(s.summary(h))
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
	works := a.out.sync
	a.out.sync = func(*os.File) error { return errors.New("no such luck") }
	if err := a.Pass(t.Context()); err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Error(err)
	}
	if diff := cmp.Diff(old, readRecount(t, s.summary(h))); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Dir(s.summary(h)) + "/.*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	a.out.sync = works
	s.pass(a)
	s.check(t, h)
	if n := a.records.Get(); n != 2 {
		t.Errorf("the metric says %d records of 2", n)
	}
}
