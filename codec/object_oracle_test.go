package codec_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"logforge/codec"
)

// The slow and obvious way to read an object in which the values have other names:
// encoding/json, and every name of every list tried on every member.

// leaf is a value that a name may mean, with dots between the parts of its name.
type leaf struct {
	name  string // in the case of the lists above its last part
	last  string // the last part as it is written
	value any
	top   string // the member of the record that it is in
}

// nameLists are those by which leaves are looked for: time, path, user agent, line.
func nameLists() (lists [4][]string) {
	d := codec.DefaultNames()
	lists = [4][]string{d.Timestamp, d.Path, d.UserAgent, d.Line}
	for i, list := range lists {
		for _, name := range list {
			lists[i] = append(lists[i], "fields."+name)
		}
	}
	lists[3] = append(lists[3], "fields.value")
	return lists
}

// inside reports whether longer names begin with this one, and how it is listed.
func inside(lists [4][]string, name string) (listed string, ok bool) {
	for _, exactly := range []bool{true, false} {
		for _, list := range lists {
			for _, full := range list {
				for i, c := range full {
					if c == '.' && (full[:i] == name || !exactly && strings.EqualFold(full[:i], name)) {
						return full[:i], true
					}
				}
			}
		}
	}
	return "", false
}

// leaves returns those of a member, and whether the member holds more than one value.
func leaves(lists [4][]string, prefix, name, top string, value any) (all []leaf, partial bool) {
	full := prefix + name
	if listed, ok := inside(lists, full); ok {
		switch v := value.(type) {
		case map[string]any:
			partial = len(v) > 1
			for n, inner := range v {
				more, p := leaves(lists, listed+".", n, top, inner)
				all, partial = append(all, more...), partial || p
			}
			return all, partial
		case []any:
			partial = len(v) > 1
			for n, inner := range v {
				if n < 10 {
					more, p := leaves(lists, listed+".", fmt.Sprint(n), top, inner)
					all, partial = append(all, more...), partial || p
				}
			}
			return all, partial
		}
	}
	return []leaf{{full, name, value, top}}, false
}

func isBlank(s string) bool { return strings.TrimFunc(s, unicode.IsSpace) == "" }

// objectOracle returns what the values are, and what else is kept.
type object struct {
	lists   [4][]string
	members map[string]any
	leaves  []leaf
	partial map[string]bool
	used    map[string]bool
}

func newObject(m map[string]any) *object {
	o := &object{lists: nameLists(), members: m, partial: map[string]bool{}, used: map[string]bool{}}
	for name, value := range m {
		more, partial := leaves(o.lists, "", name, name, value)
		o.leaves = append(o.leaves, more...)
		o.partial[name] = partial
	}
	return o
}

// find returns the values of a list that fit, the best first.
func (o *object) find(list int, fits func(any) bool) (found []leaf) {
	for _, name := range o.lists[list] {
		for _, exactly := range []bool{true, false} {
			for _, l := range o.leaves {
				listed := l.name == name
				if exactly != listed || !strings.EqualFold(l.name, name) || !fits(l.value) {
					continue
				}
				// A name that is listed itself is not another one in another case.
				if !listed && o.isListed(l.name) {
					continue
				}
				found = append(found, l)
			}
		}
	}
	return found
}

func (o *object) isListed(name string) bool {
	for _, list := range o.lists {
		for _, n := range list {
			if n == name {
				return true
			}
			for i, c := range n {
				if c == '.' && n[:i] == name {
					return true
				}
			}
		}
	}
	switch name {
	case "cs-uri-query", "logs", "records", "events", "metrics", "entries":
		return true
	}
	return false
}

func (o *object) consume(l leaf) {
	if !o.partial[l.top] {
		o.used[l.top] = true
	}
}

// kept adds the members that are left to a record.
func (o *object) kept(to members) {
	for name, value := range o.members {
		if name != "timestamp" && name != "path" && name != "userAgent" && !o.used[name] {
			to[name] = value
		}
	}
}

func isText(v any) bool { s, ok := v.(string); return ok && !isBlank(s) }

func isTime(v any) bool {
	_, number := v.(json.Number)
	return number || isText(v)
}

func isLine(v any) bool {
	_, inner := v.(map[string]any)
	return inner || isText(v)
}

