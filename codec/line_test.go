package codec_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"logforge/bench/corpus"
	"logforge/codec"
)

// canonicalLine splits one line, with its newline or without. ok is false if it is
// anything else than what a Batch gives out.
func canonicalLine(line []byte) (l codec.Line, ok bool) {
	n := l.Split(line)
	return l, n > 0 && n == len(line) && l.Valid()
}

func TestLine_HasTheValuesOfACanonicalLine(t *testing.T) {
	f := func(line, timestamp, path, agent, extra string) {
		t.Helper()
		for _, l := range []string{line, line + "\n"} {
			got, ok := canonicalLine([]byte(l))
			if !ok || string(got.Timestamp) != timestamp || string(got.Path) != path || string(got.UserAgent) != agent ||
				string(got.Extra) != extra || (got.Extra == nil) != (extra == "") {
				t.Errorf("%q: %q %v", l, got, ok)
			}
		}
	}
	f(good, "2026-02-09T15:23:00Z", "/home", "Mozilla/5.0", "")
	f(`{"timestamp":"2026-02-09T15:23:00.123456789Z","path":"/","userAgent":"-"}`, "2026-02-09T15:23:00.123456789Z", "/", "-", "")
	f(`{"timestamp":"0000-02-29T15:23:00.5Z","path":"é","userAgent":"\\\"\\\\\u0001"}`, "0000-02-29T15:23:00.5Z", "é", `\\\"\\\\\u0001`, "")
	f(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"-","status":200,"a":{"b":["}\n",1.5e3,null]},"":""}`,
		"2026-02-09T15:23:00Z", "/", "-", `"status":200,"a":{"b":["}\n",1.5e3,null]},"":""`)
	f(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"-","Path":"\u00e9\/","paths":1,"status":1,"status":2}`,
		"2026-02-09T15:23:00Z", "/", "-", `"Path":"\u00e9\/","paths":1,"status":1,"status":2`)
}

func TestLine_RefusesWhatIsNotCanonical(t *testing.T) {
	for _, line := range []string{
		"", "\n", "{}", good + "x", good + "\n\n", good + "\n" + good, " " + good, good + " ", good + "\r\n", good[:len(good)-1], good[:len(good)-2],
		strings.Replace(good, "2026-02-09", "2026-02-30", 1), strings.Replace(good, "T15", "T24", 1), strings.Replace(good, "T15", "t15", 1),
		strings.Replace(good, "00Z", "60Z", 1), strings.Replace(good, "00Z", "00.50Z", 1), strings.Replace(good, "00Z", "00.Z", 1),
		strings.Replace(good, "00Z", "00.1234567890Z", 1), strings.Replace(good, "00Z", "00+00:00", 1),
		strings.Replace(good, "/home", "", 1), strings.Replace(good, "/home", " ", 1), strings.Replace(good, "/home", `\t\n`, 1), strings.Replace(good, "/home", "\u00a0", 1),
		strings.Replace(good, "/home", "a\x01", 1), strings.Replace(good, "/home", "a\xff", 1), strings.Replace(good, "/home", `\/`, 1),
		strings.Replace(good, "/home", `\u000a`, 1), strings.Replace(good, "/home", `\u001F`, 1), strings.Replace(good, "/home", `\u00e9`, 1), strings.Replace(good, "/home", `\x`, 1),
		strings.Replace(good, "/home", `a\`, 1), strings.Replace(good, "Mozilla/5.0", `a\`, 1), strings.Replace(good, "Mozilla/5.0", ` `, 1),
		strings.Replace(good, `"path"`, `"Path"`, 1), strings.Replace(good, `"userAgent"`, `"useragent"`, 1), strings.Replace(good, `"path":`, `"path": `, 1),
		`{` + where + `,` + when + `,` + who + `}`,
	} {
		if _, ok := canonicalLine([]byte(line)); ok {
			t.Errorf("%q is taken", line)
		}
	}
	for _, extra := range []string{
		"", "x", `"a"`, `"a":`, `"a":1,`, `"a": 1`, `"a" :1`, ` "a":1`, `"a":1 `, `"a":01`, `"a":[1}`, `"a":"` + "\xff" + `"`, `"a":"` + "\n" + `"`, `"a":[1, 2]`,
		`"path":"/"`, `"timestamp":1`, `"userAgent":null`, `"pat\u0068":1`, `"a":1}`, `"a":1},"b":{`, `"a":"\x"`, `"a":1,"path":2`, "\"a\":\"\\\n\"",
	} {
		line := good[:len(good)-1] + "," + extra + "}"
		if _, ok := canonicalLine([]byte(line)); ok {
			t.Errorf("%q is taken", line)
		}
	}
}

func TestLine_SplitsLinesOneAfterAnother(t *testing.T) {
	recs := corpus.Records(5, 300, 3)
	recs[7].UserAgent, recs[8].Path = `"\`+"\n", `\\"`
	var b codec.Batch
	if err := b.Decode(corpus.AppendNDJSON(nil, recs), codec.NDJSON, codec.Limits{}); err != nil {
		t.Fatal(err)
	}
	rest := []byte(all(&b))
	for i, r := range recs {
		var l codec.Line
		n := l.Split(rest)
		if n == 0 || rest[n-1] != '\n' || !l.Valid() {
			t.Fatalf("record %d: %d", i, n)
		}
		if string(l.Timestamp) != r.Time.Format(time.RFC3339Nano) || string(codec.Unescape(nil, l.Path)) != r.Path || string(codec.Unescape(nil, l.UserAgent)) != r.UserAgent || l.Extra != nil {
			t.Errorf("record %d: %q", i, l)
		}
		rest = rest[n:]
	}
	var l codec.Line
	if n := l.Split(rest); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
}

func TestText_IsEscapedAndUnescaped(t *testing.T) {
	var every []byte
	for c := range 128 {
		every = append(every, byte(c))
	}
	for _, s := range []string{"", "a", "/home", "\x00", `"\`, "é日😀", "\u2028", strings.Repeat("x", 100) + "\n", string(every), "a\xffb"} {
		text := codec.AppendText([]byte("="), []byte(s))[1:]
		if want := escape(s); string(text) != want {
			t.Errorf("%q is escaped %q, not %q", s, text, want)
		}
		if got, want := string(codec.Unescape([]byte("="), text)), "="+strings.ToValidUTF8(s, "\ufffd"); got != want {
			t.Errorf("%q comes back as %q", s, got)
		}
		if codec.IsText(text) != (strings.TrimSpace(s) != "") {
			t.Errorf("%q: IsText", text)
		}
	}
	for _, s := range []string{`\ud83d\ude00`, `\u00e9\/`, `\ud800x`, `a\tb`} {
		var want string
		if err := json.Unmarshal([]byte(`"`+s+`"`), &want); err != nil {
			t.Fatal(err)
		}
		if got := codec.Unescape(nil, []byte(s)); string(got) != want {
			t.Errorf("%q is %q", s, got)
		}
		if s != `a\tb` && codec.IsText([]byte(s)) {
			t.Errorf("%q is taken for canonical text", s)
		}
	}
}
