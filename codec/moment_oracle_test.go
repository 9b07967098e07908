package codec_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"logforge/codec"
)

// The slow and obvious way to read a time as shippers write it: regular expressions
// and time.Parse.

var (
	calendar   = regexp.MustCompile(`^(\d{4})([-/])(\d\d)([-/])(\d\d)[Tt ](\d\d:\d\d)(:\d\d)?(?:[.,](\d+))?(.*)$`)
	accessTime = regexp.MustCompile(`^(\d\d)/([A-Za-z]{3})/(\d{4}):(\d\d:\d\d)(:\d\d)?(?:[.,](\d+))?(.*)$`)
	offset     = regexp.MustCompile(`^ *([Zz]|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?$`)
	sinceEpoch = regexp.MustCompile(`^(-?)(\d{1,19})(?:\.(\d+))?$`)
)

// momentOracle returns the canonical text of a time; ok is false for what is none.
func momentOracle(text string) (canonical string, ok bool) {
	text = strings.TrimFunc(text, unicode.IsSpace)
	if m := calendar.FindStringSubmatch(text); m != nil && m[2] == m[4] {
		return clockOracle(m[1]+"-"+m[3]+"-"+m[5], m[6], m[7], m[8], m[9])
	}
	if m := accessTime.FindStringSubmatch(text); m != nil {
		date, err := time.Parse("02/Jan/2006", m[1]+"/"+strings.ToUpper(m[2][:1])+strings.ToLower(m[2][1:])+"/"+m[3])
		if err != nil {
			return "", false
		}
		return clockOracle(date.Format("2006-01-02"), m[4], m[5], m[6], m[7])
	}
	m := sinceEpoch.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	whole, err := strconv.ParseUint(m[2], 10, 64)
	if err != nil {
		return "", false
	}
	places := 9 // between a unit and a nanosecond
	switch {
	case whole >= 1e17:
		places = 0
	case whole >= 1e14:
		places = 3
	case whole >= 1e11:
		places = 6
	}
	digits := strings.Repeat("0", 10) + m[2] + (m[3] + strings.Repeat("0", 9))[:places]
	seconds, err := strconv.ParseInt(digits[:len(digits)-9], 10, 64)
	nanos, _ := strconv.ParseInt(digits[len(digits)-9:], 10, 64)
	if err != nil {
		return "", false
	}
	if m[1] == "-" {
		seconds, nanos = -seconds, -nanos
	}
	return written(time.Unix(seconds, nanos))
}

// clockOracle reads a time of day of which the seconds, the fraction and the offset
// may be missing.
func clockOracle(date, minute, second, fraction, zone string) (string, bool) {
	z := offset.FindStringSubmatch(zone)
	if z == nil {
		return "", false
	}
	switch zone = z[1]; {
	case len(zone) <= 1 || zone == "UTC" || zone == "GMT":
		zone = "Z"
	case len(zone) == 3:
		zone += ":00"
	case len(zone) == 5:
		zone = zone[:3] + ":" + zone[3:]
	}
	if second == "" {
		second = ":00"
	}
	if fraction != "" {
		fraction = "." + fraction[:min(9, len(fraction))]
	}
	at, err := time.Parse(time.RFC3339Nano, date+"T"+minute+second+fraction+zone)
	if err != nil {
		return "", false
	}
	return written(at)
}

func written(at time.Time) (string, bool) {
	at = at.UTC()
	return at.Format(time.RFC3339Nano), at.Year() >= 0 && at.Year() <= 9999
}

// FuzzMoment: a time is what the oracle makes of it, in a record of its own and after
// others, of which something is remembered.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{
		"2026-02-09T15:23:00Z", "2026-02-09 15:23", "2026/02/09 15:23:00,5", "2026-02-09T15:23:00+0100", "2026-02-09t15:23:00.123456789123-05", "2026-02-30 00:00:00",
		"17/May/2015:10:05:03 +0000", "17/may/2015:10:05:03 -0930", "31/Apr/2015:10:05:03 +0000", "17/May/2015:10:05:60 +0000", "17/May/2015:10:05 GMT",
		"1431857103", "1431857103.5", "1431857103000", "1431857103000000.7", "1431857103000000000", "-1.5", "-1", "0", "0.000000001", "99999999999", "100000000000", "99999999999999999999",
		"253402300799", "253402300800", "-62167219200", "-62167219201", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01", "2026-02-09T24:00:00Z", "2026-02-09T15:23:00+24:00", "", "never",
	} {
		f.Add(s)
	}
	r := lenient(f, nil)
	before := `{"time":"17/May/2015:10:05:03 +0000","path":"/","agent":"-"}` + "\n" + `{"time":"1431857103","path":"/","agent":"-"}` + "\n" + `{"time":"2015-05-17T10:05:03Z","path":"/","agent":"-"}` + "\n"
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "eE") && !strings.Contains(s, "/") {
			return // an exponent moves the point; see TestShipper_TakesTimesOfEveryKind
		}
		want, known := momentOracle(s)
		if strings.TrimFunc(s, unicode.IsSpace) == "" {
			want, known = arrival.Format(time.RFC3339Nano), true
		}
		text, _ := json.Marshal(s)
		for _, head := range []string{"", before} {
			var b codec.Batch
			aside := ""
			if err := b.DecodeWith([]byte(head+`{"time":`+string(text)+`,"path":"/moment","agent":"-"}`), codec.Auto, r, arrival, func(_ []byte, e codec.RecordError) { aside = e.Reason }); err != nil {
				t.Fatal(err)
			}
			got := ""
			for line := range strings.Lines(all(&b)) {
				if strings.Contains(line, "/moment") {
					got = line[len(`{"timestamp":"`):strings.Index(line, `","path"`)]
				}
			}
			if known != (got != "") || known && got != want {
				t.Errorf("%q is %q, %s; the oracle says %q, %v", s, got, aside, want, known)
			}
		}
	})
}
