package codec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"logforge/codec"
)

// The rules of a record, one table each. A record is written with its three
// members, or those that matter to the rule.

const (
	when  = `"timestamp":"2026-02-09T15:23:00Z"`
	where = `"path":"/home"`
	who   = `"userAgent":"Mozilla/5.0"`
	good  = `{` + when + `,` + where + `,` + who + `}`
)

// all returns the lines of a batch, in the order of its runs.
func all(b *codec.Batch) string {
	var s strings.Builder
	for _, r := range b.Runs() {
		s.Write(b.Lines(r))
	}
	return s.String()
}

// taken returns what a body becomes.
func taken(t *testing.T, body string, f codec.Format) string {
	t.Helper()
	var b codec.Batch
	if err := b.Decode([]byte(body), f, codec.Limits{Depth: 8}); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	return all(&b)
}

// refused returns the errors of a body, as index, field and reason.
func refused(t *testing.T, body string, f codec.Format) []string {
	t.Helper()
	var b codec.Batch
	err := b.Decode([]byte(body), f, codec.Limits{Depth: 8})
	var invalid *codec.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("%q: %v", body, err)
	}
	var list []string
	for _, e := range invalid.Errors {
		list = append(list, fmt.Sprintf("%d %s %s", e.Index, e.Field, e.Reason))
	}
	return list
}

func TestACanonicalRecordStaysAsItIs(t *testing.T) {
	for _, body := range []string{good, "[" + good + "]", " \r\n\t[ " + good + " ] ", good + "\n", "\xef\xbb\xbf" + good} {
		if got := taken(t, body, codec.Auto); got != good+"\n" {
			t.Errorf("%q becomes %q", body, got)
		}
	}
}

func TestEveryFormOfABatchIsRead(t *testing.T) {
	f := func(form codec.Format, body string, records int) {
		t.Helper()
		if got, want := taken(t, body, form), strings.Repeat(good+"\n", records); got != want {
			t.Errorf("%q becomes %q", body, got)
		}
	}
	f(codec.JSON, "[]", 0)
	f(codec.JSON, "["+good+","+good+" ,\n "+good+"]\n", 3)
	f(codec.JSON, good, 1)
	f(codec.JSON, good+good+"\n"+good+" \t "+good, 4)
	f(codec.NDJSON, good+"\n\n \t\r\n"+good+"\r\n  "+good+"  ", 3)
	f(codec.NDJSON, good+"\r\n"+good+"\r\n", 2)
	const row = "2026-02-09T15:23:00Z,/home,Mozilla/5.0"
	f(codec.CSV, row, 1)
	f(codec.CSV, row+"\n\n"+row+"\r\n"+`"2026-02-09T15:23:00Z","/home","Mozilla/5.0"`, 3)
	f(codec.CSV, "timestamp,path,userAgent\n", 0)
	f(codec.CSV, "timestamp,path,userAgent\n"+row, 1)
	f(codec.CSV, "userAgent,timestamp,path\r\nMozilla/5.0,2026-02-09T15:23:00Z,/home\r\n", 1)
	f(codec.CSV, "status,\"userAgent\",path,timestamp,\n200,Mozilla/5.0,/home,2026-02-09T15:23:00Z,\n", 1)
	f(codec.Auto, "\xef\xbb\xbf\n [ "+good+"]", 1)
	f(codec.Auto, "\xef\xbb\xbftimestamp,path,userAgent\n"+row, 1)
	f(codec.Auto, row, 1)
}

