package codec_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"logforge/bench/corpus"
	"logforge/codec"
)

// TestPlainLines_BecomeWhatTheGeneralPathMakesOfThem: the same line, alone in a
// new batch, cannot take the fast path, as no hour is known there.
func TestPlainLines_BecomeWhatTheGeneralPathMakesOfThem(t *testing.T) {
	lines := []string{combined1, combined2}
	for _, client := range []string{"-", ":", "::1", "a[b", "x_y%20z", "2015-05-17T10:05:03Z", "host-4-a", "é", "2001:db8:85a3:8d3:1319:8a2e:370:7348", strings.Repeat("h", 47), strings.Repeat("h", 48), "http", "<190>x:"} {
		lines = append(lines, client+combined1[strings.Index(combined1, " "):])
	}
	for _, r := range corpus.Records(9, 100, 1) {
		lines = append(lines, string(appendCombined(nil, r)))
	}
	for i := range combined1 { // a byte that is something else
		for _, c := range []string{"", `"`, `\`, " ", "-", "0", "\x00", "\xe9", "é", "[", "]", `\"`, `" "`} {
			lines = append(lines, combined1[:i]+c+combined1[i+1:])
		}
	}
	for _, change := range []func(*codec.Options){nil, func(o *codec.Options) { o.Extra = codec.DropExtra }, func(o *codec.Options) { o.Limits.RecordBytes = 250 }} {
		r := lenient(t, change)
		for _, l := range lines {
			if strings.ContainsAny(l, "\n") {
				continue
			}
			for _, wrap := range []func(string) string{func(s string) string { return s }, func(s string) string {
				return `{"date":1795593680.5,"log":"` + escape(strings.ToValidUTF8(s, "\ufffd")) + `"}`
			}} {
				one := wrap(l)
				want, asideWant := ingested(t, one, codec.Auto, r)
				body := strings.Join([]string{wrap(combined1), one, wrap(combined1), wrap(combined1)}, "\n")
				got, aside := ingested(t, body, codec.Auto, r)
				plain, asidePlain := ingested(t, wrap(combined1), codec.Auto, r)
				all := slices.Concat(plain, want, plain, plain)
				slices.Sort(all)
				slices.Sort(got)
				if !slices.Equal(got, all) || len(aside) != len(asideWant)+3*len(asidePlain) {
					t.Fatalf("%q\nbecomes %q\nnot     %q\naside %q", body, got, all, aside)
				}
			}
		}
	}
}

func TestShipper_AllocatesNothingARecord(t *testing.T) {
	recs := corpus.Records(5, 500, 1)
	for i, f := range shipperForms {
		body := shipperBody(i, recs)
		var b codec.Batch
		r := lenient(t, nil)
		decode := func() {
			if err := b.DecodeWith(body, codec.Auto, r, arrival, setAside); err != nil || b.Records() != 500 {
				t.Fatalf("%s: %d records, %v", f.name, b.Records(), err)
			}
		}
		decode()
		if allocs := testing.AllocsPerRun(10, decode); allocs > 0 {
			t.Errorf("%s: %v allocations for 500 records", f.name, allocs)
		}
	}
}

