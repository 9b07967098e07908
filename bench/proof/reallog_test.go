package proof

import (
	"fmt"
	"sync"
	"testing"

	"logforge/bench/corpus"
	"logforge/bench/wire"
)

func TestEveryRecordOfTheRealLogIsStoredOnce(t *testing.T) {
	log := realLog(t)
	for _, name := range []string{"json", "ndjson", "csv"} {
		for _, size := range []int{1, 7, 100, 1000} {
			for _, encoding := range []string{"", "gzip"} {
				t.Run(fmt.Sprintf("format=%s/batch=%d/encoding=%s", name, size, encoding), func(t *testing.T) {
					f := form(t, name)
					var reqs [][]byte
					for _, body := range f.Bodies(log, size) {
						if encoding == "gzip" {
							body = gzipped(body)
						}
						reqs = append(reqs, wire.Render("/logs", f.ContentType, encoding, body))
					}
					dir := t.TempDir()
					p := start(t, dir, freeAddr(t))
					waitReady(t, p)
					postAll(t, p.Addr, reqs)
					if err := p.Stop(patience); err != nil {
						t.Fatal(err)
					}
					judgeLog(t, dir, log)
					if err := judgeSummaries(dir); err != nil {
						t.Error(err)
					}
					recount(t, dir)
				})
			}
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

// judgeLog compares the lines below dir, as a multiset, with the records.
func judgeLog(t *testing.T, dir string, recs []corpus.Record) {
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