func TestMembersAreFoundWhereverTheyAre(t *testing.T) {
	f := func(body string) {
		t.Helper()
		if got := taken(t, body, codec.JSON); got != good+"\n" {
			t.Errorf("%q becomes %q", body, got)
		}
	}
	f(`{` + who + `,` + where + `,` + when + `}`)
	f("{ \"userAgent\"\t:\r\n\"Mozilla/5.0\" , " + where + "," + when + " }")
	f(`{"\u0074imestamp":"2026-02-09T15:23:00Z","pat\u0068":"\/home","userAgent":"Mozilla\u002f5.0"}`)
	f(`{"path":1,"path":"/old","userAgent":null,` + good[1:])                              // the last one counts
	f(`{"Path":"/x","paths":"/x","pat":{},"":0,"timestamps":1,"useragent":[],` + good[1:]) // names match exactly
	f(`{"a":{"b":[1,-0.5e+10,"\u00e9\ud800",true,false,null,[],{}]},` + good[1:])
}

func TestTextIsStoredInOneForm(t *testing.T) {
	f := func(sent, stored string) {
		t.Helper()
		want := strings.Replace(good, "/home", stored, 1) + "\n"
		if got := taken(t, strings.Replace(good, "/home", sent, 1), codec.JSON); got != want {
			t.Errorf("%q becomes %q, not %q", sent, got, want)
		}
	}
	f(`\"\\\b\f\n\r\t`, `\"\\\b\f\n\r\t`)
	f(`\u0022\u005C\u0008\u000c\u000A\u000d\u0009`, `\"\\\b\f\n\r\t`)
	f(`\u0000\u001F\u007f`, `\u0000\u001f`+"\x7f")
	f(`\/\u00e9\u65e5\uD83D\uDE00`, `/é日😀`)
	f("é日😀\u2028", "é日😀\u2028")
	f(" x ", " x ")
	f("a\xffb\xc3", "a\ufffdb\ufffd")
	f("\xed\xa0\x80", "\ufffd\ufffd\ufffd") // a surrogate in UTF-8
	f(`\ud800`, "\ufffd")
	f(`\udc00\ud800\ud83d\ude00\ud800x`, "\ufffd\ufffd😀\ufffdx")
	f(`<>&`, `<>&`)
}

func TestTimestampsAreStoredInUTC(t *testing.T) {
	f := func(sent, stored string) {
		t.Helper()
		want := strings.Replace(good, "2026-02-09T15:23:00Z", stored, 1) + "\n"
		if got := taken(t, strings.Replace(good, "2026-02-09T15:23:00Z", sent, 1), codec.JSON); got != want {
			t.Errorf("%q becomes %q", sent, got)
		}
	}
	f("2026-02-09t15:23:00z", "2026-02-09T15:23:00Z")
	f("2026-02-09T15:23:00.000Z", "2026-02-09T15:23:00Z")
	f("2026-02-09T15:23:00.120Z", "2026-02-09T15:23:00.12Z")
	f("2026-02-09T15:23:00.123456789Z", "2026-02-09T15:23:00.123456789Z")
	f("2026-02-09T15:23:00+00:00", "2026-02-09T15:23:00Z")
	f("2026-02-09T15:23:00-00:00", "2026-02-09T15:23:00Z")
	f("2026-02-09T15:23:00.5+05:30", "2026-02-09T09:53:00.5Z")
	f("2026-03-01T00:10:00+01:00", "2026-02-28T23:10:00Z")
	f("2024-02-28T23:50:00-00:20", "2024-02-29T00:10:00Z")
	f("2025-12-31T23:59:59-23:59", "2026-01-01T23:58:59Z")
	f("1900-02-28T23:59:59-00:01", "1900-03-01T00:00:59Z")
	f("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z")
	f("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z")
}

