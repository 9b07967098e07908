package codec_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"logforge/codec"
)

// The fuzzer changes bytes; here bodies are put together from pieces that are
// right or nearly so, and many records meet in one body: what is remembered
// from one record to the next (the hour, the members that are skipped, whether
// records are canonical) must never show.

var (
	whens = []string{
		when, when, when, `"timestamp":"2026-02-09T15:59:59.25Z"`, `"timestamp":"2026-02-09T16:00:00Z"`, `"timestamp" : "2026-02-09T15:23:00+01:30"`,
		`"timestamp":"2026-02-09T15:2\u0033:00Z"`, `"timestamp": "2026-02-09T15:23:01Z"`, `"timestamp":"2026-02-09t15:23:02.500z"`,
	}
	wheres = []string{where, where, `"path": "/blank"`, `"path":"\/a\u00fc\ud83d\ude00\ud800"`, `"path":"ü"`, `"p\u0061th":"/escaped"`, `"path":" \t/"`}
	whos   = []string{
		who, who, `"userAgent": "blank"`, `"userAgent":"\\ \" \n"`, `"userAgent":"\u001b` + "\xff" + `"`, `"userAgent":"` + strings.Repeat("long ", 20) + `"`,
	}
	others = []string{
		`"n":1`, `"n":12`, `"n":-0.5e-3`, `"n" : 1`, `"n":1 `, `"n":true`, `"n":{"a":[1,{"b":null}]}`, `"n":"x"`, `"n":"xy"`, `"Path":"/x"`,
		`"name of eight or more":"text of eight or more"`, `"path":"/first"`, `"user":"x"`, `"timestamps":[]`,
	}
	wrongs = []string{
		`"timestamp":"2026-02-29T15:23:00Z"`, `"timestamp":"2026-02-09T15:23:60Z"`, `"timestamp":"2026-02-09T15:23:00"`, `"timestamp":1`,
		`"path":null`, `"path":" "`, `"path":"\u3000"`, `"userAgent":{}`, `"userAgent":""`, `"n":[[[[[[[1]]]]]]]`, // the rest is no JSON
		"\"userAgent\":\"a\tb\"", `"n":1.`, `"n":01`, `"n":tru`, `"n":"\x"`, `n`, `"n"`, ``,
	}
)

func drawRecord(t *rapid.T, wrong int) string {
	members := []string{rapid.SampledFrom(whens).Draw(t, "when"), rapid.SampledFrom(wheres).Draw(t, "where"), rapid.SampledFrom(whos).Draw(t, "who")}
	members = append(members, rapid.SliceOfN(rapid.SampledFrom(others), 0, 3).Draw(t, "others")...)
	if rapid.Bool().Draw(t, "shuffled") {
		members = rapid.Permutation(members).Draw(t, "order")
	}
	if rapid.IntRange(1, 100).Draw(t, "wrong") <= wrong {
		members = append(members, rapid.SampledFrom(wrongs).Draw(t, "what"))
	}
	return "{" + strings.Join(members, rapid.SampledFrom([]string{",", ",", ",", ", ", ",\r  "}).Draw(t, "comma")) + "}"
}

func TestNothingOfOneRecordShowsInAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wrong := rapid.SampledFrom([]int{0, 0, 30}).Draw(t, "wrong, in a hundred")
		some := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawRecord(t, wrong) }), 1, 6).Draw(t, "some")
		recs := rapid.SliceOfN(rapid.SampledFrom(append(some, good)), 1, 40).Draw(t, "records")
		var b codec.Batch
		f := func(form codec.Format, body string) {
			for range 2 { // the second time with what the first has left behind
				got := decoded(&b, b.Decode([]byte(body), form, codec.Limits{Depth: depth}))
				if want := expect([]byte(body), form, depth).grouped(); !same(got, want) {
					t.Fatalf("%q: %+v, not %+v", body, got, want)
				}
			}
		}
		f(codec.JSON, "["+strings.Join(recs, ",")+"]")
		f(codec.JSON, strings.Join(recs, ""))
		f(codec.NDJSON, strings.Join(recs, "\n"))
		f(codec.NDJSON, strings.Join(recs, "\r\n"))
	})
}

