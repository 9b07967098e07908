package codec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"logforge/codec"
)

func TestShipper_FindsTheFieldsByTheirNames(t *testing.T) {
	const now = "2026-11-25T12:00:00Z"
	f := func(sent string, want ...string) {
		t.Helper()
		for _, body := range []string{sent, sent + "\n" + sent, "[" + sent + ",\n" + sent + "]", `{"level":1,"records":[` + sent + `],"more":[]}`, "\xef\xbb\xbf " + sent + sent} {
			lines, aside := ingested(t, body, codec.Auto, lenient(t, nil))
			var all []string
			for range strings.Count(body, sent) {
				all = append(all, want...)
			}
			if !slices.Equal(lines, all) || len(aside) > 0 {
				t.Errorf("%s\nbecomes %s\nnot     %s\naside %s", body, lines, want, aside)
			}
		}
	}
	f(good, good)
	f(`{"path":"/x","userAgent":"y"}`, record(now, "/x", "y"))
	f(`{"@timestamp":"2026-02-09T15:23:00Z","url":{"path":"/"},"user_agent":{"original":"x"}}`, record("2026-02-09T15:23:00Z", "/", "x"))
	f(`{"@timestamp":"2026-02-09T15:23:00Z","url":{"path":"/","scheme":"https"},"user_agent.original":"x"}`, record("2026-02-09T15:23:00Z", "/", "x", `"url":{"path":"/","scheme":"https"}`))
	f(`{"date":1431857103.0,"host":"192.0.2.10","user":"-","method":"GET","path":"/k.png","code":"200","size":"203023","referer":"http://e/","agent":"Mozilla"}`,
		record("2015-05-17T10:05:03Z", "/k.png", "Mozilla", `"host":"192.0.2.10","user":"-","method":"GET","code":"200","size":"203023","referer":"http://e/"`))
	f(`{"host":"h","user":null,"path":"/k.png","code":200,"agent":null}`, record(now, "/k.png", "-", `"host":"h","user":null,"code":200,"agent":null`))
	f(`{"ts":1.431857103e9,"request":{"uri":"/a?b","method":"GET","headers":{"User-Agent":["x","y"],"Accept":["*/*"]}},"status":200}`,
		record("2015-05-17T10:05:03Z", "/a?b", "x", `"request":{"uri":"/a?b","method":"GET","headers":{"User-Agent":["x","y"],"Accept":["*/*"]}}`, `"status":200`))
	f(`{"time_local":"17/May/2015:10:05:03 +0000","time_iso8601":"2015-05-17T10:05:04+00:00","msec":"1431857105.785","request":"GET /r HTTP/1.1","request_uri":"/u","http_user_agent":""}`,
		record("2015-05-17T10:05:04Z", "/u", "-", `"time_local":"17/May/2015:10:05:03 +0000","msec":"1431857105.785","request":"GET /r HTTP/1.1"`, `"http_user_agent":""`))
	f(`{"msec":"1431857105.785","request":"GET /r?a=\"b\" HTTP/1.1","http_user_agent":"x"}`, record("2015-05-17T10:05:05.785Z", `/r?a=\"b\"`, "x", `"request":"GET /r?a=\"b\" HTTP/1.1"`))
	f(`{"request":"GET","http_user_agent":""}`, record(now, "-", "-", `"request":"GET"`, `"http_user_agent":""`))
	f(`{"request":"\u0016\u0003","request_uri":"","uri":"","http_user_agent":""}`, record(now, "-", "-", `"request":"\u0016\u0003","request_uri":"","uri":""`, `"http_user_agent":""`))
	f(`{"url":"https://example.test/a/b?c#d","agent":"x"}`, record(now, "/a/b?c", "x", `"url":"https://example.test/a/b?c#d"`))
	f(`{"uri":"https://example.test","agent":"x"}`, record(now, "/", "x", `"uri":"https://example.test"`))
	f(`{"cs-uri-stem":"/a","cs-uri-query":"b=c","cs(User-Agent)":"x"}`, record(now, "/a?b=c", "x"))
	f(`{"cs-uri-stem":"/a","cs-uri-query":"-","cs(User-Agent)":"x"}`, record(now, "/a", "x"))
	f(`{"Path":"/a","USERAGENT":"x","TIME":"2026-02-09T15:23:00Z"}`, record("2026-02-09T15:23:00Z", "/a", "x"))
	f(`{"Path":"/b","path":"/a","userAgent":"x"}`, record(now, "/a", "x", `"Path":"/b"`))
	f(`{"path":"/a","Path":"/b","userAgent":"x"}`, record(now, "/a", "x", `"Path":"/b"`))
	f(`{"path":"/first","path":"/a","userAgent":"x"}`, record(now, "/a", "x"))
	f(`{"path":"","url":"/b","userAgent":" "}`, record(now, "/b", "-"))
	f(`{"path":"/b","userAgent":"-"}`, record(now, "/b", "-"))
	f(`{"user_agent":"x","other":1}`, record(now, "-", "x", `"other":1`))
	f(`{"userAgent":5,"agent":"x","path":{"a":1},"uri":"/b"}`, record(now, "/b", "x"))
	f(`{"p\u0061th":"/\u00e9","userAgent":"x\ud800","a\u0062":1}`, record(now, "/é", "x\ufffd", `"a\u0062":1`))
	f(`{"event":{"original":"`+escape(combined1)+`"},"z":1}`, record("2015-05-17T10:05:03Z", "/a.png", "Mozilla/5.0 (KHTML, like Gecko)", `"z":1`,
		`"remoteAddr":"192.0.2.10","method":"GET","protocol":"HTTP/1.1","status":200,"bytes":203023,"referer":"http://example.test/p/"`))
	f(`{"date":1795593680.506585,"log":"`+escape(combined2)+`\n"}`, `{"timestamp":"2015-05-17T09:59:59Z","path":"/login?q=\"x\"","userAgent":"-","date":1795593680.506585,"remoteAddr":"192.0.2.11","user":"alice","method":"POST","protocol":"HTTP/1.1","status":302}`)
	f(`{"path":"/var/log/access.log","log":"`+escape(combined2)+`"}`, stored2)
	f(`{"time":"2026-02-09T15:23:00Z","message":"{\"path\":\"/x\", \"status\": 200}","host":"h"}`, record("2026-02-09T15:23:00Z", "/x", "-", `"host":"h"`, `"status":200`))
	f(`{"time":"2026-02-09T15:23:00Z","message":{"path":"/x","ts":0.5,"agent":"y"},"host":"h"}`, record("1970-01-01T00:00:00.5Z", "/x", "y", `"time":"2026-02-09T15:23:00Z"`, `"host":"h"`))
	f(`{"level":30,"time":1770650580000,"msg":"hi","path":"/p","userAgent":"u"}`, record("2026-02-09T15:23:00Z", "/p", "u", `"level":30,"msg":"hi"`))
	f(`{"msg":"no line","body":"`+escape(combined2)+`"}`, stored2[:len(stored2)-len(`,"remoteAddr":"192.0.2.11","user":"alice","method":"POST","protocol":"HTTP/1.1","status":302}`)]+`,"msg":"no line","remoteAddr":"192.0.2.11","user":"alice","method":"POST","protocol":"HTTP/1.1","status":302}`)
	f(`{"fields":{"agent":"x","request":"/r","resp_code":200},"name":"tail","tags":{"host":"h"},"timestamp":1431857103}`,
		record("2015-05-17T10:05:03Z", "/r", "x", `"fields":{"agent":"x","request":"/r","resp_code":200},"name":"tail","tags":{"host":"h"}`))
	f(`{"a" : [ 1 , 2 ] ,"path":"/x" , "userAgent" :"y" }`, record(now, "/x", "y", `"a":[1,2]`))
}

