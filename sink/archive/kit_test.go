package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/minio-go/v7"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/archive/archivetest"
	"logforge/sink/hourly"
)

func TestMain(m *testing.M) { os.Exit(archivetest.Main(m)) }

const patience = 30 * time.Second

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// node is one logs directory, its files, and its archive.
type node struct {
	t       testing.TB
	dir     string
	cfg     config.Archive
	files   *hourly.Files
	archive *Archive
	stop    func()
	log     *syncBuffer
	wrote   []string // every line that was stored, in no order
	set     *metrics.Set
	slow    time.Duration // after which an S3 request is given up; 0: as it is

	storageChange func(*config.Storage) // nil: as by default
}

// newNode opens a logs directory. Its archive is quick, and has no destination
// yet.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), cfg: config.Default().Archive, log: &syncBuffer{}}
	n.cfg.After = 30 * time.Millisecond
	n.cfg.Postgres.Interval = 20 * time.Millisecond
	n.open()
	t.Cleanup(func() {
		n.halt()
		_ = n.files.Close()
		if t.Failed() {
			text := n.log.String()
			if n.archive == nil {
				return
			}
			for _, f := range n.archive.followers {
				for h, p := range f.hours {
					t.Logf("%s: %v: %+v", f.dest.Name(), h, *p)
				}
			}
			t.Logf("the log, its end:\n%s", text[max(0, len(text)-6000):])
		}
	})
	return n
}

func (n *node) storage() config.Storage {
	st := config.Default().Storage
	st.LogsDir, st.AnalyticsDir = filepath.Join(n.dir, "logs"), filepath.Join(n.dir, "analytics")
	if n.storageChange != nil {
		n.storageChange(&st)
	}
	return st
}

func (n *node) logger() *slog.Logger { return slog.New(slog.NewTextHandler(n.log, nil)) }

func (n *node) open() {
	n.t.Helper()
	files, err := hourly.Open(n.storage(), sink.Written, n.logger(), metrics.NewSet())
	if err != nil {
		n.t.Fatal(err)
	}
	n.files = files
}

// toBucket makes a bucket of s the destination.
func (n *node) toBucket(endpoint, bucket string) {
	n.cfg.S3.Endpoint, n.cfg.S3.Bucket = endpoint, bucket
	n.cfg.S3.AccessKey, n.cfg.S3.SecretKey = archivetest.AccessKey, archivetest.SecretKey
}

// start starts the archive.
func (n *node) start() {
	n.t.Helper()
	n.set = metrics.NewSet()
	a, err := New(n.cfg, n.storage(), n.files, n.logger(), n.set)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, f := range a.followers {
		f.shortest, f.longest = 5*time.Millisecond, 50*time.Millisecond
		if s, ok := f.dest.(*s3); ok && n.slow > 0 {
			s.transport.ResponseHeaderTimeout = n.slow
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.Run(ctx) // never an error
	}()
	n.archive = a
	n.stop = func() { cancel(); <-ended }
}

// setRecheck changes how often the destination is asked again what it has.
func (f *follower) setRecheck(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recheck = d
}

func (n *node) halt() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// restart ends the archive and the files as a crash would, but for what the
// operating system keeps, and starts them again.
func (n *node) restart() {
	n.t.Helper()
	n.halt()
	if err := n.files.Close(); err != nil {
		n.t.Fatal(err)
	}
	n.open()
	n.start()
}

func line(hour, i int, more string) string {
	return fmt.Sprintf(`{"timestamp":"2026-02-09T%02d:%02d:%02dZ","path":"/p%d","userAgent":"Mozilla/5.0"%s}`, hour, i/60%60, i%60, i, more)
}

// write stores lines, which must be canonical.
func (n *node) write(lines ...string) {
	n.t.Helper()
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	b.Reset()
	b.AppendLines([]byte(strings.Join(lines, "\n")+"\n"), codec.Limits{RecordBytes: 1 << 20, Depth: 64},
		func(line []byte, e codec.RecordError) { n.t.Fatalf("%s: %+v", line, e) })
	if err := n.files.Write(context.Background(), b, sink.Written); err != nil {
		n.t.Fatal(err)
	}
	n.wrote = append(n.wrote, lines...)
}

// some writes k lines of an hour and returns them.
func (n *node) some(hour, k int) {
	n.t.Helper()
	lines := make([]string, k)
	for i := range lines {
		lines[i] = line(hour, len(n.wrote)+i, "")
	}
	n.write(lines...)
}

// eventually waits until f says true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	eventuallyIn(t, patience, what, f)
}

