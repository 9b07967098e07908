package codec_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"logforge/bench/corpus"
	"logforge/codec"
)

// The slow and obvious way to read an access log line.

// members are those of a record that is stored; nil is one that is set aside.
type members map[string]any

var (
	timeOpens    = regexp.MustCompile(` \[\d`)
	timeCloses   = regexp.MustCompile(`(?s)^([^\]]*)\] "(.*)$`)
	statusBehind = regexp.MustCompile(`^ [-\d]`)
	tail         = regexp.MustCompile(`(?s)^ (\d{1,3}|-) (\d{1,18}|-)(?:$| "(.*)$)`)
	methodFirst  = regexp.MustCompile(`(?s)^([A-Za-z][-\w]*)(?: (.*))?$`)
	protocolOnly = regexp.MustCompile(`^[A-Za-z]+/\d[\d.]*$`)
	urlOf        = regexp.MustCompile(`(?s)^[A-Za-z][-A-Za-z0-9+.]*://[^/?#]*([^#]*)`)
	logEscape    = regexp.MustCompile(`(?s)\\(x[0-9A-Fa-f]{2}|.)`)
	address      = regexp.MustCompile(`^[0-9A-Fa-f]*[.:][0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*$`)
	withPort     = regexp.MustCompile(`(?s)^.+:\d+$`)
)

// upTo splits s at the first quote that no backslash escapes and behind which there is
// what fits.
func upTo(s string, fits func(rest string) bool) (text, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"' && fits(s[i+1:]):
			return s[:i], s[i+1:], true
		}
	}
	return "", "", false
}

func endsThere(rest string) bool { return rest == "" || rest[0] == ' ' }

// plainText is a text of a line without its escapes, in UTF-8.
func plainText(s string) string {
	s = logEscape.ReplaceAllStringFunc(s, func(e string) string {
		var c byte
		switch e[1] {
		case '"', '\\', '/':
			return e[1:]
		case 'n':
			return "\n"
		case 't':
			return "\t"
		case 'r':
			return "\r"
		case 'b':
			return "\b"
		case 'f':
			return "\f"
		case 'v':
			return "\v"
		case 'x':
			if n, _ := fmt.Sscanf(e[2:], "%02x", &c); n == 1 {
				return string([]byte{c})
			}
		}
		return e
	})
	return inUTF8(s)
}

// inUTF8 is s with U+FFFD for each byte that is no UTF-8.
func inUTF8(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func dashIfBlank(s string) string {
	if strings.TrimFunc(s, unicode.IsSpace) == "" {
		return "-"
	}
	return s
}

// requestOracle splits a request line.
func requestOracle(r string) (method, target, protocol string) {
	m := methodFirst.FindStringSubmatch(r)
	if m == nil {
		return "", "", ""
	}
	rest := strings.Trim(m[2], " ")
	if i := strings.LastIndexByte(rest, ' '); i > 0 && protocolOnly.MatchString(rest[i+1:]) {
		return m[1], strings.TrimRight(rest[:i], " "), rest[i+1:]
	}
	switch {
	case rest == "":
		return m[1], "", ""
	case protocolOnly.MatchString(rest):
		return m[1], "", rest
	case rest[0] == '/' || rest == "*" || strings.Contains(rest, "://"):
		return m[1], rest, ""
	}
	return "", "", ""
}

// targetOracle is the path and query of an absolute URL, or else target.
func targetOracle(target string) string {
	m := urlOf.FindStringSubmatch(target)
	switch {
	case m == nil:
		return target
	case m[1] == "" || m[1][0] == '?':
		return "/" + m[1]
	}
	return m[1]
}

// lineOracle is the record of an access log line of the combined or common form.
func lineOracle(s string, form codec.Format) members {
	s = strings.TrimFunc(s, unicode.IsSpace)
	at := timeOpens.FindStringIndex(s)
	if at == nil {
		return nil
	}
	head := s[:at[0]+1]
	m := timeCloses.FindStringSubmatch(s[at[0]+2:])
	if m == nil {
		return nil
	}
	when, known := momentOracle(m[1])
	request, rest, ok := upTo(m[2], statusBehind.MatchString)
	if !ok || !known {
		return nil
	}
	if m = tail.FindStringSubmatch(rest); m == nil {
		return nil
	}
	status, size, rest := m[1], m[2], m[3]
	referer, agent, more := "-", "-", ""
	hasAgent := strings.Contains(m[0], ` "`)
	if !hasAgent && form == codec.Combined || hasAgent && form == codec.Common {
		return nil
	}
	if hasAgent {
		if referer, rest, ok = upTo(rest, endsThere); !ok || !strings.HasPrefix(rest, ` "`) {
			return nil
		}
		if agent, more, ok = upTo(rest[2:], endsThere); !ok {
			return nil
		}
	}
	vhost, remote, user := headOracle(head)
	return requestRecord(when, request, status, size, agent, map[string]string{
		"vhost": vhost, "remoteAddr": remote, "user": user, "referer": referer, "rest": strings.TrimLeft(more, " "),
	})
}

// requestRecord is the record of a line with these parts, as they stand in it.
func requestRecord(when, request, status, size, agent string, others map[string]string) members {
	method, target, protocol := requestOracle(request)
	path := "-"
	if target != "" && target != "-" {
		path = dashIfBlank(targetOracle(plainText(target)))
	}
	o := members{"timestamp": when, "path": path, "userAgent": "-"}
	if agent != "" && agent != "-" {
		o["userAgent"] = dashIfBlank(plainText(agent))
	}
	others["method"], others["protocol"] = method, protocol
	if method == "" {
		others["request"] = request
	}
	for name, value := range others {
		if value != "" && value != "-" {
			o[name] = plainText(value)
		}
	}
	o.addNumbers(map[string]string{"status": status, "bytes": size})
	return o
}

// addNumbers adds members that are numbers, unless they are dashes.
func (o members) addNumbers(all map[string]string) {
	for name, digits := range all {
		if digits != "-" {
			if digits = strings.TrimLeft(digits, "0"); digits == "" {
				digits = "0"
			}
			o[name] = json.Number(digits)
		}
	}
}

// headOracle splits what is before the time.
func headOracle(head string) (vhost, remote, user string) {
	if strings.HasPrefix(head, "<") {
		if i := strings.LastIndex(head, ": "); i >= 0 {
			head = head[i+2:]
		}
	}
	words := strings.SplitN(head, " ", 4) // of which there may be fewer
	for len(words) < 4 {
		words = append(words, "")
	}
	first, second, third := words[0], words[1], words[2]
	last := func(n int) string {
		all := strings.SplitN(head, " ", n+1)
		if len(all) <= n {
			return ""
		}
		return strings.TrimRight(all[n], " ")
	}
	user = last(2)
	if third != "" && address.MatchString(second) && (withPort.MatchString(first) || third == "-") && words[3] != "" {
		vhost, first, user = first, second, strings.TrimRight(words[3], " ")
	}
	if user == `""` {
		user = ""
	}
	return vhost, first, user
}

// decoded returns the members of a stored line.
func decodedLine(t testing.TB, line string) members {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var o members
	if err := d.Decode(&o); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return o
}

// sameRecords compares what is stored, in the order of hours, with the oracle's
// records.
func sameRecords(t testing.TB, body string, lines []string, want []members) {
	t.Helper()
	if len(lines) != len(want) {
		t.Fatalf("%q: %d are stored, the oracle stores %d: %q, %v", body, len(lines), len(want), lines, want)
	}
	for i, l := range lines {
		if got := decodedLine(t, l); !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("%q becomes\n%v\nand not\n%v", body, maps.Collect(maps.All(got)), want[i])
		}
	}
}