func TestShipper_SetsAsideRecordsThatAreNoRequests(t *testing.T) {
	f := func(bad, reason string) {
		t.Helper()
		for _, between := range []string{",", "\n", ",\n"} {
			body := good + between + bad + between + good
			if strings.HasPrefix(between, ",") {
				body = "[" + body + "]"
			}
			lines, aside := ingested(t, body, codec.Auto, lenient(t, nil))
			if len(lines) != 2 || len(aside) != 1 || !strings.HasPrefix(aside[0], bad+" | ") || !strings.Contains(aside[0], reason) {
				t.Errorf("%s: %d lines, aside %q", body, len(lines), aside)
			}
		}
	}
	f(`{}`, "neither a path nor a user agent")
	f(`{"level":"info","msg":"started"}`, "msg is no access log line")
	f(`{"level":"info","a":{"path":"/x"}}`, "neither")
	f(`{"path":"","userAgent":null}`, "neither")
	f(`{"path":"\u3000","userAgent":[]}`, "neither")
	f(`{"path":"/x","time":"soon"}`, `timestamp "soon" is not a time that is known`)
	f(`{"path":"/x","time":"2026-02-30T15:23:00Z"}`, "calendar")
	f(`{"path":"/x","ts":1e300}`, "timestamp")
	f(`{"path":"/x","ts":99999999999999999999}`, "timestamp")
	f(`{"path":"/x","n":[[[[[[[[[1]]]]]]]]]}`, "nested deeper than the limit of 8")
	f(`{"log":"{\"log\":\"{\\\"path\\\":\\\"/x\\\"}\"}"}`, "neither")
	f(`{"path":"/x","a":tru}`, "is not JSON")
	f(`{"path":"/x","a":"`, "is not JSON")
	f(`{"path":"/x",`, "is not JSON")
	f(`{"path":"/x","a":01}`, "is not JSON")
	f("{\"path\":\"/x\x00\"}", "is not JSON")
}

