package codec_test

import (
	"slices"
	"strings"
	"testing"

	"logforge/codec"
)

// The same object, alone in a new batch, cannot take the fast path, as no shape and no
// hour is known there.
func TestPlainObjects_BecomeWhatTheGeneralPathMakesOfThem(t *testing.T) {
	objects := []string{
		`{"@timestamp":"2015-05-17T10:05:03.000Z","host":"192.0.2.10","user":"-","method":"GET","path":"/a.png","code":"200","referer":"-","agent":"Mozilla/5.0 (KHTML, like Gecko)"}`,
		`{"time_local":"17/May/2015:10:05:03 +0000","msec":"1431857103.785","request":"GET /a.png HTTP/1.1","request_uri":"/a.png","uri":"/","status":404,"ok":true,"no":null,"http_user_agent":"curl/8.0"}`,
		`{"date":1431857103.5,"message":"x","url":"/a","url.path":"/b","user_agent":"-","User-Agent":"y","x":-1.5e3}`,
		`{"userAgent":"x","timestamp":"2015-05-17T10:05:03Z","path":"/","PATH":"/upper","ts":1431857103,"cs-uri-query":"q"}`,
		`{"a":1,"path":"/a","b":2,"agent":"x","c":3,"time":"2015-05-17T10:05:03.120Z","d":"\u0041\n\"é"}`,
	}
	changes := []string{"", `"`, `\`, " ", "-", "0", "\x00", "\xe9", "é", "[", "{", "}", ",", `\"`, `","path":"/z","x":"`, `","x":{"path":"/z"},"y":"`, `\u0041`, `\/`}
	for _, change := range []func(*codec.Options){
		nil,
		func(o *codec.Options) { o.Extra = codec.DropExtra },
		func(o *codec.Options) { o.Limits.RecordBytes = 200 },
		func(o *codec.Options) { o.Limits.SentBytes = 190 },
		func(o *codec.Options) { o.Names.Path = []string{"cs-uri-stem", "url"} },
	} {
		r := lenient(t, change)
		for _, object := range objects {
			plain, asidePlain := ingested(t, object, codec.Auto, r)
			try := func(one string) {
				t.Helper()
				want, asideWant := ingested(t, one, codec.Auto, r)
				// By the third the values are known that come again.
				body := strings.Join([]string{object, object, object, one, object, one, object}, "\n")
				got, aside := ingested(t, body, codec.Auto, r)
				all := slices.Concat(plain, plain, plain, want, plain, want, plain)
				slices.Sort(all)
				slices.Sort(got)
				if !slices.Equal(got, all) || len(aside) != 2*len(asideWant)+5*len(asidePlain) {
					t.Fatalf("%q\nbecomes %q\nnot     %q\naside %q", body, got, all, aside)
				}
			}
			for i := range object {
				for _, c := range changes {
					one := object[:i] + c + object[i+1:]
					// What is cut in two, or goes on behind its end, is no object by itself.
					if _, aside := ingested(t, one, codec.Auto, r); len(aside) == 0 {
						try(one)
					}
				}
			}
			for _, swap := range []string{`"-"`, `""`, `" "`, `null`, `1`, `"/x?y=%20"`, `"http://example.test/p?q"`, `"2015-05-17T11:05:03+01:00"`, `"2015-05-17T12:05:03.000Z"`, `[]`, `{}`, `"\u0041"`} {
				for i := range object {
					if object[i] != ':' {
						continue
					}
					if end := strings.IndexAny(object[i:], ",}"); object[i+1] != '{' {
						try(object[:i+1] + swap + object[i+end:])
					}
				}
			}
		}
	}
}

// What changes from one object to the next is read all the same.
func TestPlainObjects_OfManyShapesAreReadEach(t *testing.T) {
	r := lenient(t, nil)
	var body strings.Builder
	for i := range 200 {
		body.WriteString(`{"time":"2015-05-17T10:05:03Z",` + strings.Repeat(`"x":1,`, i%7) + `"url":"/a","agent":"x"}` + "\n")
	}
	lines, aside := ingested(t, body.String(), codec.Auto, r)
	if len(lines) != 200 || len(aside) > 0 {
		t.Fatal(len(lines), aside)
	}
	for i, line := range lines {
		if strings.Count(line, `"x":1`) != i%7 {
			t.Fatal(i, line)
		}
	}
}
