package corpus

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// parsed is a record as the standard library's decoders understand it.
type parsed struct {
	Timestamp time.Time `json:"timestamp"`
	Path      string    `json:"path"`
	UserAgent string    `json:"userAgent"`
}

func TestRecordsAreTheSameForTheSameSeed(t *testing.T) {
	if diff := cmp.Diff(Records(7, 1000, 3), Records(7, 1000, 3)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(Records(7, 100, 1), Records(8, 100, 1)) {
		t.Error("two seeds gave the same records")
	}
}

func TestRecordsLookLikeTheTrafficTheyPromise(t *testing.T) {
	const n = 100_000
	recs := Records(1, n, 5)
	path, agent, hours := map[string]int{}, map[string]int{}, map[time.Time]int{}
	var text, escapes, control int
	for _, r := range recs {
		path[r.Path]++
		agent[r.UserAgent]++
		hours[r.Time.Truncate(time.Hour)]++
		all := r.Path + r.UserAgent
		if !utf8.ValidString(all) {
			t.Fatalf("invalid UTF-8 in %q", all)
		}
		if strings.ContainsFunc(all, func(c rune) bool { return c > 0x7f }) {
			text++
		}
		if strings.ContainsAny(all, `"\`) {
			escapes++
		}
		if strings.ContainsFunc(all, func(c rune) bool { return c < 0x20 }) {
			control++
		}
	}
	between := func(what string, got, low, high int) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s: %d, want %d to %d", what, got, low, high)
		}
	}
	between("bytes a canonical record", len(AppendNDJSON(nil, recs))/n, 172, 180)
	between("paths", len(path), 3000, 10_000)
	between("agents", len(agent), 400, 3000)
	between("hours", len(hours), 5, 5)
	between("records with non-ASCII text", text, n/150, n/70)
	between("records with quotes or backslashes", escapes, n/300, n/140)
	between("records with control characters", control, n/2000, n/700)
	most := 0
	for _, c := range path {
		most = max(most, c)
	}
	between("records of the most frequent path", most, n/50, n/5)
}

// TestEveryFormSaysTheSameRecords reads each form back with the standard library.
func TestEveryFormSaysTheSameRecords(t *testing.T) {
	recs := Records(3, 5000, 4)
	want := make([]parsed, len(recs))
	for i, r := range recs {
		want[i] = parsed{r.Time, r.Path, r.UserAgent}
	}
	for _, f := range Forms {
		body := f.Append(nil, recs)
		var got []parsed
		var err error
		switch {
		case f.ContentType == "text/csv":
			got, err = readCSV(body)
		case body[0] == '[':
			err = json.Unmarshal(body, &got)
		default:
			got, err = readObjects(body)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		for i := range got {
			got[i].Timestamp = got[i].Timestamp.UTC()
		}
		expect := want
		if f.ContentType == "text/csv" { // encoding/csv turns CRLF in a field into LF
			expect = slices.Clone(want)
			for i := range expect {
				expect[i].UserAgent = strings.ReplaceAll(expect[i].UserAgent, "\r\n", "\n")
			}
		}
		if diff := cmp.Diff(expect, got); diff != "" {
			t.Errorf("%s: %s", f.Name, diff)
		}
	}
}

func readObjects(body []byte) (got []parsed, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		var p parsed
		if err = d.Decode(&p); err == io.EOF {
			return got, nil
		} else if err != nil {
			return nil, err
		}
		got = append(got, p)
	}
}

func readCSV(body []byte) (got []parsed, err error) {
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil {
		return nil, err
	}
	at := []int{0, 1, 2}
	if slices.Contains(rows[0], "timestamp") {
		for i, name := range []string{"timestamp", "path", "userAgent"} {
			at[i] = slices.Index(rows[0], name)
		}
		rows = rows[1:]
	}
	for _, row := range rows {
		when, err := time.Parse(time.RFC3339Nano, row[at[0]])
		if err != nil {
			return nil, err
		}
		got = append(got, parsed{when, row[at[1]], row[at[2]]})
	}
	return got, nil
}

func TestBodiesHoldEveryRecordOnceInOrder(t *testing.T) {
	recs := Records(3, 1003, 1)
	f, err := FormOf("ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{1, 7, 100, 2000} {
		bodies := f.Bodies(recs, batch)
		if want := (len(recs) + batch - 1) / batch; len(bodies) != want {
			t.Errorf("batches of %d: %d bodies, want %d", batch, len(bodies), want)
		}
		if !bytes.Equal(bytes.Join(bodies, nil), f.Append(nil, recs)) {
			t.Errorf("batches of %d: the bodies together are not the records", batch)
		}
	}
}

func TestTheRealAccessLogIsReadWhole(t *testing.T) {
	recs, err := OpenAccessLog("../testdata/access.log.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(recs) != 10_000 {
		t.Fatalf("%d records, want 10000", len(recs))
	}
	want := Record{
		Time:      time.Date(2015, 5, 17, 10, 5, 3, 0, time.UTC),
		Path:      "/presentations/logstash-monitorama-2013/images/kibana-search.png",
		UserAgent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
	}
	if diff := cmp.Diff(want, recs[0]); diff != "" {
		t.Error(diff)
	}
}

func TestALineThatIsNoAccessLogIsAnErrorThatNamesIt(t *testing.T) {
	for _, line := range []string{"nothing", `1.2.3.4 - - [when] "GET / HTTP/1.1" 200 1 "-" "curl"`, `1.2.3.4 - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-"`} {
		if _, err := ReadAccessLog(strings.NewReader(line)); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: error %v, want one that names line 1", line, err)
		}
	}
}