func TestShipper_RefusesWhatTheRulesSay(t *testing.T) {
	f := func(change func(*codec.Options), sent string, want string) {
		t.Helper()
		lines, aside := ingested(t, sent, codec.Auto, lenient(t, change))
		if got := fmt.Sprint(lines, aside); !strings.Contains(got, want) || len(lines)+len(aside) != 1 {
			t.Errorf("%s: %s", sent, got)
		}
	}
	f(func(o *codec.Options) { o.NoTime = codec.RefuseMissingTime }, `{"path":"/x","userAgent":"y"}`, "timestamp is missing")
	f(func(o *codec.Options) { o.Blank = codec.RefuseBlank }, `{"path":"/x","userAgent":""}`, "userAgent is")
	f(func(o *codec.Options) { o.Extra = codec.DropExtra }, combined1, `[{"timestamp":"2015-05-17T10:05:03Z","path":"/a.png","userAgent":"Mozilla/5.0 (KHTML, like Gecko)"}] []`)
	f(func(o *codec.Options) { o.Extra = codec.DropExtra }, `{"path":"/x","userAgent":"y","a":1,"ts":0}`, `[{"timestamp":"1970-01-01T00:00:00Z","path":"/x","userAgent":"y"}] []`)
	f(func(o *codec.Options) { o.Names.Path = []string{"a.b", "c"} }, `{"path":"/x","userAgent":"y","c":"/c","ts":0}`, record("1970-01-01T00:00:00Z", "/c", "y"))
	f(func(o *codec.Options) { o.Names.Path = []string{"a.b", "c"} }, `{"path":"/x","userAgent":"y","c":"/c","ts":0,"a":{"b":"/b"}}`, record("1970-01-01T00:00:00Z", "/b", "y", `"c":"/c"`))
	f(func(o *codec.Options) { o.Names.Path = []string{"c"} }, good[:len(good)-1]+`,"c":"/c"}`, record("2026-02-09T15:23:00Z", "/c", "Mozilla/5.0"))
	f(func(o *codec.Options) { o.Names.Timestamp = []string{"at"} }, `{"path":"/x","userAgent":"y","at":1,"ts":0}`, record("1970-01-01T00:00:01Z", "/x", "y", `"ts":0`))
	f(func(o *codec.Options) { o.Names.Line = []string{"text"} }, `{"text":"`+escape(combined2)+`"}`, stored2)
	f(func(o *codec.Options) { o.Limits.RecordBytes = 100 }, combined1, "over the limit of 100 record bytes")
	f(func(o *codec.Options) { o.Limits.SentBytes = 100 }, combined1, "over the limit of 100 record bytes as sent")
	f(func(o *codec.Options) { o.Limits.MaxAge = time.Hour }, combined1, "more than 1h0m0s ago")
	f(func(o *codec.Options) { o.Limits.MaxFuture = time.Hour }, `{"path":"/x","ts":1e10}`, "more than 1h0m0s in the future")
	if _, err := codec.NewRules(codec.Options{Shipper: true, Names: codec.Names{Path: []string{""}}}); err == nil {
		t.Error("an empty name is taken")
	}
	if _, err := codec.NewRules(codec.Options{Shipper: true, Names: codec.Names{Path: slices.Repeat([]string{"a"}, 100)}}); err == nil {
		t.Error("a hundred names are taken")
	}
	if _, err := codec.NewRules(codec.Options{Shipper: true, Names: codec.Names{Path: []string{strings.Repeat("a.", 100)}}}); err == nil {
		t.Error("a hundred parts are taken")
	}
}

