package codec_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"logforge/bench/corpus"
	"logforge/codec"
)

func TestLimitsNameTheRecordThatWentOver(t *testing.T) {
	recs := corpus.Records(5, 10, 1)
	recs[6].Path += strings.Repeat("x", 1000)
	f := func(form corpus.Form, l codec.Limits, want codec.LimitError) {
		t.Helper()
		var b codec.Batch
		err := b.Decode(form.Append(nil, recs), formatOf(form), l)
		var over *codec.LimitError
		if !errors.As(err, &over) || *over != want || b.Len() != 0 || len(b.Runs()) != 0 {
			t.Errorf("%s: %v", form.Name, err)
		}
	}
	for _, form := range corpus.Forms {
		f(form, codec.Limits{Records: 9}, codec.LimitError{Index: 9, What: "records", Max: 9, Records: 9})
		f(form, codec.Limits{Records: 1}, codec.LimitError{Index: 1, What: "records", Max: 1, Records: 1})
		f(form, codec.Limits{RecordBytes: 900}, codec.LimitError{Index: 6, What: "record bytes", Max: 900, Records: 6})
		f(form, codec.Limits{RecordBytes: 900, Records: 7}, codec.LimitError{Index: 6, What: "record bytes", Max: 900, Records: 6})
		f(form, codec.Limits{RecordBytes: 900, Records: 6}, codec.LimitError{Index: 6, What: "records", Max: 6, Records: 6})
		var b codec.Batch
		if err := b.Decode(form.Append(nil, recs), formatOf(form), codec.Limits{Records: 10, RecordBytes: 1600}); err != nil {
			t.Errorf("%s: %v", form.Name, err)
		}
	}
}

// over returns the limit that a body goes over, or nothing.
func over(t *testing.T, body string, form codec.Format, l codec.Limits) string {
	t.Helper()
	var b codec.Batch
	err := b.Decode([]byte(body), form, l)
	var limit *codec.LimitError
	if err != nil && !errors.As(err, &limit) {
		t.Fatalf("%q: %v", body, err)
	}
	if limit == nil {
		return ""
	}
	return limit.What
}

func TestLimits_CountTheBytesOfTheCanonicalLine(t *testing.T) {
	f := func(form codec.Format, body string, size int) {
		t.Helper()
		if got := over(t, body, form, codec.Limits{RecordBytes: size}); got != "" {
			t.Errorf("%q is over the limit of %s", body, got)
		}
		if got := over(t, body, form, codec.Limits{RecordBytes: size - 1}); got != "record bytes" {
			t.Errorf("%q, a byte less: %q", body, got)
		}
	}
	f(codec.JSON, "[ "+good+" ]", len(good))
	f(codec.JSON, "[ {  "+good[1:]+" ]", len(good))
	f(codec.JSON, `[{"other":"`+strings.Repeat("x", 1000)+`",`+good[1:]+"]", len(good))
	f(codec.NDJSON, good+"\n\n", len(good))
	f(codec.NDJSON, " {  "+good[1:]+" \r\n", len(good))
	f(codec.NDJSON, good+"\r\n", len(good))
	const row = `{` + when + `,"path":"/","userAgent":"-"}`
	f(codec.CSV, "timestamp,path,userAgent\n2026-02-09T15:23:00Z,/,\"-\"\r\n", len(row))
	f(codec.CSV, "2026-02-09T15:23:00Z,/,-\n", len(row))
	f(codec.CSV, strings.Repeat("2026-02-09T15:23:00Z,/,-\n", 9), len(row))
	f(codec.CSV, "2026-02-09T15:23:00Z,/\xff,-\n", len(row)+3)
	f(codec.JSON, strings.Replace(good, "/home", `\u0001\u00e9`, 1), len(good)-len("/home")+len(`\u0001é`))
}

func TestLimits_CountTheBytesAsSentToo(t *testing.T) {
	f := func(form codec.Format, body string, size int) {
		t.Helper()
		if got := over(t, body, form, codec.Limits{SentBytes: size}); got != "" {
			t.Errorf("%q is over the limit of %s", body, got)
		}
		if got := over(t, body, form, codec.Limits{SentBytes: size - 1}); got != "record bytes as sent" {
			t.Errorf("%q, a byte less: %q", body, got)
		}
	}
	f(codec.JSON, "[ {  "+good[1:]+" ]", len(good)+2)
	f(codec.NDJSON, " {  "+good[1:]+" \r\n", len(good)+2)
	f(codec.CSV, "timestamp,path,userAgent\n2026-02-09T15:23:00Z,/,\"-\"\r\n", 26)
	f(codec.CSV, "2026-02-09T15:23:00Z,/,-\n", 24)
	f(codec.CSV, strings.Repeat("2026-02-09T15:23:00Z,/,-\n", 9), 24)
}