// recordOracle is the record of an object.
func recordOracle(m map[string]any) members {
	o := newObject(m)
	out := members{}
	sources := []*object{o}
	if len(o.find(1, isText)) == 0 || len(o.find(2, isText)) == 0 {
		for _, l := range o.find(3, isLine) {
			inner, isObject := l.value.(map[string]any)
			text, _ := l.value.(string)
			text = strings.TrimFunc(text, unicode.IsSpace)
			if !isObject && strings.HasPrefix(text, "{") {
				if inner, isObject = parseObject(text); !isObject {
					continue
				}
			}
			if isObject {
				if in := newObject(inner); len(in.find(1, isText))+len(in.find(2, isText)) > 0 {
					o.consume(l)
					sources = []*object{in, o}
					break
				}
				continue
			}
			if record := lineOracle(text, codec.Auto); record != nil || lineWithoutTime(text) {
				if record == nil {
					return nil // its time is none
				}
				o.consume(l)
				o.kept(out)
				for name, value := range record {
					out[name] = value
				}
				return out
			}
		}
	}
	out["timestamp"], out["path"], out["userAgent"] = arrival.Format(time.RFC3339Nano), "-", "-"
	var done [3]bool
	for _, src := range sources {
		if found := src.find(0, isTime); len(found) > 0 && !done[0] {
			at, ok := momentOracle(fmt.Sprint(found[0].value))
			if !ok {
				return nil
			}
			out["timestamp"], done[0] = at, true
			src.consume(found[0])
		}
		if found := src.find(2, isText); len(found) > 0 && !done[2] {
			out["userAgent"], done[2] = found[0].value, true
			src.consume(found[0])
		}
		if found := src.find(1, isText); len(found) > 0 && !done[1] {
			whole := found[0].value.(string)
			path := pathOracle(whole, strings.EqualFold(found[0].name, "request") || strings.EqualFold(found[0].name, "fields.request"))
			if path == whole {
				src.consume(found[0])
			}
			out["path"], done[1] = path, true
		}
	}
	if !done[1] && !done[2] {
		return nil
	}
	for i := len(sources) - 1; i >= 0; i-- {
		sources[i].kept(out)
	}
	return out
}

// lineWithoutTime reports whether only the time of a line is wrong.
func lineWithoutTime(text string) bool {
	at := timeOpens.FindStringIndex(text)
	if at == nil {
		return false
	}
	end := strings.IndexByte(text[at[0]:], ']')
	return end > 0 && lineOracle(text[:at[0]]+" [17/May/2015:10:05:03 +0000"+text[at[0]+end:], codec.Auto) != nil
}

// pathOracle is the path of a value that is one, a URL, or a request line.
func pathOracle(value string, isRequest bool) string {
	if strings.HasPrefix(value, "/") {
		return value
	}
	if _, target, protocol := requestOracle(value); target != "" && (isRequest || protocol != "") {
		return targetOracle(target)
	}
	path := targetOracle(value)
	if isRequest && path == value {
		return "-"
	}
	return path
}

func parseObject(text string) (m map[string]any, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&m) != nil || m == nil {
		return nil, false
	}
	_, err := d.Token()
	return m, err == io.EOF
}

var twiceNamed = regexp.MustCompile(`"(?:[^"\\]|\\.)*"\s*:`)

// hasTwice reports whether any name is in a text twice, wherever: one of them may
// count here, and another there.
func hasTwice(text string) bool {
	seen := map[string]bool{}
	for _, name := range twiceNamed.FindAllString(text, -1) {
		var plain string
		if json.Unmarshal([]byte(strings.TrimRight(name, ": \t\r\n")), &plain) != nil {
			return true
		}
		plain = strings.ToLower(plain)
		if seen[plain] {
			return true
		}
		seen[plain] = true
	}
	return false
}