func TestShipper_ReadsTimesOfEveryKind(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	f := func(sent, want string) {
		t.Helper()
		line, aside := ingested(t, `{"path":"/","userAgent":"-","time":`+sent+`}`, codec.Auto, lenient(t, func(o *codec.Options) { o.Zone = berlin }))
		if len(line) != 1 || line[0] != record(want, "/", "-") || len(aside) > 0 {
			t.Errorf("%s becomes %s %s, not %s", sent, line, aside, want)
		}
	}
	for _, s := range []string{
		"2015-05-17T10:05:03Z", "2015-05-17 10:05:03Z", "2015-05-17t12:05:03+02:00", "2015-05-17 12:05:03 +0200", "2015-05-17T12:05:03+02", "2015-05-17T10:05:03.000Z", "2015-05-17T10:05:03,0Z",
		"2015-05-17T12:05:03", "2015-05-17 12:05:03", "2015/05/17 12:05:03", "2015-05-17 10:05:03 UTC", "2015-05-17T10:05:03GMT", " 2015-05-17T10:05:03Z ", "2015-05-16T11:05:03-23:00",
		"17/May/2015:10:05:03 +0000", "17/may/2015:12:05:03 +0200", "17/May/2015:12:05:03", "16/May/2015:23:35:03 -1030", "1431857103", "1431857103.0", "1431857103000", "1431857103000000", "1431857103000000000", "1.431857103e9", "1.431857103E+12",
		"0001431857103", "1431857103000.0",
	} {
		f(`"`+s+`"`, "2015-05-17T10:05:03Z")
	}
	for _, s := range []string{"1431857103", "1431857103.0", "1431857103000", "1431857103000000", "1431857103000000000", "1.431857103e9", "14318571030e-1", "1431857103.000000000000"} {
		f(s, "2015-05-17T10:05:03Z")
	}
	f(`"2015-05-17T10:05Z"`, "2015-05-17T10:05:00Z")
	f(`"2015-05-17 12:05"`, "2015-05-17T10:05:00Z")
	f(`"2015-01-17 12:05"`, "2015-01-17T11:05:00Z")
	f(`"17/May/2015:12:05"`, "2015-05-17T10:05:00Z")
	f(`"2015-05-17T10:05:03.123456789012Z"`, "2015-05-17T10:05:03.123456789Z")
	f(`"2015-05-17T10:05:03.120Z"`, "2015-05-17T10:05:03.12Z")
	f(`1431857103.5`, "2015-05-17T10:05:03.5Z")
	f(`1431857103.1234567891`, "2015-05-17T10:05:03.123456789Z")
	f(`1431857103123.4567`, "2015-05-17T10:05:03.1234567Z")
	f(`1431857103123456.7`, "2015-05-17T10:05:03.1234567Z")
	f(`1431857103123456789`, "2015-05-17T10:05:03.123456789Z")
	f(`-1`, "1969-12-31T23:59:59Z")
	f(`-0.5`, "1969-12-31T23:59:59.5Z")
	f(`0`, "1970-01-01T00:00:00Z")
	f(`99999999999`, "5138-11-16T09:46:39Z")
	f(`100000000000`, "1973-03-03T09:46:40Z")
	f(`1e-9`, "1970-01-01T00:00:00Z")
	for _, s := range []string{`"soon"`, `"2015-05-17"`, `"2015-05-17T10"`, `"2015-05-17T10:05:60Z"`, `"2015-05-17T25:05:03Z"`, `"2015-05-17T10:05:03+99:00"`, `"2015-05-17T10:05:03 CEST"`, `"17/Mai/2015:10:05:03 +0000"`,
		`"31/Feb/2015:10:05:03 +0000"`, `"1431857103x"`, `"0x10"`, `"1e"`, `"."`, `"1."`, `"-"`, `"--1"`, `1e19`, `123456789012345678901`, `"10000-01-01T00:00:00Z"`, `"0000-01-01T00:00:00+01:00"`, `"2015-05-17T10:05:03."`} {
		lines, aside := ingested(t, `{"path":"/","userAgent":"-","time":`+s+`}`, codec.Auto, lenient(t, nil))
		if len(lines) > 0 || len(aside) != 1 || !strings.Contains(aside[0], "timestamp") {
			t.Errorf("%s: %s %s", s, lines, aside)
		}
	}
}

