package aggregator

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"logforge/codec"
)

var testHour = codec.Hour(491847) // 2026-02-09T15

// countText counts text with the tally that passes use.
func countText(h codec.Hour, text string) recount {
	tally := newTally(100_000)
	tally.count([]byte(text), h)
	return recountOfTally(h, tally)
}

// recountOfTally returns what t has counted, keys decoded.
func recountOfTally(h codec.Hour, t *tally) recount {
	r := newRecount(h)
	r.Records, r.Malformed = t.records, t.malformed
	for key, n := range countsOf(t.paths) {
		r.RequestsPerPath[value(key)] += n
	}
	for key, n := range countsOf(t.agents) {
		r.RequestsPerUserAgent[value(key)] += n
	}
	return r
}

// value returns the value of a key; one that is not canonical is not repaired.
func value(key string) string {
	if !codec.IsText([]byte(key)) || !utf8.ValidString(key) {
		return "not canonical: " + key
	}
	return unescaped([]byte(key))
}

func unescaped(key []byte) string { return string(codec.Unescape(nil, key)) }

func TestLinesAreCountedAsRecordsOrAsMalformed(t *testing.T) {
	f := func(line string, records, malformed uint64) {
		t.Helper()
		got := countText(testHour, line+"\n")
		if got.Records != records || got.Malformed != malformed {
			t.Errorf("%s\nis %d records, %d malformed lines", line, got.Records, got.Malformed)
		}
		if diff := cmp.Diff(recountOf(testHour, line+"\n"), got); diff != "" {
			t.Errorf("%s\n%s", line, diff)
		}
	}
	record := func(line string) { t.Helper(); f(line, 1, 0) }
	malformed := func(line string) { t.Helper(); f(line, 0, 1) }

	// As the codec writes them.
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"a"}`)
	record(`{"timestamp":"2026-02-09T15:00:00Z","path":"/home","userAgent":"Mozilla/5.0"}`)
	record(`{"timestamp":"2026-02-09T15:59:59.5Z","path":"/home","userAgent":"Mozilla/5.0"}`)
	record(`{"timestamp":"2026-02-09T15:59:59.123456789Z","path":"/home","userAgent":"Mozilla/5.0"}`)
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/\"q\"","userAgent":"C:\\"}`)
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/\\\"","userAgent":"\",\"userAgent\":\"x"}`)
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/\t\u0001\u001f","userAgent":"é😀\u007f"}`)

	// Other forms of a record.
	record(` { "path" : "/home" , "userAgent" : "a", "timestamp" : "2026-02-09T15:23:00Z" } `)
	record(`{"timestamp":"2026-02-09T16:23:00+01:00","path":"/home","userAgent":"a"}`)
	record(`{"timestamp":"2026-02-09T15:23:00.500Z","path":"/home","userAgent":"a"}`)
	record(`{"timestamp":"2026-02-09t15:23:00z","path":"/home","userAgent":"a"}`)
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"\/home","userAgent":"\u0041\u000a"}`)
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a","more":[1,{"x":null}]}`)
	record("{\"timestamp\":\"2026-02-09T15:23:00Z\",\"path\":\"/\xff\",\"userAgent\":\"\xc3\"}")
	record(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a"}` + "\r")

	// No record of this hour.
	malformed(`{"timestamp":"2026-02-09T16:00:00Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:60:00Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:60Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:2a:00Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00.Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00.1234567891Z","path":"/home","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":" \t "}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"` + "\t" + `"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a\x"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a\"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home\","userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a"}}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"a"},`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":7,"userAgent":"a"}`)
	malformed(`{"timestamp":"2026-02-09T15:23:00Z","path":"/ho`)
	malformed(`null`)
	malformed("\x00\x00\x00")
	malformed("\f")

	// Blank lines.
	f("", 0, 0)
	f(" \t\r", 0, 0)
}

// A value that is spelled like a stored key's bytes, but means another value,
// must not be found as that key.
func TestAKeyIsFoundByItsValueOnly(t *testing.T) {
	line := `{"timestamp":"2026-02-09T15:23:00Z","path":%q,"userAgent":"a"}` + "\n"
	text := fmt.Sprintf(line, `a\b`) + // the value a\b, spelled a\\b
		strings.ReplaceAll(fmt.Sprintf(line, `a_b`), "_", `\b`) + // a, backspace, b
		strings.ReplaceAll(fmt.Sprintf(line, `a_b`), "_", `\u0008`) // the same, spelled longer
	want := map[string]uint64{`a\b`: 1, "a\b" + "b": 2}
	if diff := cmp.Diff(want, countText(testHour, text).RequestsPerPath); diff != "" {
		t.Error(diff)
	}
}

// withoutDamagedExtras leaves out the lines whose extra members are not as the
// codec writes them: the tally does not look into them.
func withoutDamagedExtras(text string) string {
	var rest strings.Builder
	for line := range strings.Lines(strings.TrimSuffix(text, "\n") + "\n") {
		var l codec.Line
		if l.Split([]byte(line)) == 0 || l.Extra == nil || l.Valid() {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

// Whatever happens to the bytes of canonical lines, they are counted as the
// oracle counts them. Some lines come twice, so that keys are found as well as
// inserted.
func TestDamagedLinesAreCountedLikeTheOracleDoes(t *testing.T) {
	_, corpus := corpusLines(200)
	lines := strings.SplitAfter(string(corpus), "\n")
	odd := rapid.SampledFrom([]string{`"`, `\`, `\"`, `\\`, `\u0001`, `\/`, "\t", "\x00", "\n", "\xff", "é", "{", "}", ",", ":", " ", "Z", ".5", "9", `","userAgent":"`, `"}`, ""})
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		for range rapid.IntRange(1, 20).Draw(t, "lines") {
			line := rapid.SampledFrom(lines[:200]).Draw(t, "line")
			for range rapid.IntRange(0, 2).Draw(t, "faults") {
				at := rapid.IntRange(0, len(line)-1).Draw(t, "at")
				cut := rapid.IntRange(0, min(3, len(line)-1-at)).Draw(t, "cut")
				line = line[:at] + odd.Draw(t, "odd") + line[at+cut:]
			}
			text.WriteString(line)
		}
		all := withoutDamagedExtras(text.String())
		if diff := cmp.Diff(recountOf(testHour, all), countText(testHour, all)); diff != "" {
			t.Fatalf("%s\n%s", all, diff)
		}
	})
}

func FuzzLine(f *testing.F) {
	_, corpus := corpusLines(20)
	for line := range strings.Lines(string(corpus)) {
		f.Add(line)
	}
	f.Add(`{"timestamp":"2026-02-09T15:23:00.25Z","path":"/\\","userAgent":"\"\u0001"}`)
	f.Add(`{"path":"/a","userAgent":"b","timestamp":"2026-02-09T16:23:00+01:00","x":[{}]}`)
	tally := newTally(100)
	f.Fuzz(func(t *testing.T, text string) {
		text = withoutDamagedExtras(text)
		text += text // so that what was inserted is also found
		tally.reset()
		tally.count([]byte(text), testHour)
		if diff := cmp.Diff(recountOf(testHour, text), recountOfTally(testHour, tally)); diff != "" {
			t.Errorf("%q\n%s", text, diff)
		}
	})
}