func TestWhatIsNoTimestampIsRefused(t *testing.T) {
	f := func(sent, reason string) {
		t.Helper()
		got := refused(t, strings.Replace(good, "2026-02-09T15:23:00Z", sent, 1), codec.JSON)
		if len(got) != 1 || !strings.HasPrefix(got[0], "0 timestamp ") || !strings.Contains(got[0], reason) {
			t.Errorf("%q: %q", sent, got)
		}
	}
	const form, date, clock = "RFC 3339", "calendar", "time of day"
	f("", "empty")
	f(" ", "empty")
	f("now", form)
	f(" 2026-02-09T15:23:00Z", form)
	f("2026-02-09 15:23:00Z", form)
	f("2026-02-09T15:23:00", form)
	f("2026-02-09T15:23Z", form)
	f("2026-02-09T5:23:00Z", form)
	f("2026-02-09T15:23:00,5Z", form)
	f("2026-02-09T15:23:00.Z", form)
	f("2026-02-09T15:23:00+0100", form)
	f("2026-02-09T15:23:00Zx", form)
	f("20260209T152300Z0000", form)
	f("2026-02-29T15:23:00Z", date)
	f("2026-00-09T15:23:00Z", date)
	f("2026-13-09T15:23:00Z", date)
	f("2026-04-31T15:23:00Z", date)
	f("1900-02-29T15:23:00Z", date)
	f("2026-02-09T24:00:00Z", clock)
	f("2026-02-09T15:60:00Z", clock)
	f("2026-02-09T15:23:61Z", clock)
	f("2016-12-31T23:59:60Z", "leap second")
	f("2026-02-09T15:23:00.1234567890Z", "more than 9")
	f("2026-02-09T15:23:00+24:00", "offset")
	f("2026-02-09T15:23:00-01:60", "offset")
	f("0000-01-01T00:59:59+01:00", "outside")
	f("9999-12-31T23:00:00-01:00", "outside")
}

func TestEachBadRecordIsNamedAndTheScanGoesOn(t *testing.T) {
	f := func(form codec.Format, body string, want ...string) {
		t.Helper()
		got := refused(t, body, form)
		if len(got) != len(want) {
			t.Fatalf("%q: %q", body, got)
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%q: %q, not %q", body, got[i], want[i])
			}
		}
	}
	f(codec.JSON, `[`+good+`,1,{},`+good+`,{`+when+`},{`+when+`,`+where+`},"x",{"timestamp":1}]`,
		"1 record is not a JSON object", "2 timestamp is missing", "4 path is missing", "5 userAgent is missing",
		"6 record is not a JSON object", "7 timestamp is not a string")
	f(codec.JSON, `[{`+when+`,"path":"","userAgent":"x"},{`+when+`,`+where+`,"userAgent":" \t\n\u00a0\u3000\u000b"},{`+when+`,"path":null,`+who+`}]`,
		"0 path is empty", "1 userAgent is empty", "2 path is not a string")
	f(codec.JSON, good+`{"a":[[[[[[[[[]]]]]]]]]}{"a":1}`, "1 record is nested deeper than the limit of 8", "2 timestamp is missing")
	f(codec.NDJSON, "{\n"+good+"\n"+good+good+"\n[]\n"+good+" x\n\"a\" b\n\n{}\n"+good+"x\n", "0 record is not JSON", `2 record is not JSON: "{" after the record`,
		"3 record is not a JSON object", `4 record is not JSON: "x" after the record`, "5 record is not JSON", "6 timestamp is missing", "7 record is not JSON")
	f(codec.NDJSON, good+"x\n"+good, "0 record is not JSON")
	f(codec.CSV, "a\n2026-02-09T15:23:00Z,/home,\n2026-02-09T15:23:00Z,a\"b,c\n2026-02-09T15:23:00Z,\"a\"b,c\n2026-02-09T15:23:00Z,/home,x,y\nx,/home,y\n\"",
		"0 record has 1 fields instead of 3", "1 userAgent is empty", "2 record is not CSV: a quote", "3 record is not CSV: a quote",
		"4 record has 4 fields instead of 3", "5 timestamp \"x\" is not", "6 record is not CSV: a quoted field is not closed")
	f(codec.CSV, "path,timestamp,userAgent,more\na,b,c\n", "0 record has 3 fields instead of 4")
}

