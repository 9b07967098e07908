package codec_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"logforge/codec"
)

// The second opinion: what Decode promises, said slowly and obviously with
// encoding/json, encoding/csv and time.Parse. It knows no limits but Depth.

// outcome is what becomes of a body: lines in the order they arrived, or errors.
type outcome struct {
	lines   []line
	errs    []mistake
	count   int
	records int
}

type line struct {
	hour codec.Hour
	text string
}

type mistake struct {
	index int
	field string
}

func (v *outcome) fail(field string) {
	if v.count++; v.count <= codec.MaxErrors {
		v.errs = append(v.errs, mistake{v.records, field})
	}
	v.records++
}

// put takes the values of a record; a nil one is missing or no string.
func (v *outcome) put(timestamp, path, userAgent *string) {
	t, ok := time.Time{}, false
	if timestamp != nil {
		t, ok = instant(*timestamp)
	}
	switch {
	case !ok:
		v.fail("timestamp")
	case path == nil || strings.TrimSpace(*path) == "":
		v.fail("path")
	case userAgent == nil || strings.TrimSpace(*userAgent) == "":
		v.fail("userAgent")
	default:
		v.lines = append(v.lines, line{codec.HourOf(t), canonical(t, *path, *userAgent)})
		v.records++
	}
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// instant parses what is RFC 3339. The expression is there for the known
// differences to time.Parse, which FuzzTimestamp names.
func instant(s string) (time.Time, bool) {
	if !rfc3339.MatchString(s) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	t = t.UTC()
	return t, err == nil && t.Year() >= 0 && t.Year() <= 9999
}

// canonical renders one record as contract.md has it.
func canonical(t time.Time, path, userAgent string) string {
	return `{"timestamp":"` + t.UTC().Format(time.RFC3339Nano) + `","path":"` + escape(path) + `","userAgent":"` + escape(userAgent) + "\"}\n"
}

func escape(s string) string {
	var b strings.Builder
	for _, r := range s { // invalid UTF-8 comes out as U+FFFD, a byte at a time
		switch short := strings.IndexRune("\"\\\b\f\n\r\t", r); {
		case short >= 0:
			b.WriteByte('\\')
			b.WriteByte(`"\bfnrt`[short])
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

var mark = []byte("\xef\xbb\xbf")

// expect is Decode, slowly.
func expect(body []byte, f codec.Format, depth int) (v outcome) {
	body = bytes.TrimPrefix(body, mark)
	start := bytes.TrimLeft(body, " \t\r\n")
	if len(start) == 0 {
		v.fail("record")
		v.records = 0
		return v
	}
	switch {
	case f == codec.JSON, f == codec.Auto && (start[0] == '{' || start[0] == '['):
		v.json(body, depth)
	case f == codec.NDJSON:
		for _, l := range bytes.Split(body, []byte("\n")) {
			v.line(l, depth)
		}
	default:
		v.csv(body)
	}
	return v
}

func (v *outcome) json(body []byte, depth int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	if bytes.TrimLeft(body, " \t\r\n")[0] != '[' {
		for {
			var value json.RawMessage
			if err := dec.Decode(&value); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				v.fail("record")
				return
			}
			v.value(value, depth)
		}
	}
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	for dec.More() {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			v.fail("record")
			return
		}
		v.value(value, depth)
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		v.fail("record")
		return
	}
	rest, _ := io.ReadAll(io.MultiReader(dec.Buffered(), bytes.NewReader(body[len(body):])))
	if len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		v.fail("record")
	}
}

func (v *outcome) line(l []byte, depth int) {
	switch {
	case len(bytes.Trim(l, " \t\r")) == 0:
	case json.Valid(l):
		v.value(l, depth)
	default:
		v.fail("record")
	}
}

// value takes one value, which is valid JSON.
func (v *outcome) value(value json.RawMessage, depth int) {
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber() // 1e999 is JSON, and no float64
	if t, _ := dec.Token(); t != json.Delim('{') || depth > 0 && nesting(value)-1 > depth {
		v.fail("record")
		return
	}
	members := map[string]*string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			panic(err)
		}
		var member any
		if err := dec.Decode(&member); err != nil {
			panic(err)
		}
		members[name.(string)] = nil
		if s, ok := member.(string); ok {
			members[name.(string)] = &s
		}
	}
	v.put(members["timestamp"], members["path"], members["userAgent"])
}