func eventuallyIn(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// drained waits until nothing is pending at any destination.
func (n *node) drained() {
	n.t.Helper()
	eventually(n.t, "everything is archived", func() bool {
		for _, e := range n.files.Extents() {
			if !n.archive.Covers(e) {
				return false
			}
		}
		return true
	})
}

// errorOf returns what the status of the only destination says is wrong.
// behindCable returns a node that has archived ten lines into a new database of
// db, through a cable.
func behindCable(t *testing.T, db *archivetest.Database) (n *node, url string, cable *archivetest.Cable) {
	t.Helper()
	cable = archivetest.NewCable(t, db.Addr())
	url, n = db.New(t), newNode(t)
	n.cfg.Postgres.URL = strings.Replace(url, db.Addr(), cable.Addr, 1)
	n.start()
	n.some(15, 10)
	n.drained()
	return n, url, cable
}

// inRounds archives lines of several hours, in every round also late ones of the
// first hour.
func (n *node) inRounds() {
	n.t.Helper()
	for round := range 5 {
		n.some(15, 100)
		n.some(16+round, 10)
		n.drained()
	}
}

func (n *node) errorOf() string { return n.archive.Status()[0].Error }

// objects returns the keys in a bucket below a prefix.
func objects(t testing.TB, c *minio.Client, bucket, prefix string) (keys []string) {
	t.Helper()
	for o := range c.ListObjectsIter(context.Background(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

func get(t testing.TB, c *minio.Client, bucket, key string) []byte {
	t.Helper()
	o, err := c.GetObject(context.Background(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	text, err := io.ReadAll(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// inBucket returns the lines of all objects of zst.
func inBucket(t testing.TB, c *minio.Client, bucket string) (lines []string) {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, key := range objects(t, c, bucket, "logs/") {
		text, err := d.DecodeAll(get(t, c, bucket, key), nil)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
	}
	return lines
}

// sameLines compares multisets.
func sameLines(t testing.TB, want, got []string) {
	t.Helper()
	want, got = slices.Clone(want), slices.Clone(got)
	slices.Sort(want)
	slices.Sort(got)
	if slices.Equal(want, got) {
		return
	}
	counts := map[string]int{}
	for _, l := range want {
		counts[l]--
	}
	for _, l := range got {
		counts[l]++
	}
	shown := 0
	for l, k := range counts {
		if k != 0 && shown < 5 {
			t.Errorf("%+d times: %s", k, l)
			shown++
		}
	}
	t.Fatalf("%d lines, not %d", len(got), len(want))
}

func query[T any](t testing.TB, url, sql string, args ...any) (values []T) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql, args...)
	if err == nil {
		values, err = pgx.CollectRows(rows, pgx.RowTo[T])
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return values
}

// inTable returns the records as canonical lines, made by PostgreSQL; of
// timestamps in whole seconds and paths without escapes.
func inTable(t testing.TB, url string) []string {
	t.Helper()
	return query[string](t, url, `SELECT '{"timestamp":"' || to_char(ts, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","path":"' || path || '","userAgent":"' || user_agent || '"' ||
		coalesce(',"status":' || (extra->>'status'), '') || '}' FROM logs`)
}

// noise returns a source of text that does not compress.
func noise() func(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
}
