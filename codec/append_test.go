package codec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"logforge/codec"
)

func rules(t testing.TB, o codec.Options) *codec.Rules {
	t.Helper()
	r, err := codec.NewRules(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAppend_WritesTheCanonicalLine(t *testing.T) {
	at := time.Date(2026, 2, 9, 16, 23, 0, 0, time.FixedZone("", 3600))
	f := func(o codec.Options, at time.Time, path, agent, extra, want string) {
		t.Helper()
		var b codec.Batch
		for range 2 { // the second time in a batch that was used before
			b.Begin(rules(t, o), time.Date(2026, 2, 9, 20, 0, 0, 5000, time.UTC))
			e, ok := b.Append(at, []byte(path), []byte(agent), []byte(extra))
			err := b.End()
			if got := strings.TrimSuffix(all(&b), "\n"); ok && got != want || err != nil {
				t.Errorf("%q, %v; not %q", got, err, want)
			}
			if got := e.Field + " " + e.Reason; !ok && got != want {
				t.Errorf("%q, not %q", got, want)
			}
		}
	}
	keep := codec.Options{Extra: codec.KeepExtra, Blank: codec.DashForBlank, NoTime: codec.ArrivalTime}
	f(codec.Options{}, at, "/home", "Mozilla/5.0", "", good)
	f(codec.Options{}, at, "/home", "Mozilla/5.0", `"a":1`, good)
	f(keep, at, "/home", "Mozilla/5.0", `"a":1`, good[:len(good)-1]+`,"a":1}`)
	f(keep, at.Add(time.Nanosecond), "a\"\xff", "\n\x01é", "", `{"timestamp":"2026-02-09T15:23:00.000000001Z","path":"a\"`+"\ufffd"+`","userAgent":"\n\u0001é"}`)
	f(keep, at, "", "x", "", `{`+when+`,"path":"-","userAgent":"x"}`)
	f(keep, at, "x", " \t", "", `{`+when+`,"path":"x","userAgent":"-"}`)
	f(keep, at, "", "\n", "", "record has neither a path nor a user agent")
	f(keep, time.Time{}, "x", "y", "", `{"timestamp":"2026-02-09T20:00:00.000005Z","path":"x","userAgent":"y"}`)
	f(codec.Options{}, time.Time{}, "x", "y", "", "timestamp is empty")
	f(codec.Options{}, at, "", "y", "", "path is empty")
	f(codec.Options{}, at, "x", " ", "", "userAgent is empty")
	f(codec.Options{}, time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), "x", "y", "", `timestamp "10000-01-01T00:00:00Z" is not an RFC 3339 timestamp such as 2026-02-09T15:23:00Z`)
	f(codec.Options{Limits: codec.Limits{RecordBytes: len(good) - 1}}, at, "/home", "Mozilla/5.0", "", fmt.Sprintf("record is %d bytes, over the limit of %d record bytes", len(good), len(good)-1))
}

func TestAppend_CountsLikeABody(t *testing.T) {
	var b codec.Batch
	b.Begin(rules(t, codec.Options{Limits: codec.Limits{Records: 3}, NoTime: codec.ArrivalTime}), time.Now())
	at := time.Date(2026, 2, 9, 16, 23, 0, 0, time.UTC)
	f := func(at time.Time, agent string, index int) {
		t.Helper()
		if e, ok := b.Append(at, []byte("/"), []byte(agent), nil); ok != (index < 0) || !ok && e.Index != index {
			t.Errorf("%v %v", e, ok)
		}
	}
	f(at, "x", -1)
	f(at, "", 1)
	f(time.Time{}, "x", -1)
	if b.ArrivalTimes() != 1 {
		t.Errorf("%d times of arrival", b.ArrivalTimes())
	}
	f(at, "x", 3)
	var limit *codec.LimitError
	if err := b.End(); !errors.As(err, &limit) || limit.What != "records" || b.Len() != 0 || b.Records() != 0 {
		t.Errorf("%v", err)
	}
}

func TestExtra_MembersAreKeptInOrderAndWithoutWhiteSpace(t *testing.T) {
	f := func(sent, kept string) {
		t.Helper()
		want := good[:len(good)-1]
		if kept != "" {
			want += "," + kept
		}
		want += "}\n"
		between := `{` + where + `,` + sent + `,` + who + `,` + when + `}`
		after := good[:len(good)-1] + "," + sent + "}"
		r := rules(t, codec.Options{Extra: codec.KeepExtra})
		var b, again codec.Batch
		for _, body := range []string{between, after, "[" + between + ",\n" + after + "]", between + after + after + between, after + "\r\n" + between} {
			records := strings.Count(body, who)
			if err := b.DecodeWith([]byte(body), codec.JSON, r, time.Time{}, nil); err != nil || all(&b) != strings.Repeat(want, records) {
				t.Errorf("%q becomes %q, %v", body, all(&b), err)
			}
			again.Reset()
			again.AppendLines([]byte(all(&b)), codec.Limits{}, nil)
			if all(&again) != all(&b) {
				t.Errorf("%q becomes %q when it is read again", all(&b), all(&again))
			}
			if l, ok := canonicalLine([]byte(want)); !ok || string(l.Extra) != kept {
				t.Errorf("%q is not canonical", want)
			}
			if err := b.Decode([]byte(body), codec.JSON, codec.Limits{}); err != nil || all(&b) != strings.Repeat(good+"\n", records) {
				t.Errorf("%q becomes %q where they are dropped, %v", body, all(&b), err)
			}
		}
	}
	f(`"status":200,"method":"GET"`, `"status":200,"method":"GET"`)
	f(`"method" : "GET" ,"status": 200`, `"method":"GET","status":200`)
	f("\"a\"\n:\t{ \"b\" : [ 1 , \" x \" ] , \"c\" : { } }", `"a":{"b":[1," x "],"c":{}}`)
	f(`"":null,"n":-0.50E+3,"t":true`, `"":null,"n":-0.50E+3,"t":true`)
	f(`"é":"\u00e9\/\ud800","\u0061":1`, `"é":"\u00e9\/\ud800","\u0061":1`)
	f("\"a\xff\":\"\xff\xfe\"", "\"a\ufffd\":\"\ufffd\ufffd\"")
	f("\"a\":[ \"\xff \\\\\" ]", "\"a\":[\"\ufffd \\\\\"]")
	f(`"status":1,"status":2`, `"status":1,"status":2`)
	f(`"path":1,"path":"/home"`, ``)
	f(`"timestamp":"x","pat\u0068":"/home","`+`timestamp":"2026-02-09T15:23:00Z","Path":1`, `"Path":1`)
}