func TestShipper_SetsAsideWhatItCannotReadAndKeepsTheOthers(t *testing.T) {
	f := func(body string, kept int, aside ...string) {
		t.Helper()
		lines, got := ingested(t, body, codec.Auto, lenient(t, nil))
		if len(lines) != kept || len(got) != len(aside) {
			t.Errorf("%q: %d kept, aside %q", body, len(lines), got)
			return
		}
		for i := range aside {
			if record, _, _ := strings.Cut(got[i], " | "); record != aside[i] {
				t.Errorf("%q: %q is set aside, not %q", body, got[i], aside[i])
			}
		}
	}
	f("["+good+","+good, 2)
	f("["+good+","+good+" x", 2, "x")
	f("["+good+",,"+good+",]", 2)
	f("["+good+" "+good+"]", 2)
	f("["+good+`,{"path":"/x", `+good+"]", 2, `{"path":"/x"`)
	f("["+good+`,{"a":"x},`+good+"]", 2, `{"a":"x}`)
	f("["+good+`,1,[],"x",null,`+good+"]", 2, "1", "[]", `"x"`, "null")
	f("["+good+`,tru, `+good+"]", 2, "tru")
	f("["+good+"\n["+good+"]", 2)
	f("["+good+",{\"a\":\n["+good+"]", 2, `{"a":`)
	f("["+good+"]\n["+good+"]\n["+good+"]", 3)
	f("["+good+"]"+good, 2)
	f("["+good+"]]", 1, "]")
	f(good+"}"+"\n"+good, 2, "}")
	f(good+",\n"+good+",\n", 2)
	f(good+" x "+good+"\n"+good, 2, "x "+good)
	f("{\n  \"path\": \"/x\",\n  \"userAgent\": \"y\"\n}\n"+good, 2)
	f("{\n  \"path\": \"/x\"\n  \"userAgent\": \"y\"\n}\n"+good, 1, "{", `"path": "/x"`, `"userAgent": "y"`, "}")
	f(good+"\n"+good[:40]+"\n"+good, 2, good[:40])
	f(combined1+"\n"+good+"\n"+combined2+"\n\n\nx\n", 3, "x")
	f(`["`+escape(combined1)+`","x","`+escape(combined2)+`"]`, 2, `"x"`)
	f(`{"logs":[`+good+`,{"path":"/x",`+good+`,1]}`+"\n"+good, 3, `{"path":"/x"`, "1")
	f(`{"n":[1,2],"logs":[`+good+`]}`+good, 2)
	f(`{"logs":[]}`, 0)
	f(`{"logs":["x"]}`, 0, `"x"`)
	f(`{"logs":[1]}`, 0, `1`)
	f(`{"logs":{}}`, 0, `{"logs":{}}`)
	f(`{"logs":[`+good+`],"records":[`+good+`]}`, 1) // the first list is taken
	f(`{"events":[{"path":"/x"}],"path":"/y"}`, 1)
	f("[]", 0)
	f(" \n", 0, "")
	f("", 0, "")
	f("\x00\x01\x02", 0, "\x00\x01\x02")
	f(strings.Repeat("x\n"+combined1+"\n", 50), 50, slices.Repeat([]string{"x"}, 50)...)
	f(strings.Repeat("{\n"+good+"\n", 50), 50, slices.Repeat([]string{"{"}, 50)...)
}