func TestNothingOfOneRowShowsInAnother(t *testing.T) {
	orders := []string{"timestamp,path,userAgent", "path,timestamp,userAgent", "userAgent,path,timestamp", "userAgent,timestamp,path", "path,x,userAgent,timestamp", "timestamp,path,userAgent,path"}
	fields := map[string][]string{
		"timestamp": {"2026-02-09T15:23:00Z", "2026-02-09T15:23:00Z", "2026-02-09T15:59:59.25Z", "2026-02-09T16:00:00Z", "2026-02-09T15:23:00+01:30", `"2026-02-09T15:23:00Z"`},
		"path":      {"/home", "/home", "/x/y/" + strings.Repeat("z", 30), `"/a,b"`, "ü\xff", `\`, " x", `"/a` + "\r\n" + `b"`},
		"userAgent": {"curl/8.0", `"Mozilla/5.0 (KHTML, like Gecko)"`, `"x ""y"" z"`, "a\tb", `"` + strings.Repeat("long ", 20) + `"`},
		"x":         {"", "x", `"x, ""y"""`, "\x01"},
	}
	wrongs := []string{"2026-02-30T15:23:00Z", "", " ", `""`, `"`, `a"b`, `"a"b`, "a,b", "\t", "\u3000"}
	rapid.Check(t, func(t *rapid.T) {
		header := rapid.SampledFrom(orders).Draw(t, "header")
		wrong := rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "wrong, in a hundred")
		row := rapid.Custom(func(t *rapid.T) string {
			var row []string
			for name := range strings.SplitSeq(header, ",") {
				if rapid.IntRange(1, 100).Draw(t, "wrong") <= wrong {
					row = append(row, rapid.SampledFrom(wrongs).Draw(t, "what"))
				} else {
					row = append(row, rapid.SampledFrom(fields[name]).Draw(t, name))
				}
			}
			return strings.Join(row, ",")
		})
		rows := rapid.SliceOfN(row, 1, 40).Draw(t, "rows")
		if header != orders[0] || rapid.Bool().Draw(t, "headed") {
			rows = append([]string{header}, rows...)
		}
		body := strings.Join(rows, rapid.SampledFrom([]string{"\n", "\r\n", "\n\n"}).Draw(t, "end"))
		var b codec.Batch
		for range 2 {
			got := decoded(&b, b.Decode([]byte(body), codec.CSV, codec.Limits{}))
			if want := expect([]byte(body), codec.CSV, 0).grouped(); !same(got, want) {
				t.Fatalf("%q: %+v, not %+v", body, got, want)
			}
		}
	})
}

func TestWhatIsRememberedIsComparedWhole(t *testing.T) {
	f := func(form codec.Format, body string) {
		t.Helper()
		var b codec.Batch
		got := decoded(&b, b.Decode([]byte(body), form, codec.Limits{Depth: 2}))
		if again := decoded(&used, used.Decode([]byte(body), form, codec.Limits{Depth: 2})); !same(got, again) {
			t.Errorf("%q: %+v, and in a batch used before %+v", body, got, again)
		}
		if want := expect([]byte(body), form, 2).grouped(); !same(got, want) {
			t.Errorf("%q: %+v, not %+v", body, got, want)
		}
	}
	const rest = "," + when + "," + where + "," + who + "}"
	f(codec.JSON, `{"n":1`+rest+`{"n":12`+rest+`{"n":1.5`+rest+`{"n":1`+rest)
	f(codec.JSON, `{"n":1`+rest+`{"n":1`+`}`+good)
	f(codec.JSON, `{"n":1}`)
	f(codec.JSON, `{"n":[[1]]`+rest+`{"n":[[[1]]]`+rest+`{"n":[[[1]]]`+rest)
	f(codec.JSON, `{"n":{"a":1},"n":{"a":1}`+rest+`{"n":{"a":1},"n":{"a":1}`+rest)
	f(codec.JSON, strings.Repeat(good, 20)+`{"n":1,"m":2`+rest) // leaves behind what must not be looked at:
	f(codec.JSON, `{"n":1 ,"m":2`+rest+`{"n":1 ,"m":2`+rest)
	nul := strings.Replace(good, "2026-02-09T15", strings.Repeat("\x00", 13), 1)
	f(codec.JSON, nul)
	f(codec.CSV, strings.Repeat("\x00", 13)+":23:00Z,/,-\n2026-02-09T15:23:00Z,/,-\n")
	const row = "2026-02-09T15:23:00Z,/home,Mozilla/5.0 (X11; Linux x86_64)\n"
	f(codec.CSV, row+"2026-02-09T15:23:00Z, ,Mozilla/5.0 (X11; Linux x86_64)\n"+row)
	f(codec.CSV, row+"2026-02-09T15:23:00Z,/home, \n"+row)
	f(codec.CSV, row+"2026-02-09T15:23:00Z,/home\n"+row)
	f(codec.CSV, row+"2026-02-09T15:23:00Z,/home,,x\n"+row)
	f(codec.CSV, "userAgent,path,timestamp\n"+strings.Repeat("u,/page/of/somebody,2026-02-09T15:23:00Z\n", 3))
	f(codec.CSV, "path,timestamp,userAgent,path\n"+strings.Repeat("/first,2026-02-09T15:23:00Z,u,/page/of/somebody\n", 3))
}
