package codec_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"logforge/bench/corpus"
	"logforge/codec"
)

// The slow and obvious way to read the lines of W3C extended log files and of load
// balancers.

var (
	threeDigits = regexp.MustCompile(`^\d{1,3}$`)
	manyDigits  = regexp.MustCompile(`^\d{1,18}$`)
	percent     = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	dateFirst   = regexp.MustCompile(`(?s)^\d{4}-\d\d-\d\d.{11}`)
)

// extendedParts are the columns of a W3C extended log file that are not kept by their
// own names.
var extendedParts = map[string]string{
	"date": "date", "time": "time", "cs-method": "method", "cs-uri-stem": "path", "cs-uri": "path", "cs-uri-query": "query",
	"cs(User-Agent)": "userAgent", "c-ip": "remoteAddr", "cs-username": "user", "cs-version": "protocol",
	"cs-protocol-version": "protocol", "sc-status": "status", "sc-bytes": "bytes", "cs(Referer)": "referer",
}

// extendedPart is what a column is, or "" if it is kept by its own name.
func extendedPart(column string) string {
	if part, ok := extendedParts[column]; ok {
		return part
	}
	n := codec.DefaultNames()
	for i, list := range [][]string{n.Timestamp, n.Path, n.UserAgent} {
		for _, name := range list {
			if strings.EqualFold(column, name) || strings.EqualFold(column, "fields."+name) {
				return []string{"instant", "path", "userAgent"}[i]
			}
		}
	}
	return ""
}

// extendedValues splits a row.
func extendedValues(row string) []string {
	row = strings.TrimFunc(row, unicode.IsSpace)
	if strings.Contains(row, "\t") {
		return strings.Split(row, "\t")
	}
	return strings.Split(row, " ")
}

// extendedOracle is the record of a row below a #Fields line with these columns.
func extendedOracle(columns []string, row string) members {
	values := extendedValues(row)
	if len(values) != len(columns) {
		return nil
	}
	of, others := map[string]string{}, members{}
	for i, value := range values {
		part := extendedPart(columns[i])
		switch {
		case value == "" || value == "-":
		case part == "", part == "status" && !threeDigits.MatchString(value), part == "bytes" && !manyDigits.MatchString(value):
			others[inUTF8(columns[i])] = inUTF8(value)
		default:
			of[part] = value
		}
	}
	if of["path"] == "" && of["userAgent"] == "" {
		return nil
	}
	o := members{"timestamp": "2026-11-25T12:00:00Z", "path": "-", "userAgent": "-"} // of arrival
	at := of["instant"]
	if at == "" && of["time"] != "" {
		at = of["date"] + "T" + of["time"] + "Z"
	}
	if at != "" {
		when, known := momentOracle(at)
		if !known {
			return nil
		}
		o["timestamp"] = when
	}
	if of["path"] != "" {
		path := dashIfBlank(targetOracle(inUTF8(of["path"])))
		if of["query"] != "" {
			path += "?" + inUTF8(of["query"])
		}
		o["path"] = path
	}
	if agent := of["userAgent"]; agent != "" {
		if !strings.Contains(strings.TrimFunc(row, unicode.IsSpace), "\t") && !strings.Contains(agent, "%20") {
			agent = strings.ReplaceAll(agent, "+", " ")
		}
		agent = percent.ReplaceAllStringFunc(agent, func(e string) string {
			n, _ := strconv.ParseUint(e[1:], 16, 8)
			return string([]byte{byte(n)})
		})
		o["userAgent"] = dashIfBlank(inUTF8(agent))
	}
	for _, name := range []string{"remoteAddr", "user", "method", "protocol", "referer"} {
		if of[name] != "" {
			o[name] = inUTF8(of[name])
		}
	}
	for _, name := range []string{"status", "bytes"} {
		if of[name] != "" {
			o.addNumbers(map[string]string{name: of[name]})
		}
	}
	for name, value := range others {
		o[name] = value
	}
	return o
}