func TestShipper_ReadsExtendedLogFiles(t *testing.T) {
	f := func(body string, want ...string) {
		t.Helper()
		lines, aside := ingested(t, body, codec.Auto, lenient(t, nil))
		if !slices.Equal(append(lines, aside...), want) {
			t.Errorf("%q\nbecomes %s %s\nnot %s", body, lines, aside, want)
		}
	}
	f("#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2002-05-02 17:42:15\r\n"+
		"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status time-taken\r\n"+
		`2002-05-02 17:42:15 10.0.0.1 GET /default.htm a=b 443 DOMAIN\name 192.0.2.10 Mozilla/5.0+(Windows+NT+10.0;+x) - 200 15`+"\r\n"+
		`2002-05-02 17:42:16 10.0.0.1 GET / - 443 - 192.0.2.10 - - 404 15`+"\r\n"+"2002-05-02 17:42\r\n",
		record("2002-05-02T17:42:15Z", "/default.htm?a=b", "Mozilla/5.0 (Windows NT 10.0; x)", `"remoteAddr":"192.0.2.10","user":"DOMAIN\\name","method":"GET","status":200,"s-ip":"10.0.0.1","s-port":"443","time-taken":"15"`),
		record("2002-05-02T17:42:16Z", "/", "-", `"remoteAddr":"192.0.2.10","method":"GET","status":404,"s-ip":"10.0.0.1","s-port":"443","time-taken":"15"`),
		"2002-05-02 17:42 | record has 2 fields instead of the 13 of the #Fields line")
	f("#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs-protocol-version\n"+
		"2019-12-04\t21:02:31\tLAX1\t392\t192.0.2.100\tGET\td1.cloudfront.net\t/index.html\t200\t-\tMozilla/5.0%20(Windows%20NT%2010.0;%20+x)%22\t-\tHTTP/2.0\n",
		record("2019-12-04T21:02:31Z", "/index.html", `Mozilla/5.0 (Windows NT 10.0; +x)\"`, `"remoteAddr":"192.0.2.100","method":"GET","protocol":"HTTP/2.0","status":200,"bytes":392,"x-edge-location":"LAX1","cs(Host)":"d1.cloudfront.net"`))
	f("#Fields: time cs-uri-stem\n#Date: 2002-05-02 00:00:00\n10:00:00 /a\n", record("2002-05-02T10:00:00Z", "/a", "-"))
	f("#Fields: date time cs-uri-stem cs(User-Agent)\n2002-05-02 10:00:00 - -\n", "2002-05-02 10:00:00 - - | record has neither a path nor a user agent")
	f("#hello\n", "#hello | record is no access log line: it has no time in brackets")
	if lines, aside := ingested(t, "2002-05-02 10:00:00 /a\n", codec.W3C, lenient(t, nil)); len(lines) > 0 || len(aside) != 1 || !strings.Contains(aside[0], "without a #Fields line") {
		t.Errorf("%s %s", lines, aside)
	}
}

