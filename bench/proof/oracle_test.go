package proof

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"logforge/bench/corpus"
)

// state is what a client knows of a batch.
type state string

const (
	acknowledged state = "acknowledged"
	refused      state = "refused"
	unknown      state = "unknown"
)

// batch is the records first … first+n-1.
type batch struct {
	first, n int
	state    state
}

// oracle knows every batch that was sent. Records have numbers, in the order in
// which batches were made; a record's number says all of its contents.
type oracle struct {
	log []corpus.Record

	mu      sync.Mutex
	batches []batch // in the order of their records
}

// record returns record number id: a line of the log with the number in its path.
func (o *oracle) record(id int) corpus.Record {
	r := o.log[id%len(o.log)]
	r.Path += "?id=" + strconv.Itoa(id)
	return r
}

// draw makes the next batch. Until set says otherwise its state is unknown.
func (o *oracle) draw(n int) (number int, recs []corpus.Record) {
	o.mu.Lock()
	first := 0
	if last := len(o.batches) - 1; last >= 0 {
		first = o.batches[last].first + o.batches[last].n
	}
	number = len(o.batches)
	o.batches = append(o.batches, batch{first, n, unknown})
	o.mu.Unlock()
	for id := first; id < first+n; id++ {
		recs = append(recs, o.record(id))
	}
	return number, recs
}

func (o *oracle) set(number int, s state) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.batches[number].state = s
}

// tally is how many batches there are of each state, and how those of unknown
// state were found.
type tally struct{ acknowledged, refused, whole, none, partial int }

// compare compares what is stored below dir with what the oracle knows.
func (o *oracle) compare(dir string) (tally, error) {
	var records int
	for _, b := range o.batches {
		records += b.n
	}
	times := make([]int, records)
	err := eachLine(dir, func(_, line string) error {
		id, err := idOf(line)
		if err != nil {
			return err
		}
		if id >= records || line != string(corpus.AppendLine(nil, o.record(id))) {
			return fmt.Errorf("no such record was sent: %s", line)
		}
		times[id]++
		return nil
	})
	if err != nil {
		return tally{}, err
	}
	var t tally
	for _, b := range o.batches {
		if err := o.compareBatch(b, times[b.first:b.first+b.n], &t); err != nil {
			return t, fmt.Errorf("batch of records %d to %d, %s: %w", b.first, b.first+b.n-1, b.state, err)
		}
	}
	return t, nil
}

func (o *oracle) compareBatch(b batch, times []int, t *tally) error {
	stored := 0
	cut := map[time.Time]bool{} // hours of which a record is missing
	for i, n := range times {
		hour := o.record(b.first + i).Time.Truncate(time.Hour)
		switch {
		case n > 1:
			return fmt.Errorf("record %d is stored %d times", b.first+i, n)
		case n == 1 && cut[hour]:
			return fmt.Errorf("record %d is stored, an earlier one of its hour is not", b.first+i)
		case n == 0:
			cut[hour] = true
		}
		stored += n
	}
	switch b.state {
	case acknowledged:
		t.acknowledged++
		if stored != b.n {
			return fmt.Errorf("%d of %d records are missing", b.n-stored, b.n)
		}
	case refused:
		t.refused++
		if stored != 0 {
			return fmt.Errorf("%d of %d records are stored", stored, b.n)
		}
	case unknown:
		switch stored {
		case b.n:
			t.whole++
		case 0:
			t.none++
		default:
			t.partial++
		}
	}
	return nil
}

// write writes the batches for recount.py: first record, records, state.
func (o *oracle) write(file string) error {
	var text bytes.Buffer
	for _, b := range o.batches {
		fmt.Fprintf(&text, "%d\t%d\t%s\n", b.first, b.n, b.state)
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// idOf returns the number in the path of a stored line, which must be valid JSON.
func idOf(line string) (int, error) {
	var r struct{ Path string }
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return 0, fmt.Errorf("torn line %q: %w", line, err)
	}
	_, id, ok := strings.Cut(r.Path[max(0, strings.LastIndexByte(r.Path, '?')):], "?id=")
	n, err := strconv.Atoi(id)
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("no such record was sent: %s", line)
	}
	return n, nil
}

// hourFile is the layout of an hourly file's name below the logs directory.
const hourFile = "2006-01-02/15.log.json"

// eachLine calls f with every line of every hourly file below dir/logs, compressed
// or not, without its line end. A last line without one is an error.
func eachLine(dir string, f func(file, line string) error) error {
	logs := filepath.Join(dir, "logs")
	return filepath.WalkDir(logs, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		rel, err := filepath.Rel(logs, name)
		if err != nil {
			return err
		}
		in, err := os.Open(name)
		if err != nil {
			return err
		}
		defer in.Close() //nolint:errcheck // only read
		r := bufio.NewReaderSize(in, 1<<20)
		if plain, ok := strings.CutSuffix(rel, ".zst"); ok {
			z, err := zstd.NewReader(in)
			if err != nil {
				return err
			}
			defer z.Close()
			rel = plain
			r.Reset(z)
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				if line != "" {
					err = fmt.Errorf("%s ends within a line: %q", rel, line)
				} else {
					err = nil
				}
				return err
			}
			if err := f(rel, strings.TrimSuffix(line, "\n")); err != nil {
				return fmt.Errorf("%s: %w", rel, err)
			}
		}
	})
}

// summary is what a summary file says, as far as the contract goes.
type summary struct {
	Hour                 time.Time
	Records              int64
	RequestsPerPath      map[string]int64
	RequestsPerUserAgent map[string]int64
}

// compareSummaries recounts every hourly file below dir and compares it with its
// summary. Both directories must hold the same hours.
func compareSummaries(dir string) error {
	want := map[time.Time]*summary{}
	err := eachLine(dir, func(file, line string) error {
		hour, err := time.Parse(hourFile, filepath.ToSlash(file))
		if err != nil {
			return err
		}
		var r struct {
			Timestamp       time.Time
			Path, UserAgent string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return err
		}
		if !r.Timestamp.Truncate(time.Hour).Equal(hour) {
			return fmt.Errorf("a record of another hour: %s", line)
		}
		s := want[hour]
		if s == nil {
			s = &summary{Hour: hour, RequestsPerPath: map[string]int64{}, RequestsPerUserAgent: map[string]int64{}}
			want[hour] = s
		}
		s.Records++
		s.RequestsPerPath[r.Path]++
		s.RequestsPerUserAgent[r.UserAgent]++
		return nil
	})
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "analytics", "*", "summary_*.json"))
	if err != nil {
		return err
	}
	if len(files) != len(want) {
		err = fmt.Errorf("%d summaries of %d hours", len(files), len(want))
	}
	for hour, w := range want {
		err = errors.Join(err, compareSummary(filepath.Join(dir, "analytics", hour.Format("2006-01-02/summary_15.json")), w))
	}
	return err
}

func compareSummary(file string, want *summary) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var got summary
	if err := json.Unmarshal(text, &got); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if diff := cmp.Diff(*want, got); diff != "" {
		return fmt.Errorf("%s differs from a recount (-recount +summary):\n%s", file, diff)
	}
	return nil
}
