package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"logforge/codec"
	"logforge/sink/archive"
	"logforge/sink/durable"
	"logforge/sink/hourly"
)

// fileCheck is what is found out about a file while it is read once.
type fileCheck struct {
	hour       codec.Hour
	node       string
	generation uint64
	offset     int64 // of the next line
	records    int64
	malformed  int64
	damages    []string

	sum    *summary
	counts counts // of the lines that the summary accounts for

	open   []*partHash // those that go on at offset
	later  []*partHash // those that begin later, the next one last
	sums   map[archive.Part]string
	wanted int64 // the largest To
}

// partHash is the SHA-256 of a part's lines, so far.
type partHash struct {
	archive.Part
	hash.Hash
}

// counts is a recount.
type counts struct {
	records, malformed int64
	paths, agents      map[string]int64
}

func newFileCheck(h codec.Hour, look *hourly.Snapshot, sum *summary) *fileCheck {
	f := &fileCheck{hour: h, node: look.Node(), generation: look.Generation(h), sums: map[archive.Part]string{}}
	if sum != nil && (sum.Generation == f.generation || sum.Generation == 0) {
		f.sum = sum
	}
	f.counts.paths, f.counts.agents = map[string]int64{}, map[string]int64{}
	return f
}

// follow has the SHA-256 made of every part of this stream.
func (f *fileCheck) follow(parts []archive.Stored) {
	for _, p := range parts {
		if p.Node == f.node && p.Generation == f.generation {
			f.later = append(f.later, &partHash{p.Part, sha256.New()})
			f.wanted = max(f.wanted, p.To)
		}
	}
	slices.SortFunc(f.later, func(a, b *partHash) int { return cmp.Compare(b.From, a.From) })
}

// expected is how far the file goes at least.
func (f *fileCheck) expected() int64 {
	if f.sum != nil {
		return max(f.wanted, f.sum.Offset)
	}
	return f.wanted
}

// maxDamages is how many lines of a file are named.
const maxDamages = 5

func (f *fileCheck) line(line []byte) error {
	for len(f.later) > 0 && f.later[len(f.later)-1].From <= f.offset {
		p := f.later[len(f.later)-1]
		f.later = f.later[:len(f.later)-1]
		if p.From < f.offset {
			f.bad("a part that begins at byte %d begins within a line", p.From)
			continue
		}
		f.open = append(f.open, p)
	}
	ok := f.record(line)
	if f.sum != nil && f.offset < f.sum.Offset {
		f.tally(line, ok)
	}
	f.offset += int64(len(line))
	for i := len(f.open) - 1; i >= 0; i-- {
		p := f.open[i]
		p.Write(line)
		if p.To <= f.offset {
			if p.To == f.offset {
				f.sums[p.Part] = hex.EncodeToString(p.Sum(nil))
			} else {
				f.bad("a part that ends at byte %d ends within a line", p.To)
			}
			f.open = append(f.open[:i], f.open[i+1:]...)
		}
	}
	return nil
}

func (f *fileCheck) bad(format string, args ...any) {
	if len(f.damages) < maxDamages {
		f.damages = append(f.damages, fmt.Sprintf(format, args...))
	}
}

// record checks a line.
func (f *fileCheck) record(line []byte) bool {
	var l codec.Line
	n := l.Split(line)
	switch {
	case n != len(line) || n == 0 || !l.Valid():
		f.malformed++
		f.bad("the line at byte %d is not canonical: %.100q", f.offset, line)
	case line[n-1] != '\n':
		f.malformed++
		f.bad("the line at byte %d has no end", f.offset)
	case string(l.Timestamp[:len("2026-02-09T15")]) != f.hour.String():
		f.malformed++
		f.bad("the record at byte %d is of another hour: %s", f.offset, l.Timestamp)
	default:
		f.records++
		return true
	}
	return false
}

// tally counts a line as the summary does.
func (f *fileCheck) tally(line []byte, ok bool) {
	if !ok {
		if len(bytes.TrimSpace(line)) > 0 {
			f.counts.malformed++
		}
		return
	}
	var l codec.Line
	l.Split(line)
	f.counts.records++
	f.counts.paths[string(l.Path)]++
	f.counts.agents[string(l.UserAgent)]++
}