func TestShipper_ReadsCSVWithItsOwnNames(t *testing.T) {
	f := func(body string, form codec.Format, want ...string) {
		t.Helper()
		lines, aside := ingested(t, body, form, lenient(t, nil))
		if !slices.Equal(append(lines, aside...), want) {
			t.Errorf("%q\nbecomes %s %s\nnot %s", body, lines, aside, want)
		}
	}
	home := record("2026-02-09T15:23:00Z", "/home", "Mozilla/5.0")
	f("timestamp,path,userAgent\n2026-02-09T15:23:00Z,/home,Mozilla/5.0\n", codec.Auto, home)
	f("2026-02-09T15:23:00Z,/home,Mozilla/5.0\n2026-02-09T15:23:00Z,/home,\"Mozilla/5.0\"\n", codec.Auto, home, home)
	f("2026-02-09T15:23:00Z,/home,agent\n", codec.Auto, record("2026-02-09T15:23:00Z", "/home", "agent"))
	f("1770650580,/home,Mozilla/5.0\n", codec.Auto, home)
	f("Date,URL,User_Agent,Status\r\n2026-02-09 15:23:00,http://e/home,Mozilla/5.0,200\r\n", codec.Auto, record("2026-02-09T15:23:00Z", "/home", "Mozilla/5.0", `"Status":"200"`))
	f("path,status\n/a,200\n/b\n\"x\"y,1\n/c,\n", codec.Auto, record("2026-11-25T12:00:00Z", "/a", "-", `"status":"200"`), record("2026-11-25T12:00:00Z", "/c", "-", `"status":""`),
		"/b | record has 1 fields instead of 2", `"x"y,1 | record is not CSV: a quote where there may be none; double it within a quoted field`)
	f("host,message\nh,\""+strings.ReplaceAll(combined2, `"`, `""`)+"\"\n", codec.Auto, strings.Replace(stored2, `"remoteAddr"`, `"host":"h","remoteAddr"`, 1))
	f("a,b\n1,2\n", codec.CSV, "a,b | record has 2 fields instead of 3", "1,2 | record has 2 fields instead of 3")
}

func TestShipper_ReadsInfluxLines(t *testing.T) {
	f := func(line string, want string) {
		t.Helper()
		lines, aside := ingested(t, line, codec.Auto, lenient(t, nil))
		if len(lines) != 1 || lines[0] != want || len(aside) > 0 {
			t.Errorf("%s\nbecomes %s %s\nnot     %s", line, lines, aside, want)
		}
	}
	f(`tail,host=web1,path=/var/log/a\ b.log value="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(combined2)+`" 1795593680506585000`,
		`{"timestamp":"2015-05-17T09:59:59Z","path":"/login?q=\"x\"","userAgent":"-","name":"tail","tags":{"host":"web1","path":"/var/log/a b.log"},"remoteAddr":"192.0.2.11","user":"alice","method":"POST","protocol":"HTTP/1.1","status":302}`)
	f(`access,host=h agent="x",request="/r",resp_code=200i,ok=t 1431857103000000000`,
		record("2015-05-17T10:05:03Z", "/r", "x", `"fields":{"agent":"x","request":"/r","resp_code":200,"ok":"t"},"name":"access","tags":{"host":"h"}`))
}

