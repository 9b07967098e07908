package proof

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/minio-go/v7"

	"logforge/bench/child"
	"logforge/sink/archive/archivetest"
)

// archives are the destinations of a test, with everything between them and the
// servers that can go wrong.
type archives struct {
	s3     *archivetest.S3
	proxy  *archivetest.Proxy
	bucket string
	db     *archivetest.Database
	cable  *archivetest.Cable
	url    string
}

func newArchives(t *testing.T) *archives {
	a := &archives{s3: archivetest.S3Server(t), db: archivetest.PostgreSQL(t)}
	a.proxy, a.bucket = archivetest.NewProxy(t, a.s3), a.s3.Bucket(t)
	a.cable, a.url = archivetest.NewCable(t, a.db.Addr()), a.db.New(t)
	return a
}

// config writes a configuration whose archive is quick, and returns its file.
func (a *archives) config(t *testing.T, dir, more string) string {
	t.Helper()
	file := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("archive:\n  after: 30ms\n  partBytes: 64KiB\n  s3: {endpoint: %q, bucket: %q, accessKey: %s, secretKey: %s}\n  postgres: {url: %q, interval: 20ms}\n%s",
		a.proxy.Endpoint(), a.bucket, archivetest.AccessKey, archivetest.SecretKey, strings.Replace(a.url, a.db.Addr(), a.cable.Addr, 1), more)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// mischief makes requests fail in every way, and calls kill at one of the steps
// of a part: before an object is stored, after it is stored and before the
// answer, or when the database is told something.
func (a *archives) mischief(r *rand.Rand, kill func()) {
	var once sync.Once
	at, n := r.IntN(12), 0
	before := r.IntN(2) == 0
	bad := []archivetest.Action{archivetest.Refuse, archivetest.StoreAnd500, archivetest.StoreAndDisconnect, archivetest.Disconnect}
	a.proxy.Decide(func(req *http.Request) archivetest.Action {
		if req.Method == http.MethodPut {
			if n++; n == at {
				if before {
					once.Do(kill)
					return archivetest.Pass // stored by a client that is dead already
				}
				defer once.Do(kill)
				return archivetest.StoreAndDisconnect
			}
		}
		if r.IntN(4) == 0 {
			return bad[r.IntN(len(bad))]
		}
		return archivetest.Pass
	})
	word := []string{"INSERT INTO", "COPY", "UPDATE", "commit"}[r.IntN(4)]
	after := r.IntN(20)
	deadly := r.IntN(2) == 0
	a.cable.DisconnectAfter(func(sent []byte) bool {
		if !bytes.Contains(sent, []byte(word)) {
			return false
		}
		if after--; after > 0 {
			return false
		}
		if deadly {
			once.Do(kill)
		}
		return true
	})
}

func (a *archives) calm() {
	a.proxy.Decide(nil)
	a.cable.DisconnectAfter(nil)
}

// inBucket calls f with every line in the bucket.
func (a *archives) inBucket(t *testing.T, f func(line string)) {
	t.Helper()
	c := a.s3.Client(t)
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for o := range c.ListObjectsIter(context.Background(), a.bucket, minio.ListObjectsOptions{Prefix: "logs/", Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		object, err := c.GetObject(context.Background(), a.bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		packed, err := io.ReadAll(object)
		_ = object.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, err := d.DecodeAll(packed, nil)
		if err != nil {
			t.Fatalf("%s: %v", o.Key, err)
		}
		for line := range strings.Lines(string(text)) {
			f(strings.TrimSuffix(line, "\n"))
		}
	}
}

// inTable calls f with every path in the table.
func (a *archives) inTable(t *testing.T, f func(path string)) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, a.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT path FROM logs")
	if err != nil {
		t.Fatal(err)
	}
	var path string
	if _, err := pgx.ForEachRow(rows, []any{&path}, func() error { f(path); return nil }); err != nil {
		t.Fatal(err)
	}
}

// drained waits until a server's metrics say that nothing is pending.
func drained(t *testing.T, p *child.Process) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		pending, err := pendingBytes(p.Addr)
		if err == nil && pending == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are still pending, %v:\n%s", pending, err, tail(p.Kill()))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-5000):] }

func pendingBytes(addr string) (sum int64, err error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	found := 0
	for l := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		if strings.HasPrefix(name, "logforge_archive_pending_bytes{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			found++
			sum += int64(n)
		}
	}
	if found != 2 {
		return 0, errors.New("not both destinations are in the metrics")
	}
	return sum, nil
}

// compare compares the destinations with what the oracle knows: every record that
// was acknowledged is there once, none that was refused is, and nothing twice.
// It returns how many records each of them has.
func (a *archives) compare(t *testing.T, o *oracle) (records int) {
	t.Helper()
	f := func(name string, each func(*testing.T, func(string)), idOf func(string) (int, error)) map[int]bool {
		times := map[int]int{}
		each(t, func(s string) {
			id, err := idOf(s)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			times[id]++
		})
		there := map[int]bool{}
		for id, n := range times {
			there[id] = true
			if n != 1 {
				t.Errorf("%s has record %d %d times", name, id, n)
			}
		}
		var acknowledgedRecords int
		for _, b := range o.batches {
			for id := b.first; id < b.first+b.n; id++ {
				switch {
				case b.state == acknowledged && !there[id]:
					t.Fatalf("%s lacks record %d, which was acknowledged", name, id)
				case b.state == refused && there[id]:
					t.Fatalf("%s has record %d, which was refused", name, id)
				}
			}
			if b.state == acknowledged {
				acknowledgedRecords += b.n
			}
		}
		t.Logf("%s has %d records, %d of them acknowledged", name, len(times), acknowledgedRecords)
		return there
	}
	bucket := f("the bucket", a.inBucket, idOf)
	table := f("the table", a.inTable, func(path string) (int, error) { return idOf(`{"path":` + strconv.Quote(path) + `}`) })
	if len(bucket) != len(table) {
		t.Errorf("the bucket has %d records, the table %d", len(bucket), len(table))
	}
	return len(bucket)
}

// emptied waits until no hour has a file of that pattern any more.
func emptied(t *testing.T, p *child.Process, dir, pattern string) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "logs", "????-??-??", pattern))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q are still there:\n%s", files, tail(p.Kill()))
		}
	}
}

// summarised returns how many records the summaries count.
func summarised(t *testing.T, dir string) (records int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "analytics", "????-??-??", "summary_??.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		var summary struct{ Records, Malformed int }
		text, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &summary)
		}
		if err != nil || summary.Malformed != 0 {
			t.Fatalf("%s: %v, %d lines that are no records", name, err, summary.Malformed)
		}
		records += summary.Records
	}
	return records
}