// compare compares the recount with the summary, and returns the state of the
// summary and what is wrong with it.
func (f *fileCheck) compare(sum *summary) (state, damage string) {
	switch {
	case f.sum == nil:
		return "of an earlier file", ""
	case f.offset < sum.Offset:
		return "damaged", fmt.Sprintf("accounts for %d bytes, and the file has %d", sum.Offset, f.offset)
	}
	for _, c := range []struct {
		name           string
		total, earlier int64
		recount        int64
	}{
		{"records", sum.Records, sum.Earlier.Records, f.counts.records},
		{"malformed lines", sum.Malformed, sum.Earlier.Malformed, f.counts.malformed},
	} {
		if got := c.total - c.earlier; got != c.recount {
			return "damaged", fmt.Sprintf("counts %d %s, and the file has %d", got, c.name, c.recount)
		}
	}
	for _, m := range []struct {
		name                    string
		total, earlier, recount map[string]int64
	}{
		{"requestsPerPath", sum.Paths, sum.Earlier.Paths, f.counts.paths},
		{"requestsPerUserAgent", sum.Agents, sum.Earlier.Agents, f.counts.agents},
	} {
		if d := compareCounts(m.total, m.earlier, m.recount); d != "" {
			return "damaged", m.name + ": " + d
		}
	}
	if f.offset > sum.Offset {
		return fmt.Sprintf("%d bytes behind", f.offset-sum.Offset), ""
	}
	return "agrees", ""
}

// other is the key under which a summary counts what it does not name.
const other = "(other)"

// compareCounts compares the counts of a summary, without those of earlier
// files, with a recount. Keys of the recount are escaped as they are in a line.
func compareCounts(total, earlier, recount map[string]int64) string {
	_, overflowed := total[other]
	found := 0
	for escaped, n := range recount {
		key := string(codec.Unescape(nil, []byte(escaped)))
		got, ok := total[key]
		switch {
		case key == other, !ok && overflowed:
			continue
		case !ok:
			return fmt.Sprintf("%q is missing", key)
		case got-earlier[key] != n:
			return fmt.Sprintf("%q has %d, and the file %d", key, got-earlier[key], n)
		}
		found++
	}
	var counted, want int64
	for key, n := range total {
		n -= earlier[key]
		counted += n
		if key != other && n != 0 {
			found--
		}
	}
	for _, n := range recount {
		want += n
	}
	switch {
	case found != 0:
		return "names keys that are not in the file"
	case counted != want:
		return fmt.Sprintf("the counts add up to %d, and the file has %d", counted, want)
	}
	return ""
}

// summary is a summary file.
type summary struct {
	Hour       time.Time
	Records    int64
	Malformed  int64
	Generation uint64
	Offset     int64
	Paths      map[string]int64 `json:"requestsPerPath"`
	Agents     map[string]int64 `json:"requestsPerUserAgent"`
	Earlier    struct {
		Records   int64
		Malformed int64
		Paths     map[string]int64 `json:"requestsPerPath"`
		Agents    map[string]int64 `json:"requestsPerUserAgent"`
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summaryHours returns the hours that have a summary.
func summaryHours(dir string) (hours []codec.Hour, err error) {
	const day, file = "2006-01-02", "summary_15.json"
	names, err := filepath.Glob(filepath.Join(dir, "????-??-??", "summary_??.json"))
	for _, name := range names {
		rest, base := filepath.Split(name)
		if t, err := time.Parse(day+file, filepath.Base(rest)+base); err == nil {
			hours = append(hours, codec.HourOf(t))
		}
	}
	return hours, err
}

// readSummary reads the summary of an hour and checks its checksum.
func readSummary(dir string, h codec.Hour) (*summary, error) {
	file, err := durable.OpenRegular(filepath.Join(dir, h.Time().Format("2006-01-02/summary_15.json")))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	const before = ",\n \"checksum\": \""
	if i := bytes.LastIndex(text, []byte(before)); i >= 0 {
		rest := text[i+len(before):]
		want, err := strconv.ParseUint(string(rest[:min(8, len(rest))]), 16, 32)
		if err != nil || uint32(want) != crc32.Checksum(text[:i], castagnoli) {
			return nil, errors.New("its checksum is not that of what it holds")
		}
	}
	s := new(summary)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	if codec.HourOf(s.Hour) != h {
		return nil, fmt.Errorf("it is of the hour %s", s.Hour.Format(time.RFC3339))
	}
	return s, nil
}

// digestOf reads the lines of a part, checks each, and returns what they are.
func digestOf(open func() (io.ReadCloser, error), p archive.Part) (d archive.Digest, err error) {
	sum := sha256.New()
	var last []byte
	err = archive.EachLine(open, func(line []byte) error {
		var l codec.Line
		if n := l.Split(line); n == 0 || n != len(line) || !l.Valid() {
			return fmt.Errorf("a line that is not canonical: %.100q", line)
		}
		if string(l.Timestamp[:len("2026-02-09T15")]) != p.Hour.String() {
			return fmt.Errorf("a record of another hour: %s", l.Timestamp)
		}
		sum.Write(line)
		d.Records++
		if d.First == "" {
			d.First = string(l.Timestamp)
		}
		last = append(last[:0], l.Timestamp...)
		return nil
	})
	d.SHA256, d.Last = hex.EncodeToString(sum.Sum(nil)), string(last)
	return d, err
}