func TestShipper_InsistsOnTheFormThatIsAskedFor(t *testing.T) {
	f := func(form codec.Format, body string, kept, aside int) {
		t.Helper()
		lines, left := ingested(t, body, form, lenient(t, nil))
		if len(lines) != kept || len(left) != aside {
			t.Errorf("form %d, %q: %q %q", form, body, lines, left)
		}
	}
	common := combined1[:strings.Index(combined1, ` "http:`)]
	body := combined1 + "\n" + common + "\n" + good + "\n"
	f(codec.Combined, body, 1, 2)
	f(codec.Common, body, 1, 2)
	f(codec.JSON, body, 1, 2)
	f(codec.NDJSON, body, 1, 2)
	f(codec.ALB, body, 0, 3)
	f(codec.W3C, body, 0, 3)
	f(codec.CSV, body, 0, 3)
}

// The strict contract, but one bad record does not refuse the others.
func TestStrict_SetsAsideWhatItWouldRefuse(t *testing.T) {
	f := func(body string, form codec.Format, kept int, aside ...string) {
		t.Helper()
		lines, got := ingested(t, body, form, rules(t, codec.Options{Limits: codec.Limits{Depth: 8}}))
		if len(lines) != kept || len(got) != len(aside) {
			t.Errorf("%q: %d kept, aside %q", body, len(lines), got)
			return
		}
		for _, l := range lines {
			if l != good {
				t.Errorf("%q becomes %q", body, l)
			}
		}
		for i := range aside {
			if got[i] != aside[i] {
				t.Errorf("%q: %q is set aside, not %q", body, got[i], aside[i])
			}
		}
	}
	const noAgent = `{` + when + `,` + where + `}`
	f("["+good+","+noAgent+","+good+"]", codec.JSON, 2, noAgent+" | userAgent is missing")
	f(good+"\n"+noAgent+"\nx\n"+good, codec.NDJSON, 2, noAgent+" | userAgent is missing", `x | record is not JSON: "x" where a value was expected`)
	f(good+"\n"+combined1+"\n"+good, codec.Auto, 2, combined1+` | record is not JSON: "." after the value`)
	f(`{`+who+`,`+where+`,`+when+`}`+strings.Replace(good, `"path"`, `"uri"`, 1), codec.JSON, 1, strings.Replace(good, `"path"`, `"uri"`, 1)+" | path is missing")
	f(strings.Replace(good, "T15", " 15", 1), codec.JSON, 0, strings.Replace(good, "T15", " 15", 1)+` | timestamp "2026-02-09 15:23:00Z" is not an RFC 3339 timestamp such as 2026-02-09T15:23:00Z`)
	f(`{"timestamp":1,`+where+`,`+who+`}`, codec.JSON, 0, `{"timestamp":1,`+where+`,`+who+`} | timestamp is not a string`)
	f("2026-02-09T15:23:00Z,/home,Mozilla/5.0\nx,/home,y\n,\n", codec.CSV, 1, `x,/home,y | timestamp "x" is not an RFC 3339 timestamp such as 2026-02-09T15:23:00Z`, ", | record has 2 fields instead of 3")
	f("path,timestamp,userAgent\n/home,2026-02-09T15:23:00Z,Mozilla/5.0\n", codec.Auto, 1)
	f(`{"records":[`+good+`]}`, codec.Auto, 0, `{"records":[`+good+`]} | timestamp is missing`)
}

// TestShipper_LinesAreJSON: whatever is kept, each line is one JSON object.
func TestShipper_LinesAreJSON(t *testing.T) {
	lines, _ := ingested(t, "h - - [17/May/2015:10:05:03 +0000] \"GET /\x80 HTTP/1.1\" 099 0010 \"\xff\" \"\\xff\x01\" \\\n{\"path\":\"/\xff\",\"a\":[\"\xff\" , 1]}", codec.Auto, lenient(t, nil))
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("%q", l)
		}
	}
}
