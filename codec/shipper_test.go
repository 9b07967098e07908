package codec_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"logforge/codec"
)

// What log shippers send: every form, by the rules of POST /ingest.

var arrival = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// lenient are the rules of POST /ingest.
func lenient(t testing.TB, change func(*codec.Options)) *codec.Rules {
	t.Helper()
	o := codec.Options{Shipper: true, NoTime: codec.ArrivalTime, Blank: codec.DashForBlank, Extra: codec.KeepExtra, Limits: codec.Limits{Depth: 8}}
	if change != nil {
		change(&o)
	}
	return rules(t, o)
}

// ingested returns the lines that a body becomes, in the order of hours, and what
// is set aside: the record and why.
func ingested(t testing.TB, body string, f codec.Format, r *codec.Rules) (lines, aside []string) {
	t.Helper()
	var b codec.Batch
	err := b.DecodeWith([]byte(body), f, r, arrival, func(record []byte, e codec.RecordError) {
		aside = append(aside, fmt.Sprintf("%s | %s %s", record, e.Field, e.Reason))
	})
	if err != nil {
		t.Fatalf("%.100q: %v", body, err)
	}
	if text := all(&b); text != "" {
		lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	for _, l := range lines {
		if _, ok := canonicalLine([]byte(l)); !ok {
			t.Errorf("%q is not canonical", l)
		}
	}
	return lines, aside
}

// record is a canonical line.
func record(at, path, agent string, extra ...string) string {
	s := `{"timestamp":"` + at + `","path":"` + path + `","userAgent":"` + agent + `"`
	for _, x := range extra {
		s += "," + x
	}
	return s + "}"
}

const (
	combined1 = `192.0.2.10 - - [17/May/2015:10:05:03 +0000] "GET /a.png HTTP/1.1" 200 203023 "http://example.test/p/" "Mozilla/5.0 (KHTML, like Gecko)"`
	combined2 = `192.0.2.11 - alice [17/May/2015:11:59:59 +0200] "POST /login?q=\"x\" HTTP/1.1" 302 - "-" "-"`
)

var (
	stored1 = record("2015-05-17T10:05:03Z", "/a.png", "Mozilla/5.0 (KHTML, like Gecko)",
		`"remoteAddr":"192.0.2.10","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":203023,"referer":"http://example.test/p/"`)
	stored2 = record("2015-05-17T09:59:59Z", `/login?q=\"x\"`, "-", `"remoteAddr":"192.0.2.11","user":"alice","method":"POST","protocol":"HTTP/1.1","status":302`)
)

func TestShipper_TakesAccessLogLines(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		lines, aside := ingested(t, line, codec.Auto, lenient(t, nil))
		if len(lines) != 1 || lines[0] != want || len(aside) > 0 {
			t.Errorf("%s\nbecomes %s\nnot     %s\naside %s", line, lines, want, aside)
		}
	}
	f(combined1, stored1)
	f(combined2, stored2)
	const at = "[17/May/2015:10:05:03 +0000]"
	const when = "2015-05-17T10:05:03Z"
	f(`::1 - - `+at+` "GET / HTTP/2.0" 200 5`, record(when, "/", "-", `"remoteAddr":"::1","method":"GET","protocol":"HTTP/2.0","status":200,"bytes":5`))
	f(`2001:db8::7 - john doe `+at+` "GET / HTTP/1.1" 200 5 "-" "x"`, record(when, "/", "x", `"remoteAddr":"2001:db8::7","user":"john doe","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":5`))
	f(`example.com:443 192.0.2.1 - bob `+at+` "GET /x HTTP/1.1" 304 0 "-" "y"`, record(when, "/x", "y", `"vhost":"example.com:443","remoteAddr":"192.0.2.1","user":"bob","method":"GET","protocol":"HTTP/1.1","status":304,"bytes":0`))
	f(`example.com 192.0.2.1 - - `+at+` "GET /x HTTP/1.1" 304 0 "-" "y"`, record(when, "/x", "y", `"vhost":"example.com","remoteAddr":"192.0.2.1","method":"GET","protocol":"HTTP/1.1","status":304,"bytes":0`))
	f(`h - - `+at+` "\x16\x03\x01" 400 157 "-" "-"`, record(when, "-", "-", `"remoteAddr":"h","request":"\u0016\u0003\u0001","status":400,"bytes":157`))
	f(`h - - `+at+` "-" 408 - "-" "-"`, record(when, "-", "-", `"remoteAddr":"h","status":408`))
	f(`h - - `+at+` "" 400 0 "" ""`, record(when, "-", "-", `"remoteAddr":"h","status":400,"bytes":0`))
	f(`h - - `+at+` "GET" 400 1 "-" "-"`, record(when, "-", "-", `"remoteAddr":"h","method":"GET","status":400,"bytes":1`))
	f(`h - - `+at+` "GET /old" 200 1 "-" "-"`, record(when, "/old", "-", `"remoteAddr":"h","method":"GET","status":200,"bytes":1`))
	f(`h - - `+at+` "GET /a b HTTP/1.1" 200 1 "-" "-"`, record(when, "/a b", "-", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "OPTIONS * HTTP/1.1" 200 1 "-" "-"`, record(when, "*", "-", `"remoteAddr":"h","method":"OPTIONS","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "GET http://example.test/x?y=1#z HTTP/1.1" 200 1 "-" "-"`, record(when, "/x?y=1", "-", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "GET http://example.test?y HTTP/1.1" 200 1 "-" "-"`, record(when, "/?y", "-", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "CONNECT example.test:443 HTTP/1.1" 200 1 "-" "-"`, record(when, "example.test:443", "-", `"remoteAddr":"h","method":"CONNECT","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "GET /\xC3\xA9\xff HTTP/1.1" 200 1 "-" "\xD1\x82 \x22q\x22 \x5Cx \\ \" \t\q"`, record(when, "/é\ufffd", `т \"q\" \\x \\ \" \t\\q`, `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f("h - - "+at+" \"GET /caf\xe9 HTTP/1.1\" 200 1 \"-\" \"\x00\x80é\"", record(when, "/caf\ufffd", "\\u0000\ufffdé", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - `+at+` "GET / HTTP/1.1" 200 1 "-" "x" "10.0.0.1, 10.0.0.2"`, record(when, "/", "x", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1,"rest":"\"10.0.0.1, 10.0.0.2\""`))
	f(`h - - `+at+` "GET /a"b HTTP/1.1" 200 1 "-" "say "hi" x"`, record(when, `/a\"b`, `say \"hi`, `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1,"rest":"x\""`))
	f(`<190>Nov 25 07:32:23 web nginx: h - - `+at+` "GET / HTTP/1.1" 200 1 "-" "x"`, record(when, "/", "x", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - "" `+at+` "GET / HTTP/1.1" 200 1 "-" "x"`+"\r\n", record(when, "/", "x", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`h - - [2015-05-17T10:05:03+00:00] "GET / HTTP/1.1" 200 1 "-" "x"`, record(when, "/", "x", `"remoteAddr":"h","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":1`))
	f(`https 2018-07-02T22:23:00.186641Z app/my-lb/50dc 192.0.2.10:2817 10.0.0.1:80 0.086 0.048 0.037 200 201 0 57 "GET https://www.example.com:443/a?b HTTP/1.1" "curl/7.46.0" ECDHE TLSv1.2`,
		record("2018-07-02T22:23:00.186641Z", "/a?b", "curl/7.46.0", `"remoteAddr":"192.0.2.10","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":57,"rest":"ECDHE TLSv1.2"`))
	f(`http 2018-07-02T22:23:00.186641Z app/my-lb/50dc [2001:db8::1]:2817 - -1 -1 -1 400 - 0 57 "- http://example.com:80- -" "-" - -`,
		record("2018-07-02T22:23:00.186641Z", "-", "-", `"remoteAddr":"2001:db8::1","request":"- http://example.com:80- -","status":400,"bytes":57,"rest":"- -"`))
	f(`2015-05-13T23:39:43.945958Z my-lb 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -`,
		record("2015-05-13T23:39:43.945958Z", "/", "curl/7.38.0", `"remoteAddr":"192.168.131.39","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":29,"rest":"- -"`))
}

func TestShipper_SetsAsideWhatIsNoLine(t *testing.T) {
	f := func(line, reason string) {
		t.Helper()
		body := combined1 + "\n" + line + "\n" + combined2 + "\n"
		lines, aside := ingested(t, body, codec.Auto, lenient(t, nil))
		if len(lines) != 2 || lines[0] != stored2 || lines[1] != stored1 {
			t.Errorf("%q: the neighbours become %q", line, lines)
		}
		if len(aside) != 1 || !strings.HasPrefix(aside[0], strings.TrimRight(line, " \r")+" | ") || !strings.Contains(aside[0], reason) {
			t.Errorf("%q: set aside %q", line, aside)
		}
	}
	for n := 1; n < len(combined1)-1; n++ {
		cut := combined1[:n]
		if strings.HasSuffix(combined1[:n+1], " ") && strings.Contains(cut, "200 2") {
			continue // a line of the common form
		}
		if _, after, ok := strings.Cut(cut, `" 200 `); ok && len(after) > 0 && !strings.Contains(after, `"`) {
			continue // the same, with a shorter number
		}
		f(cut, "record is ")
	}
	const at = "[17/May/2015:10:05:03 +0000]"
	f("hello", "no time in brackets")
	f("\x16\x03\x01\x00\xee", "record")
	f(strings.Repeat("x", 1<<20), "no time in brackets")
	f(strings.Repeat(`"[`, 1<<18), "record")
	f(`h - - [17/May/2015:10:05:03 +9900] "GET / HTTP/1.1" 200 1 "-" "-"`, "timestamp")
	f(`h - - [32/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`, "calendar")
	f(`h - - [17/Mai/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`, "timestamp")
	f(`h - - [17/May/2015:10:05:63 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`, "time of day")
	f(`h - - `+at+` GET / HTTP/1.1 200 1`, "no request in quotes")
	f(`h - - `+at+` "GET / HTTP/1.1" OK 1`, "status")
	f(`h - - `+at+` "GET / HTTP/1.1" 200 x`, "bytes")
	f(`h - - `+at+` "GET / HTTP/1.1" 200 1 "-"`, "before the user agent")
	f(`h - - `+at+` "GET / HTTP/1.1" 200 1 "-" "x`, "inside the user agent")
	f(`h - - `+at+` "GET / HTTP/1.1" 200 1 "-" "x\"`, "inside the user agent")
	f(`{"path":"/x"`, "is not JSON")
	f(`{"a":1}`, "neither a path nor a user agent")
	f(`{"path":"/x","timestamp":"yesterday"}`, "timestamp")
	f(`["a",`, "")
	f(`null`, "")
}

// Records that are canonical lines already are taken at once, unless the rules would make
// something else of them.
func TestShipper_TakesACanonicalLineAsAnyOtherRecord(t *testing.T) {
	const agent = `"userAgent":"x"`
	r := lenient(t, func(o *codec.Options) {
		o.Names = codec.DefaultNames()
		o.Names.Timestamp = append([]string{"first_time"}, o.Names.Timestamp...)
		o.Names.Dropped = []string{"first_time", "around"}
	})
	for _, c := range []struct{ record, want string }{
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `}`, `{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `}`},
		{`{"timestamp":"2026-02-09T15:23:00.5Z","path":"-",` + agent + `,"x":1}`, `{"timestamp":"2026-02-09T15:23:00.5Z","path":"-",` + agent + `,"x":1}`},
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"http://example.test/a?b",` + agent + `,"x":1}`, `{"timestamp":"2026-02-09T15:23:00Z","path":"/a?b",` + agent + `,"x":1}`},
		{`{"timestamp":"2026-02-09T15:23:00.25Z","path":"GET /a HTTP/1.1",` + agent + `}`, `{"timestamp":"2026-02-09T15:23:00.25Z","path":"/a",` + agent + `}`},
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `,"first_time":"2026-02-09T16:00:00Z"}`, `{"timestamp":"2026-02-09T16:00:00Z","path":"/a",` + agent + `}`},
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `,"FIRST_time":"2026-02-09T16:00:00Z"}`, `{"timestamp":"2026-02-09T16:00:00Z","path":"/a",` + agent + `}`},
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `,"x":1,"first\u005ftime":"2026-02-09T16:00:00Z"}`, `{"timestamp":"2026-02-09T16:00:00Z","path":"/a",` + agent + `,"x":1}`},
		{`{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `,"x":1,"around":2}`, `{"timestamp":"2026-02-09T15:23:00Z","path":"/a",` + agent + `,"x":1}`},
	} {
		for _, body := range []string{c.record, c.record + "\n" + c.record, "[" + c.record + "," + c.record + "]", c.record + "\r\n"} {
			lines, aside := ingested(t, body, codec.Auto, r)
			if len(aside) > 0 || len(lines) == 0 || len(lines) < strings.Count(body, agent) {
				t.Fatalf("%s: %q, aside %v", body, lines, aside)
			}
			for _, line := range lines {
				if strings.TrimSuffix(line, "\n") != c.want {
					t.Errorf("%s\nbecomes %s\nnot     %s", body, line, c.want)
				}
			}
		}
	}
}

// A status or a size that is no number stays what it is, and the line is JSON.
func TestShipper_KeepsWhatIsNoNumberInAnExtendedLogFileAsText(t *testing.T) {
	lines, aside := ingested(t, "#Fields: time sc-status sc-bytes cs-uri-stem date\n15:23:00 abc 20x /a 2026-02-09\n15:23:00 2000 1234567890123456789 /b 2026-02-09\n15:23:00 200 007 /c 2026-02-09", codec.Auto, lenient(t, nil))
	want := []string{
		`{"timestamp":"2026-02-09T15:23:00Z","path":"/a","userAgent":"-","sc-status":"abc","sc-bytes":"20x"}`,
		`{"timestamp":"2026-02-09T15:23:00Z","path":"/b","userAgent":"-","sc-status":"2000","sc-bytes":"1234567890123456789"}`,
		`{"timestamp":"2026-02-09T15:23:00Z","path":"/c","userAgent":"-","status":200,"bytes":7}`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") || len(aside) > 0 {
		t.Errorf("%s\nnot %s\naside %v", strings.Join(lines, "\n"), strings.Join(want, "\n"), aside)
	}
}