// FuzzLine: a line is what the oracle makes of it, by each form that it may be.
func FuzzLine(f *testing.F) {
	for _, s := range []string{
		combined1, combined2, `h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1`, `h - - [17/May/2015:10:05:03 +0000] "\x16\x03\x01" 400 157 "-" "-"`,
		`example.com:443 192.0.2.1 - bob [17/May/2015:10:05:03 +0000] "GET http://a.test?x=1#y HTTP/1.1" 304 0 "-" "y" 0.5 "more"`,
		`<190>Nov 25 07:32:23 host nginx: 192.0.2.1 - a b [17/May/2015:10:05:03 +0000] "GET /"x" y HTTP/1.1" 007 00 "a"b" "\"" -`,
		`h [x] [1] - [17/May/2015:10:05:03 +0000] "-" - - "" ""`, `h - "" [1431857103] "GET" 200 1 "\xe9" "\t"`, `h - - [17/May/2015:10:05:03 +0000] "OPTIONS * HTTP/1.1" 200 1`,
		"1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET /caf\xe9\x00 HTTP/1.1\" 200 1 \"\\\\\" \"\\x\"",
	} {
		f.Add(s)
	}
	for _, r := range corpus.Records(3, 10, 2) {
		f.Add(string(appendCombined(nil, r)))
	}
	r := lenient(f, nil)
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n") || strings.TrimFunc(line, unicode.IsSpace) == "" {
			return
		}
		forms := []codec.Format{codec.Combined, codec.Common}
		if c := strings.TrimFunc(line, unicode.IsSpace)[0]; (c == '<' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == ':') && !strings.Contains(line, ",") && !strings.Contains(line, "\xef") && !balancer.MatchString(line) {
			forms = append(forms, codec.Auto)
		}
		if oddTime.MatchString(line) {
			return // which the oracle does not know
		}
		for _, form := range forms {
			want := lineOracle(line, form)
			lines, aside := ingested(t, line, form, r)
			switch {
			case want != nil:
				sameRecords(t, line, lines, []members{want})
			case len(lines)+len(aside) != 1, len(lines) > 0 && form != codec.Auto: // it may be an Influx line
				t.Fatalf("%q, form %d: %q is stored, and not set aside", line, form, lines)
			}
			// Between others it is the same.
			between, _ := ingested(t, combined1+"\r\n"+line+"\n"+combined1, codec.Combined, r)
			if form == codec.Combined && len(between) != 2+len(lines) {
				t.Fatalf("%q between others: %q", line, between)
			}
		}
	})
}

// oddTime is a time with an exponent or an escape.
var oddTime = regexp.MustCompile(`\[\d[^\]/]*[eE]|\[\d[^\]]*\\`)

// balancer is what a line of a load balancer begins with.
var balancer = regexp.MustCompile(`^(https?|h2|grpcs|wss?) `)