// FuzzObject: an object is what the oracle makes of it.
func FuzzObject(f *testing.F) {
	quoted, _ := json.Marshal(combined2)
	for _, s := range []string{
		good, `{"date":1431857103.5,"log":` + string(quoted) + `}`, `{"message":"{\"uri\":\"/a\",\"ts\":1431857103}","agent":"x","level":30}`,
		`{"@timestamp":"2026-02-09T15:23:00Z","url":{"path":"/a","domain":"x"},"user_agent":{"original":"y"},"event":{"original":"z"}}`,
		`{"url":{"path":"/a"},"user_agent":"y","status":200,"a":[1,{"b":null}]}`, `{"request":{"uri":"/u","headers":{"User-Agent":["x","y"]}},"ts":1431857103.25}`,
		`{"request":"GET /a HTTP/1.1","http_user_agent":" ","time_local":"17/May/2015:10:05:03 +0000"}`, `{"URL":"http://a.test/b?c#d","User-Agent":"\u00e9\n","msec":"1431857103.123"}`,
		`{"path":null,"uri":"","agent":"x"}`, `{"path":" ","log":"x"}`, `{"fields":{"request":"/a","agent":"b"},"timestamp":1431857103}`, `{"log":{"path":"/x"},"time":"never"}`, `{"http.target":"/t","http":{"user_agent":"u"}}`,
	} {
		f.Add([]byte(s))
	}
	r := lenient(f, nil)
	exponent := regexp.MustCompile(`\d[eE]`)
	f.Fuzz(func(t *testing.T, body []byte) {
		text := string(bytes.TrimSpace(body))
		m, ok := parseObject(text)
		if !ok || !utf8.Valid(body) || hasTwice(strings.ReplaceAll(text, `\"`, `"`)) || exponent.MatchString(text) || strings.Contains(text, "cs-uri") ||
			strings.Count(text, "[")+strings.Count(text, "{") > 8 || balancer.MatchString(text) {
			return
		}
		for name, value := range m {
			if _, list := value.([]any); list && strings.Contains("logs records events metrics entries", strings.ToLower(name)) {
				return // those of the list are records
			}
		}
		want := recordOracle(m)
		lines, aside := ingested(t, text, codec.JSON, r)
		if want == nil {
			if len(lines) > 0 || len(aside) != 1 {
				t.Fatalf("%s: %q is stored, and not set aside", text, lines)
			}
			return
		}
		if len(lines) != 1 {
			t.Fatalf("%s: set aside: %q; the oracle stores %v", text, aside, want)
		}
		sameRecords(t, text, lines, []members{want})
		// Again and again: what is remembered of one record is used for the next.
		if lines, _ = ingested(t, text+"\n"+text+"\n"+text, codec.JSON, r); len(lines) != 3 {
			t.Fatalf("%s, three times: %q", text, lines)
		}
		for _, l := range lines {
			sameRecords(t, text, []string{l}, []members{want})
		}
	})
}

// FuzzShipperCSV: rows below a header line are what encoding/csv makes of them.
func FuzzShipperCSV(f *testing.F) {
	f.Add("1431857103,/a,b,200\n,/c,,\n\"2026-02-09T15:23:00Z\",\"/d\"\"e\",\"f,g\",x\n,,,\n1,2\n")
	f.Add("never,/a,b,c\n,GET /x HTTP/1.1,\" \",\n,http://a.test,\x01é,\\\n\n,/a\"b,c,d\n,\"/\nx\",y,z")
	r := lenient(f, nil)
	f.Fuzz(func(t *testing.T, rows string) {
		if strings.ContainsAny(rows, "\r") || !utf8.ValidString(rows) || strings.TrimSpace(rows) == "" {
			return // encoding/csv changes line ends within quotes
		}
		in := csv.NewReader(strings.NewReader(rows))
		in.FieldsPerRecord = -1
		var want []members
		aside := 0
		for {
			row, err := in.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				return // where the next record begins is a matter of opinion
			}
			if len(row) != 4 || isBlank(row[1]) && isBlank(row[2]) {
				aside++
				continue
			}
			at, ok := arrival.Format(time.RFC3339Nano), true
			if !isBlank(row[0]) {
				if strings.ContainsAny(row[0], "eE") && !strings.Contains(row[0], "/") {
					return
				}
				at, ok = momentOracle(row[0])
			}
			if !ok {
				aside++
				continue
			}
			o := members{"timestamp": at, "path": "-", "userAgent": dashIfBlank(row[2]), "status": row[3]}
			if !isBlank(row[1]) {
				o["path"] = pathOracle(row[1], false)
			}
			want = append(want, o)
		}
		lines, set := ingested(t, "timestamp,path,userAgent,status\n"+rows, codec.CSV, r)
		if len(set) != aside {
			t.Fatalf("%q: %d are set aside, the oracle does so with %d: %q", rows, len(set), aside, set)
		}
		byHour(want)
		sameRecords(t, rows, lines, want)
	})
}
