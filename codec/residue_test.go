package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"logforge/codec"
)

// residues are bodies that leave something behind in a batch, if anything does: a
// record that is nested too deeply, columns and directives, an unfinished object.
var residues = []string{
	`{"path":"/","agent":"x","more":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "}",
	strings.Repeat("[", 100),
	strings.Repeat(`{"log":`, 100),
	"#Fields: date time cs-uri-stem\n2026-02-09 15:23:00 /x",
	"#Fields: date time cs-uri-stem",
	"#Date: 2026-02-09 15:23:00",
	"path,agent,more\n/x,y,\"z",
	`{"path":"/a","agent":`,
	`{"time":"never","path":"/","agent":"x"}`,
	`[{"logs":[{"path":"/a","agent":"b"}`,
	"cpu,a=b path=\"/x\",agent=\"y\" 1431857103",
}

// forms are bodies of one record each, or two, in every form that there is.
var everyForm = []string{
	combined1, combined2,
	`192.0.2.10 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1`,
	`{"log":"192.0.2.10 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"x\"","date":1.5}`,
	`[{"path":"/a","agent":"b","time":1431857103}]`,
	"path,agent\n/a,b\n",
	"2026-02-09T15:23:00Z,/a\\b,\"x\"\"y\"\n2026-02-09T15:23:00Z,\"/c\",d",
	"#Fields: date time cs-uri-stem cs(User-Agent)\n2026-02-09 15:23:00 /a b",
	"2026-02-09 15:23:00 192.0.2.1 GET /x 200",
	`"` + strings.ReplaceAll(combined1, `"`, `\"`) + `"`,
	"tail path=\"/x\",agent=\"y\" 1431857103",
	good,
}

// Ensure that nothing of a record, or of a body before, counts for those that come
// after it: a batch is used again for other clients.
func TestBatch_NothingIsLeftOfWhatWasReadBefore(t *testing.T) {
	strict, shipper := rules(t, codec.Options{Limits: codec.Limits{Depth: 8}}), lenient(t, nil)
	read := func(b *codec.Batch, form string, one bool, r *codec.Rules, f codec.Format) string {
		var aside []string
		var err error
		if one {
			b.Begin(r, arrival)
			if e, ok := b.AppendRecord([]byte(form), arrival, []byte(`"k":1`)); !ok {
				aside = append(aside, e.Field+" "+e.Reason)
			}
			err = b.End()
		} else {
			err = b.DecodeWith([]byte(form), f, r, arrival, func(_ []byte, e codec.RecordError) { aside = append(aside, e.Field+" "+e.Reason) })
		}
		return fmt.Sprint(all(b), aside, err)
	}
	for _, r := range []*codec.Rules{strict, shipper} {
		for _, one := range []bool{false, true} {
			for _, form := range everyForm {
				var fresh codec.Batch
				want := read(&fresh, form, one, r, codec.Auto)
				for _, residue := range residues {
					for _, before := range []bool{false, true} {
						var b codec.Batch
						read(&b, residue, before, shipper, codec.Auto)
						if got := read(&b, form, one, r, codec.Auto); got != want {
							t.Errorf("after %.60q, %.60q becomes\n%s\nnot\n%s", residue, form, got, want)
						}
					}
				}
			}
		}
	}
	// And in one body, line by line.
	for _, residue := range residues[:3] {
		if lines, aside := ingested(t, residue+"\n"+combined1+"\n"+combined2, codec.Auto, shipper); len(lines) != 2 || len(aside) != 1 {
			t.Errorf("after %.60q: %q, %.200q", residue, lines, aside)
		}
	}
}

// Ensure that a directive that comes as a record of its own has an outcome.
func TestAppendRecord_ADirectiveIsNoRecord(t *testing.T) {
	var b codec.Batch
	b.Begin(lenient(t, nil), arrival)
	for i, line := range []string{"#Fields: date time cs-uri-stem cs(User-Agent)", "2026-02-09 15:23:00 /a b", "#Version: 1.0"} {
		e, ok := b.AppendRecord([]byte(line), arrival, nil)
		if ok != (i == 1) || !ok && (e.Index != i || !strings.Contains(e.Reason, "directive")) {
			t.Errorf("%s: %+v, %v", line, e, ok)
		}
	}
	if err := b.End(); err != nil || b.Records() != 1 {
		t.Error(b.Records(), err)
	}
}
