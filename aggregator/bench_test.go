package aggregator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	gojson "github.com/goccy/go-json"

	"logforge/bench/corpus"
	"logforge/codec"
)

// Records per CPU-second is the figure to compare: it counts the garbage
// collector too, and does not count what else a machine is busy with.
//
//	go test -run '^$' -bench . ./aggregator

const benchRecords = 200_000

// corpusLines returns canonical lines of one hour.
func corpusLines(n int) (codec.Hour, []byte) {
	var lines []byte
	for _, r := range corpus.Records(1, n, 1) {
		lines = append(corpus.AppendLine(lines, r), '\n')
	}
	return codec.HourOf(corpus.Start), lines
}

// cpu returns the CPU time the process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perRecord runs f, which handles records of bytes bytes together.
func perRecord(b *testing.B, records, bytes int, f func()) {
	f()
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	used := cpu(b)
	b.ResetTimer()
	for b.Loop() {
		f()
	}
	used = cpu(b) - used
	b.ReportMetric(float64(b.N)*float64(records)/used.Seconds(), "records/cpu-s")
}

// keyCounts counts the obvious way.
type keyCounts struct{ paths, agents map[string]uint64 }

func newKeyCounts() keyCounts { return keyCounts{map[string]uint64{}, map[string]uint64{}} }

func (k keyCounts) count(line []byte, unmarshal func([]byte, any) error) error {
	var r struct {
		Timestamp string `json:"timestamp"`
		Path      string `json:"path"`
		UserAgent string `json:"userAgent"`
	}
	if err := unmarshal(line, &r); err != nil {
		return err
	}
	k.paths[r.Path]++
	k.agents[r.UserAgent]++
	return nil
}

var baselines = []struct {
	name      string
	unmarshal func([]byte, any) error
}{
	{"goccy+map", gojson.Unmarshal},
	{"encoding-json+map", json.Unmarshal},
}

// onDisk makes a sync what it writes.
func onDisk(a *Aggregator) { a.dir.dir, a.dir.wrap = a.dir.locked, nil }

// BenchmarkCount counts lines that are in memory, all of whose keys have been
// seen.
func BenchmarkCount(b *testing.B) {
	hour, lines := corpusLines(benchRecords)
	b.Run("impl=aggregator", func(b *testing.B) {
		t := newTally(100_000)
		perRecord(b, benchRecords, len(lines), func() { t.count(lines, hour) })
	})
	for _, base := range baselines {
		b.Run("impl="+base.name, func(b *testing.B) {
			k := newKeyCounts()
			perRecord(b, benchRecords, len(lines), func() {
				for line := range bytes.Lines(lines) {
					if err := k.count(line, base.unmarshal); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// BenchmarkHour summarises the file of one hour from its beginning: it is
// opened, read and counted, and the summary written, synced and renamed.
func BenchmarkHour(b *testing.B) {
	for _, records := range []int{benchRecords, 10 * benchRecords} {
		s := newStore(b)
		hour, lines := corpusLines(records)
		s.append(hour, string(lines))
		run := func(impl string, f func()) {
			b.Run(fmt.Sprintf("records=%d/impl=%s", records, impl), func(b *testing.B) {
				perRecord(b, records, len(lines), f)
			})
		}
		a := s.aggregator(100_000)
		onDisk(a)
		run("aggregator", func() {
			clear(a.seen)
			a.counts.valid = false
			if err := os.Remove(s.summary(hour)); err != nil && !os.IsNotExist(err) {
				b.Fatal(err)
			}
			s.pass(a)
			if a.counts.total.records != uint64(records) || a.counts.total.malformed != 0 {
				b.Fatalf("%d records, %d malformed of %d", a.counts.total.records, a.counts.total.malformed, records)
			}
		})
		for _, base := range baselines {
			run(base.name, func() { summariseWithMap(b, s, hour, base.unmarshal) })
		}
		run("read-only", func() { readOnly(b, s.path(hour)) })
	}
}

func summariseWithMap(b *testing.B, s *store, hour codec.Hour, unmarshal func([]byte, any) error) {
	file, err := os.Open(s.path(hour))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	k, in := newKeyCounts(), bufio.NewScanner(file)
	for in.Scan() {
		if err := k.count(in.Bytes(), unmarshal); err != nil {
			b.Fatal(err)
		}
	}
	text, err := json.Marshal([]any{hour, k.paths, k.agents})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.cfg.LogsDir, "baseline"), text, 0o644); err != nil {
		b.Fatal(err)
	}
}

// readOnly is the upper bound: the file's bytes are only copied out of the page
// cache.
func readOnly(b *testing.B, name string) {
	file, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	buf := make([]byte, readSize)
	for {
		if n, _ := file.Read(buf); n == 0 {
			return
		}
	}
}

// BenchmarkManyKeys is an hour whose every path is another one, so that most
// of them are counted under (other).
func BenchmarkManyKeys(b *testing.B) {
	var lines []byte
	for i := range benchRecords {
		lines = append(lines, line(testHour, 1, fmt.Sprintf("/item/%d?session=%x", i, i*7919), fmt.Sprintf("agent/%d", i%600))...)
	}
	t := newTally(100_000)
	perRecord(b, benchRecords, len(lines), func() { t.count(lines, testHour) })
}

// BenchmarkPass is one pass over 10,000 hours that have summaries: none has
// grown since the last one, or since before a restart, or one has grown.
func BenchmarkPass(b *testing.B) {
	const hours = 10_000
	s := newStore(b)
	for h := testHour; h < testHour+hours; h++ {
		s.append(h, line(h, 1, "/a", "x"))
	}
	a := s.aggregator(100_000)
	s.pass(a)
	onDisk(a)
	b.Run("unchanged/hours=10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.pass(a)
		}
	})
	b.Run("grown=1/hours=10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.append(testHour, line(testHour, 1, "/a", "x"))
			s.pass(a)
		}
	})
	b.Run("restarted/hours=10000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(a.seen)
			a.counts.valid = false
			s.pass(a)
		}
	})
}

// BenchmarkAnswer is GET /analytics over summaries of some thousand keys.
func BenchmarkAnswer(b *testing.B) {
	const hours = 24
	s := newStore(b)
	for h := range codec.Hour(hours) {
		hour, lines := corpusLines(10_000)
		s.append(hour+h, string(bytes.ReplaceAll(lines, []byte(hour.String()), []byte((hour+h).String()))))
	}
	a := s.aggregator(100_000)
	s.pass(a)
	for _, top := range []int{0, 10} {
		var dst []byte
		b.Run(fmt.Sprintf("hours=1/top=%d", top), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = a.AppendHour(b.Context(), dst[:0], testHour, top)
			}
			b.SetBytes(int64(len(dst)))
		})
		b.Run(fmt.Sprintf("hours=24/top=%d", top), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = a.AppendRange(b.Context(), dst[:0], testHour, testHour+hours-1, top, top)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