func TestAfterASyntaxErrorNothingMoreIsGuessed(t *testing.T) {
	f := func(body string, want ...string) {
		t.Helper()
		if got := refused(t, body, codec.JSON); strings.Join(got, "; ") != strings.Join(want, "; ") {
			t.Errorf("%q: %q", body, got)
		}
	}
	f(`[{},x,{}]`, "0 timestamp is missing", `1 record is not JSON: "x" where a value was expected`)
	f(`[`+good, "1 record is not JSON: the end where a comma or the end of the array was expected")
	f(`[`+good+`,]`, `1 record is not JSON: "]" where a value was expected`)
	f(`[`+good+`]]`, `1 record is not JSON: "]" after the array`)
	f(`[`+good+` `+good+`]`, `1 record is not JSON: "{" where a comma or the end of the array was expected`)
	f(good+`,`+good, `1 record is not JSON: "," where a value was expected`)
	f(`{"a" 1}`, `0 record is not JSON: "1" where a colon was expected`)
	f(`{a:1}`, `0 record is not JSON: "a" where a member's name was expected`)
	f(`{"a":1,}`, `0 record is not JSON: "}" where a member's name was expected`)
	f(`{"a":tru}`, `0 record is not JSON: "}" in true`)
	f(`{"a":01}`, `0 record is not JSON: "1" where a comma or the end of the object was expected`)
	f(`{"a":-}`, `0 record is not JSON: "}" in a number`)
	f(`{"a":1.}`, `0 record is not JSON: "}" in a number`)
	f(`{"a":1e+}`, `0 record is not JSON: "}" in a number`)
	f(`{"a":.5}`, `0 record is not JSON: "." where a value was expected`)
	f(`{"a":"\x"}`, `0 record is not JSON: "x" after a backslash`)
	f(`{"path":"\u12g4"}`, `0 record is not JSON: "u" after a backslash`)
	f("{\"path\":\"a\nb\"}", `0 record is not JSON: "\n" in a string`)
	f("{\"a\":\"\x00\"}", `0 record is not JSON: "\x00" in a string`)
	f(`{"a":[1}]`, `0 record is not JSON: "}" where a comma or an end was expected`)
	f("{\u00a0}", `0 record is not JSON: "\xc2" where a member's name was expected`)
}

func TestABodyWithoutAnyRecordIsAnError(t *testing.T) {
	for _, form := range []codec.Format{codec.Auto, codec.JSON, codec.NDJSON, codec.CSV} {
		for _, body := range []string{"", "\xef\xbb\xbf", " \r\n\t\n"} {
			var b codec.Batch
			err := b.Decode([]byte(body), form, codec.Limits{})
			var invalid *codec.InvalidError
			if !errors.As(err, &invalid) || invalid.Records != 0 || invalid.Count != 1 || err.Error() != "invalid batch: the body is empty" {
				t.Errorf("%q: %v", body, err)
			}
		}
	}
}

func TestAHundredErrorsAreNamedAndAllCounted(t *testing.T) {
	var b codec.Batch
	err := b.Decode([]byte("["+strings.Repeat("{},", 249)+good+"]"), codec.JSON, codec.Limits{})
	var invalid *codec.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != codec.MaxErrors || invalid.Count != 249 || invalid.Records != 250 {
		t.Fatal(err)
	}
	if got, want := err.Error(), "249 of 250 records invalid; first: record 0: timestamp: is missing"; got != want {
		t.Errorf("%s", got)
	}
}

func TestAQuotedCSVFieldKeepsWhatIsInIt(t *testing.T) {
	got := taken(t, "2026-02-09T15:23:00Z,\"/a,b\r\nc\rd\n\"\"e\"\"\\\",\"\x01\xff\"\r\n2026-02-09T15:23:00Z,a\rb\\,c\r\r\n2026-02-09T15:23:00Z, x ,y\r", codec.CSV)
	want := `{` + when + `,"path":"/a,b\r\nc\rd\n\"e\"\\","userAgent":"\u0001` + "\ufffd" + `"}
{` + when + `,"path":"a\rb\\","userAgent":"c\r"}
{` + when + `,"path":" x ","userAgent":"y"}
`
	if got != want {
		t.Errorf("%s", got)
	}
}