// What the endpoint takes, the consumer of the topic has to take, under the same
// limit, whatever grew in between.
func TestLimits_WhatOneSideTakesTheOtherSideStores(t *testing.T) {
	const most = 200_000
	limits := codec.Limits{RecordBytes: most, SentBytes: 4 * most, Depth: 5}
	f := func(what string, form codec.Format, head, unit, tail string) {
		t.Helper()
		taken, refused := 0, 0
		for n := most / 12; n <= most+1; n += most / 24 {
			var endpoint, consumer codec.Batch
			err := endpoint.Decode([]byte(head+strings.Repeat(unit, n/len(unit))+tail), form, limits)
			var limit *codec.LimitError
			if errors.As(err, &limit) {
				refused++
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			taken++
			consumer.AppendLines([]byte(all(&endpoint)), limits, func(_ []byte, e codec.RecordError) {
				t.Errorf("%s, %d of them: the consumer refuses it: %s", what, n, e.Reason)
			})
			if all(&consumer) != all(&endpoint) {
				t.Errorf("%s, %d of them: not the same line", what, n)
			}
		}
		if taken == 0 || refused == 0 {
			t.Errorf("%s: %d taken and %d refused", what, taken, refused)
		}
	}
	for _, form := range []codec.Format{codec.JSON, codec.NDJSON} {
		const head, tail = `{` + when + `,` + where + `,"userAgent":"`, `"}`
		f("Latin-1", form, head, "\xe9", tail)
		f("control characters", form, head, `\u0001`, tail)
		f("backslashes", form, head, `\\`, tail)
		f("plain", form, head, "x", tail)
	}
	const head = "2026-02-09T15:23:00Z,/,"
	f("CSV, Latin-1", codec.CSV, head, "\xe9", "\n")
	f("CSV, control characters", codec.CSV, head+"x", "\x01", "\n")
	f("CSV, quotes", codec.CSV, head+`"`, `""`, "\"\n")
	f("CSV, plain", codec.CSV, head, "x", "\n")
}

func TestLimits_HoursABatch(t *testing.T) {
	for _, form := range corpus.Forms {
		for _, order := range []func([]corpus.Record){func([]corpus.Record) {}, slices.Reverse[[]corpus.Record]} {
			recs := corpus.Records(5, 400, 40)
			order(recs)
			body := form.Append(nil, recs)
			var b codec.Batch
			if err := b.Decode(body, formatOf(form), codec.Limits{Hours: 40}); err != nil || len(b.Runs()) != 40 {
				t.Errorf("%s: %d hours, %v", form.Name, len(b.Runs()), err)
			}
			err := b.Decode(body, formatOf(form), codec.Limits{Hours: 39})
			var limit *codec.LimitError
			if !errors.As(err, &limit) || limit.What != "hours" || limit.Max != 39 || limit.Records != 399 || b.Len() != 0 {
				t.Errorf("%s: %v", form.Name, err)
			}
			if !strings.Contains(err.Error(), "39 different hours") {
				t.Error(err)
			}
		}
	}
}

func TestLimits_AgeAndFuture(t *testing.T) {
	now := time.Date(2026, 2, 9, 15, 30, 0, 500, time.UTC)
	f := func(age, future time.Duration, at string, reason string) {
		t.Helper()
		r, err := codec.NewRules(codec.Options{Limits: codec.Limits{MaxAge: age, MaxFuture: future}})
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Replace(good, "2026-02-09T15:23:00Z", at, 1)
		rows := "timestamp,path,userAgent\n" + strings.Repeat(at+",/home,Mozilla/5.0\n", 3)
		for form, body := range map[codec.Format]string{codec.JSON: "[" + line + "," + line + "," + line + "]", codec.NDJSON: line + "\n" + line + "\n" + line, codec.CSV: rows} {
			var b codec.Batch
			err = b.DecodeWith([]byte(body), form, r, now, nil)
			if reason == "" {
				if err != nil || b.Records() != 3 || len(b.Runs()) != 1 || b.Runs()[0].Records != 3 {
					t.Errorf("%s in form %d: %v, %v", at, form, err, b.Runs())
				}
				continue
			}
			var invalid *codec.InvalidError
			if !errors.As(err, &invalid) || invalid.Count != 3 || invalid.Errors[2].Field != "timestamp" || !strings.Contains(invalid.Errors[2].Reason, reason) {
				t.Errorf("%s in form %d: %v", at, form, err)
			}
			var aside int
			if err := b.DecodeWith([]byte(body), form, r, now, func([]byte, codec.RecordError) { aside++ }); err != nil || aside != 3 || b.Len() != 0 {
				t.Errorf("%s in form %d: %d set aside, %v", at, form, aside, err)
			}
		}
	}
	const h = time.Hour
	f(0, 0, "1970-01-01T00:00:00Z", "")
	f(0, 0, "9999-01-01T00:00:00Z", "")
	f(24*h, 0, "2026-02-09T15:23:00Z", "")
	f(24*h, 0, "9999-02-09T15:23:00Z", "")
	f(24*h, 0, "2026-02-08T15:30:00.0000005Z", "")
	f(24*h, 0, "2026-02-08T15:30:01Z", "")
	f(24*h, 0, "2026-02-08T15:30:00.000000499Z", "more than 24h0m0s ago")
	f(24*h, 0, "2026-02-08T15:30:00Z", "more than 24h0m0s ago")
	f(24*h, 0, "2026-02-08T14:59:59Z", "more than 24h0m0s ago")
	f(24*h, 0, "1970-01-01T00:00:00Z", "ago")
	f(0, h, "1970-01-01T00:00:00Z", "")
	f(0, h, "2026-02-09T16:29:59.999Z", "")
	f(0, h, "2026-02-09T16:30:00Z", "")
	f(0, h, "2026-02-09T16:30:00.0000005Z", "")
	f(0, h, "2026-02-09T16:30:00.000000501Z", "more than 1h0m0s in the future")
	f(0, h, "2026-02-09T17:00:00Z", "in the future")
	f(h, h, "2026-02-09T15:23:00Z", "")
	f(h, h, "2026-02-09T13:23:00Z", "ago")
	f(h, h, "2026-02-09T18:23:00+01:00", "in the future")
	f(time.Minute, time.Minute, "2026-02-09T15:29:30Z", "")
	f(time.Minute, time.Minute, "2026-02-09T15:28:30Z", "ago")
	f(time.Minute, time.Minute, "2026-02-09T15:31:30Z", "in the future")
}