// FuzzExtended: a row of a W3C extended log file is what the oracle makes of it.
func FuzzExtended(f *testing.F) {
	const usual = "date time cs-method cs-uri-stem cs-uri-query c-ip cs(User-Agent) sc-status sc-bytes x-edge"
	for _, c := range [][2]string{
		{usual, "2026-02-09 15:23:00 GET /a.png q=1 192.0.2.1 Mozilla/5.0+(x) 200 007 y"},
		{usual, "2026-02-09\t15:23:00\tGET\t/a b\t-\t192.0.2.1\tMozilla/5.0%20(x)+y%2\t304\t-\t-"},
		{usual, "2026-02-09 15:23:00 - - - - - abc 20x z"}, {usual, "2026-02-09 15:23:60 - / - - - 2000 1 z"},
		{"date time cs-uri sc-status", "2026-02-09 15:23:00 http://example.test?x#y abc"}, {"time sc-bytes url", "15:23:00 1234567890123456789 /"},
		{"@timestamp Path user_agent status sc-status", "1770650580.5 / %e9%C3%A9 x 200"}, {"cs-uri-query cs(User-Agent)", "a %22\\x22"}, {"", "x"},
		{"path path sc-status sc-status", "/a /b 200 x"}, {"date cs-uri-stem", "2026-02-09 /\xff"},
	} {
		f.Add(c[0], c[1])
	}
	r := lenient(f, nil)
	f.Fuzz(func(t *testing.T, fields, row string) {
		first := strings.TrimFunc(row, unicode.IsSpace)
		columns := strings.Fields(fields)
		if strings.Contains(fields+row, "\n") || first == "" || first[0] == '#' || len(columns) > 100 || strings.HasPrefix(row, "\xef\xbb\xbf") {
			return
		}
		for i, value := range extendedValues(row) {
			if i < len(columns) && strings.ContainsAny(value, `eE\`) {
				switch extendedPart(columns[i]) {
				case "date", "time", "instant": // an exponent, or an escape, which the oracle does not know
					return
				}
			}
		}
		want := extendedOracle(columns, row)
		lines, aside := ingested(t, "#Fields: "+fields+"\n"+row, codec.W3C, r)
		if want != nil {
			sameRecords(t, row, lines, []members{want})
		} else if len(lines) != 0 || len(aside) != 1 {
			t.Fatalf("%q below %q: %q is stored, and not set aside", row, fields, lines)
		}
	})
}

// balancerOracle is the record of a line of a load balancer.
func balancerOracle(s string) members {
	s = strings.TrimFunc(s, unicode.IsSpace)
	rest := s
	var fields []string
	if dateFirst.MatchString(s) { // a classic load balancer does not say the type
		fields = append(fields, "")
	}
	for len(fields) < 14 {
		if rest == "" {
			return nil
		}
		var field string
		if rest[0] == '"' {
			var ok bool
			if field, rest, ok = upTo(rest[1:], endsThere); !ok {
				return nil
			}
			rest = strings.TrimPrefix(rest, " ")
		} else {
			field, rest, _ = strings.Cut(rest, " ")
		}
		fields = append(fields, field)
	}
	at, client, status, sent, request, agent := fields[1], fields[3], fields[8], fields[11], fields[12], fields[13]
	when, known := momentOracle(at)
	if !known || status != "-" && !threeDigits.MatchString(status) || sent != "-" && !manyDigits.MatchString(sent) {
		return nil
	}
	if i := strings.LastIndexByte(client, ':'); i > 0 {
		client = strings.Trim(client[:i], "[]")
	}
	return requestRecord(when, request, status, sent, agent, map[string]string{"remoteAddr": client, "rest": strings.TrimLeft(rest, " ")})
}

// FuzzBalancer: a line of a load balancer is what the oracle makes of it.
func FuzzBalancer(f *testing.F) {
	for i, form := range shipperForms {
		if form.name == "alb" {
			for line := range strings.Lines(string(shipperBody(i, corpus.Records(3, 10, 2)))) {
				f.Add(line)
			}
		}
	}
	const head, middle = `https 2018-07-02T22:23:00.186641Z app/my-lb/50dc `, ` 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 `
	for _, s := range []string{
		head + `192.0.2.10:2817` + middle + `"GET https://example.test:443/ HTTP/1.1" "curl/7.46.0" - -`,
		head + `[2001:db8::1]:2817` + middle + `"- http://example.test:80- " "-" -`, head + `-` + middle + `"GET / HTTP/1.1" "a\"b" `,
		head + `[]:1` + middle + `"" ""  x`, `2015-05-13T23:39:43.945958Z my-lb 192.0.2.10:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 - 0 29 "GET http://example.test:80/ HTTP/1.1" "curl/7.38.0" - -`,
		head + `192.0.2.10:2817 - -1 -1 -1 460 - 0 0 "GET / HTTP/1.1" "x"y" z`, head, head + `"quoted ":1` + middle + `"GET`, head + `a:1` + middle + `GET curl`,
	} {
		f.Add(s)
	}
	r := lenient(f, nil)
	f.Fuzz(func(t *testing.T, line string) {
		if first := strings.TrimFunc(line, unicode.IsSpace); strings.Contains(line, "\n") || first == "" || first[0] == '#' || strings.HasPrefix(line, "\xef\xbb\xbf") {
			return
		}
		if words := strings.Fields(line); len(words) > 1 && strings.ContainsAny(words[0]+words[1], `eE\`) {
			return // a time with an exponent, or an escape, which the oracle does not know
		}
		want := balancerOracle(line)
		lines, aside := ingested(t, line, codec.ALB, r)
		if want != nil {
			sameRecords(t, line, lines, []members{want})
		} else if len(lines) != 0 || len(aside) != 1 {
			t.Fatalf("%q: %q is stored, and not set aside", line, lines)
		}
	})
}