// The names around a line may be others from one object to the next.
func TestPlainLines_InObjectsBecomeWhatTheGeneralPathMakesOfThem(t *testing.T) {
	line := `"` + escape(combined1) + `"`
	objects := []string{
		`{"date":1795593680.506585,"log":` + line + `}`, `{"date":1,"log":` + line + `}`, `{"date":-1.5e3,"log":` + line + `}`,
		`{"time":1795593680,"log":` + line + `}`, `{"ts":1795593680,"msg":` + line + `}`, `{"date":1795593680,"message":` + line + `}`,
		`{"x":1795593680,"log":` + line + `}`, `{"date":1795593680,"x":` + line + `}`, `{"path":1795593680,"log":` + line + `}`,
		`{"timestamp":1795593680,"log":` + line + `}`, `{"date":1795593680,"path":` + line + `}`, `{"date":01,"log":` + line + `}`,
		`{"date":1795593680,"log":` + line + `,"x":1}`, `{"date":1795593680,"log": ` + line + `}`, `{"date":"1795593680","log":` + line + `}`,
		`{"date":1795593680,"LOG":` + line + `}`, `{"log":` + line + `}`, `{}`, `{"date":1`,
	}
	for _, change := range []func(*codec.Options){nil, func(o *codec.Options) { o.Extra = codec.DropExtra }, func(o *codec.Options) { o.Limits.SentBytes = 400 }} {
		r := lenient(t, change)
		for _, one := range objects {
			for _, other := range objects[:8] {
				want, asideWant := []string(nil), 0
				for _, object := range []string{other, other, one, other} {
					lines, aside := ingested(t, object, codec.Auto, r)
					want, asideWant = append(want, lines...), asideWant+len(aside)
				}
				slices.Sort(want)
				for _, form := range [][3]string{{"", "\n", ""}, {"[", ",", "]"}} {
					if _, bad := ingested(t, one, codec.Auto, r); len(bad) > 0 && form[0] == "[" {
						continue // where what is no JSON ends is another matter
					}
					body := form[0] + strings.Join([]string{other, other, one, other}, form[1]) + form[2]
					got, aside := ingested(t, body, codec.Auto, r)
					slices.Sort(got)
					if !slices.Equal(got, want) || len(aside) != asideWant {
						t.Fatalf("%s\nbecomes %q\nnot     %q\naside %q", body, got, want, aside)
					}
				}
			}
		}
	}
}

// The same for lines that come one at a time, as they are and within a JSON string.
func TestPlainLines_ThatComeByThemselvesBecomeWhatTheGeneralPathMakesOfThem(t *testing.T) {
	r := lenient(t, nil)
	extra := []byte(`"job":"nginx"`)
	one := func(first bool, add func(b *codec.Batch) bool) (string, bool) {
		b := new(codec.Batch)
		if err := b.DecodeWith(bytes.Repeat([]byte(combined1+"\n"), 10), codec.Auto, r, arrival, setAside); err != nil {
			t.Fatal(err) // the memory that it leaves is enough for what follows
		}
		b.Begin(r, arrival)
		if first { // so that the hour is known
			if _, ok := b.AppendRecord([]byte(combined1), arrival, nil); !ok {
				t.Fatal("refused")
			}
		}
		ok := add(b)
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		var lines strings.Builder
		for _, run := range b.Runs() {
			lines.Write(b.Lines(run))
		}
		return lines.String(), ok
	}
	head, _ := one(true, func(*codec.Batch) bool { return true })
	for i := range combined1 {
		for _, c := range []string{combined1[i : i+1], "", `"`, `\`, " ", "-", "0", "\x00", "\xe9", "é", "[", "]", `\"`, `" "`, "\n", "\r\n"} {
			line := combined1[:i] + c + combined1[i+1:]
			for _, line := range []string{line, line + "\n", line + "\r\n", line + " x"} {
				add := func(b *codec.Batch) bool {
					_, ok := b.AppendRecord([]byte(line), arrival, extra)
					return ok
				}
				want, wantOK := one(false, add)
				got, ok := one(true, add)
				if ok != wantOK || sorted(got) != sorted(head+want) {
					t.Fatalf("%q\nbecomes %q\nnot     %q", line, got, head+want)
				}
				if !utf8.ValidString(line) {
					continue // what is within JSON has been made valid before
				}
				text := `["` + escape(line) + `"]`
				got, ok = one(true, func(b *codec.Batch) bool { return b.AppendPlain([]byte(text), 2, `"]`, extra) == len(text) })
				if ok && sorted(got) != sorted(head+want) || !ok && got != head {
					t.Fatalf("%q\nbecomes %q\nnot     %q", text, got, head+want)
				}
				if c == combined1[i:i+1] && !strings.HasSuffix(line, "x") && !strings.HasSuffix(line, "\r\n") && !ok {
					t.Fatalf("%q is not taken at once", text)
				}
			}
		}
	}
}

func sorted(lines string) string {
	all := strings.SplitAfter(lines, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}
