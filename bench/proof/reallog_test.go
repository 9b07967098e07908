package proof

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"logforge/bench/child"
	"logforge/bench/corpus"
	"logforge/bench/wire"
	"logforge/sink/kafka/kafkatest"
)

func TestEveryRecordOfTheRealLogIsStoredOnce(t *testing.T) {
	log := realLog(t)
	for _, name := range []string{"json", "ndjson", "csv"} {
		for _, size := range []int{1, 7, 100, 1000} {
			for _, encoding := range []string{"", "gzip"} {
				t.Run(fmt.Sprintf("format=%s/batch=%d/encoding=%s", name, size, encoding), func(t *testing.T) {
					f := form(t, name)
					reqs := requests(f, log, size, encoding)
					dir := t.TempDir()
					p := start(t, dir, freeAddr(t))
					waitReady(t, p)
					postAll(t, p.Addr, reqs)
					if err := p.Stop(patience); err != nil {
						t.Fatal(err)
					}
					compareLog(t, dir, log)
					if err := compareSummaries(dir); err != nil {
						t.Error(err)
					}
					recount(t, dir)
				})
			}
		}
	}
}

func requests(f corpus.Form, log []corpus.Record, size int, encoding string) (reqs [][]byte) {
	for _, body := range f.Bodies(log, size) {
		if encoding == "gzip" {
			body = gzipped(body)
		}
		reqs = append(reqs, wire.Render("/logs", f.ContentType, encoding, body))
	}
	return reqs
}

func TestEveryRecordOfTheRealLogComesOutOfKafkaOnce(t *testing.T) {
	log := realLog(t)
	broker := kafkatest.Shared(t)
	f := func(name string, size int, encoding string) {
		t.Run(fmt.Sprintf("format=%s/batch=%d/encoding=%s", name, size, encoding), func(t *testing.T) {
			topic := broker.Topic(t, 10)
			dir := t.TempDir()
			p := start(t, dir, freeAddr(t), "-version", "2", "-brokers", broker.Addr, "-topic", topic, "-group", topic)
			waitReady(t, p)
			postAll(t, p.Addr, requests(form(t, name), log, size, encoding))
			awaitLines(t, p, dir, len(log))
			if err := p.Stop(patience); err != nil {
				t.Fatal(err)
			}
			compareLog(t, dir, log)
			if err := compareSummaries(dir); err != nil {
				t.Error(err)
			}
			recount(t, dir)
		})
	}
	f("json", 100, "")
	f("ndjson", 7, "gzip")
	f("csv", 1000, "")
}

// awaitLines waits until the hourly files have at least so many lines, whole or
// not; what an answer says of Kafka is true of the files a moment later.
func awaitLines(t *testing.T, p *child.Process, dir string, want int) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		lines := 0
		files, err := filepath.Glob(filepath.Join(dir, "logs", "[0-9]*", "[0-9]*.log.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(text, []byte("\n"))
		}
		if lines >= want {
			return
		}
		select {
		case <-tick.C:
		case <-p.Exited():
			t.Fatalf("the server ended:\n%s", p.Kill())
		case <-deadline:
			t.Fatalf("%d lines in the files, want %d; the server said:\n%s", lines, want, p.Kill())
		}
	}
}

// postAll posts every request once, by all clients together, each over its own
// connection; all must be accepted.
func postAll(t *testing.T, addr string, reqs [][]byte) {
	t.Helper()
	queue := make(chan []byte)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			conn, err := wire.Dial(addr)
			for req := range queue {
				if err != nil {
					continue // reported below; the queue is emptied all the same
				}
				var status int
				var answer []byte
				if status, answer, err = conn.Do(req, patience); err == nil && status != 202 {
					err = fmt.Errorf("answered %d: %s", status, answer)
				}
			}
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		})
	}
	for _, req := range reqs {
		queue <- req
	}
	close(queue)
	all.Wait()
}

// compareLog compares the lines below dir, as a multiset, with the records.
func compareLog(t *testing.T, dir string, recs []corpus.Record) {
	t.Helper()
	missing := map[string]int{}
	for _, r := range recs {
		missing[r.Time.Format(hourFile)+" "+string(corpus.AppendLine(nil, r))]++
	}
	lines := 0
	err := eachLine(dir, func(file, line string) error {
		lines++
		missing[file+" "+line]--
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if lines != len(recs) {
		t.Errorf("%d lines, want %d", lines, len(recs))
	}
	for line, n := range missing {
		if n != 0 {
			t.Errorf("missing %d times (negative: too many): %s", n, line)
		}
	}
}