// nesting returns how deep the objects and arrays of value are.
func nesting(value []byte) (deepest int) {
	dec, depth := json.NewDecoder(bytes.NewReader(value)), 0
	dec.UseNumber()
	for {
		t, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func (v *outcome) csv(body []byte) {
	r := csv.NewReader(bytes.NewReader(body))
	r.FieldsPerRecord = -1
	columns := []string{"timestamp", "path", "userAgent"}
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			v.fail("record")
			continue
		}
		if first && slices.Contains(fields, "timestamp") && slices.Contains(fields, "path") && slices.Contains(fields, "userAgent") {
			columns = slices.Clone(fields)
			continue
		}
		if len(fields) != len(columns) {
			v.fail("record")
			continue
		}
		values := map[string]*string{}
		for i, f := range fields {
			f = string([]rune(f)) // as text: invalid UTF-8 becomes U+FFFD
			values[columns[i]] = &f
		}
		v.put(values["timestamp"], values["path"], values["userAgent"])
	}
}

// decoded is what Decode makes of a body, as a outcome: its lines in the order
// of the runs. It checks that the runs are what a batch promises.
func decoded(b *codec.Batch, err error) outcome {
	var v outcome
	var invalid *codec.InvalidError
	switch {
	case errors.As(err, &invalid):
		v.count, v.records = invalid.Count, invalid.Records
		for _, e := range invalid.Errors {
			v.errs = append(v.errs, mistake{e.Index, e.Field})
			if e.Reason == "" || !utf8.ValidString(e.Reason) {
				panic(fmt.Sprintf("reason %q", e.Reason))
			}
		}
		if b.Len() != 0 || b.Records() != 0 || len(b.Runs()) != 0 {
			panic("an invalid batch is not empty")
		}
		return v
	case err != nil:
		panic(err)
	}
	v.records = b.Records()
	size, records := 0, 0
	for i, run := range b.Runs() {
		lines := b.Lines(run)
		if i > 0 && run.Hour <= b.Runs()[i-1].Hour {
			panic("hours do not ascend")
		}
		if run.Records == 0 || bytes.Count(lines, []byte("\n")) != run.Records || lines[len(lines)-1] != '\n' {
			panic(fmt.Sprintf("run %d does not hold its %d records: %q", i, run.Records, lines))
		}
		size += len(lines)
		records += run.Records
		for l := range bytes.Lines(lines) {
			v.lines = append(v.lines, line{run.Hour, string(l)})
		}
	}
	if size != b.Len() || records != b.Records() {
		panic(fmt.Sprintf("runs hold %d bytes and %d records of %d and %d", size, records, b.Len(), b.Records()))
	}
	return v
}

// grouped is the outcome with its lines in the order of a batch's runs, if it
// is a good one; of a bad one no lines are left.
func (v outcome) grouped() outcome {
	if v.count > 0 {
		v.lines = nil
		return v
	}
	slices.SortStableFunc(v.lines, func(a, b line) int { return int(a.hour - b.hour) })
	return v
}

// same reports whether two outcomes are one, but for CRLFs within CSV fields,
// of which encoding/csv makes newlines.
func same(a, b outcome) bool {
	lf := func(l line) line { return line{l.hour, strings.ReplaceAll(l.text, `\r\n`, `\n`)} }
	return a.count == b.count && a.records == b.records && slices.Equal(a.errs, b.errs) &&
		slices.EqualFunc(a.lines, b.lines, func(a, b line) bool { return lf(a) == lf(b) })
}
