package audit

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"logforge/codec"
	"logforge/sink/archive"
	"logforge/sink/archive/archivetest"
)

func TestMain(m *testing.M) { os.Exit(archivetest.Main(m)) }

func TestVerify_WhatIsWholeIsSaidToBeWhole(t *testing.T) {
	for _, format := range []string{"ndjson.zst", "parquet"} {
		w := newWorld(t)
		w.toBucket(format)
		w.cfg.Archive.Postgres.URL = archivetest.PostgreSQL(t).New(t)
		w.some(15)
		w.some(16)
		w.settle()
		w.whole(true)
		w.some(15) // behind, and no damage
		w.whole(true)
		w.settle()
		// A file that was removed, and one that begins anew.
		if err := os.Remove(filepath.Join(w.cfg.Storage.LogsDir, "2026-02-09/15.log.json")); err != nil {
			t.Fatal(err)
		}
		w.some(15)
		w.settle()
		w.whole(true)
		if out, _ := w.verify(true); !strings.Contains(out, "2026-02-09T15") || !strings.Contains(out, "agrees") {
			t.Error(out)
		}
	}
}

// Ensure that an hour whose file was removed is named, with what is left of it,
// and is no damage.
func TestVerify_SaysWhichHoursHaveNoFileAnyMore(t *testing.T) {
	w := newWorld(t)
	w.toBucket("ndjson.zst")
	w.some(14)
	w.some(15)
	w.settle()
	retention, stop := context.WithCancel(t.Context())
	w.retain(retention)
	for deadline := time.Now().Add(30 * time.Second); len(w.files.Extents()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the hours are not removed")
		}
	}
	stop()
	for _, archived := range []bool{false, true} {
		out, err := w.verify(archived)
		if err != nil || strings.Count(out, "counts 400, file removed") != 2 || !strings.Contains(out, "2 hours, 2 of them without a file, 0 records in the files, 0 damaged") || strings.Contains(out, "of 400 records") {
			t.Errorf("%v\n%s", err, out)
		}
	}
	// What a rule of the bucket has removed.
	c := w.s3.Client(t)
	for o := range c.ListObjectsIter(t.Context(), w.cfg.Archive.S3.Bucket, minio.ListObjectsOptions{Prefix: "logs/date=2026-02-09/hour=14/", Recursive: true}) {
		if err := c.RemoveObject(t.Context(), w.cfg.Archive.S3.Bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := w.verify(true); err != nil || !strings.Contains(out, "0 parts, 0 of 400 records") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestVerify_NamesWhatIsDamaged(t *testing.T) {
	edit := func(w *world, name string, f func([]byte) []byte) {
		t.Helper()
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, f(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fresh := func() (*world, string, string) {
		w := newWorld(t)
		w.some(15)
		w.settle()
		w.whole(false)
		return w, filepath.Join(w.cfg.Storage.LogsDir, "2026-02-09/15.log.json"), filepath.Join(w.cfg.Storage.AnalyticsDir, "2026-02-09/summary_15.json")
	}
	w, file, _ := fresh()
	edit(w, file, func(b []byte) []byte { b[len(b)/2] = 0; return b })
	w.damaged(false, "DAMAGED 2026-02-09T15", "not canonical")

	w, file, _ = fresh()
	edit(w, file, func(b []byte) []byte { return bytes.Replace(b, []byte("T15:"), []byte("T14:"), 1) })
	w.damaged(false, "of another hour")

	w, file, _ = fresh()
	edit(w, file, func(b []byte) []byte { return bytes.Replace(b, []byte("/p17"), []byte("/q17"), 1) })
	w.damaged(false, "summary: requestsPerPath", "/q17")

	w, _, sum := fresh()
	edit(w, sum, func(b []byte) []byte { return bytes.Replace(b, []byte(`"records": 400`), []byte(`"records": 401`), 1) })
	w.damaged(false, "checksum")

	w, file, _ = fresh()
	edit(w, file, func(b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] })
	w.damaged(false, "accounts for")
}

func TestVerify_NamesWhatIsDamagedInTheBucket(t *testing.T) {
	f := func(breakIt func(w *world, c *minio.Client, keys []string), says ...string) {
		t.Helper()
		w := newWorld(t)
		w.toBucket("ndjson.zst")
		w.some(15)
		w.settle()
		w.whole(true)
		c := w.s3.Client(t)
		var keys []string
		for o := range c.ListObjectsIter(context.Background(), w.cfg.Archive.S3.Bucket, minio.ListObjectsOptions{Prefix: "logs/", Recursive: true}) {
			keys = append(keys, o.Key)
		}
		breakIt(w, c, keys)
		w.damaged(true, says...)
	}
	ctx := context.Background()
	f(func(w *world, c *minio.Client, keys []string) {
		if err := c.RemoveObject(ctx, w.cfg.Archive.S3.Bucket, keys[1], minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}, "are missing")
	f(func(w *world, c *minio.Client, keys []string) {
		if _, err := c.PutObject(ctx, w.cfg.Archive.S3.Bucket, keys[1], strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}, "does not say what it holds", "cannot be read")
	f(func(w *world, c *minio.Client, keys []string) {
		if _, err := c.CopyObject(ctx, minio.CopyDestOptions{Bucket: w.cfg.Archive.S3.Bucket, Object: keys[1]}, minio.CopySrcOptions{Bucket: w.cfg.Archive.S3.Bucket, Object: keys[0]}); err != nil {
			t.Fatal(err)
		}
	}, "is not what bytes")
}

func TestVerify_NamesWhatIsDamagedInTheDatabase(t *testing.T) {
	db := archivetest.PostgreSQL(t)
	f := func(sql string, says ...string) {
		t.Helper()
		w := newWorld(t)
		w.cfg.Archive.Postgres.URL = db.New(t)
		w.some(15)
		w.settle()
		w.whole(true)
		db.Exec(t, w.cfg.Archive.Postgres.URL, sql)
		w.damaged(true, says...)
	}
	f(`DELETE FROM logs WHERE path = '/p17'`, "has 399 records, and its parts have 400")
	f(`INSERT INTO logs SELECT * FROM logs WHERE path = '/p17'`, "has 401 records")
	f(`DELETE FROM logforge_parts WHERE "from" = 0`, "are missing")
	f(`UPDATE logforge_parts SET sha256 = 'x' WHERE "from" = 0`, "is not what bytes")
}

// Ensure that each record comes out once, from the files and from the archive.
func TestExport_EachRecordOnceInEveryFormat(t *testing.T) {
	w := newWorld(t)
	w.toBucket("parquet")
	w.some(14)
	w.some(15)
	w.settle()
	// One hour is only in the archive, one is in both, one in the files.
	if err := os.Remove(filepath.Join(w.cfg.Storage.LogsDir, "2026-02-09/14.log.json")); err != nil {
		t.Fatal(err)
	}
	w.some(16)
	out := filepath.Join(t.TempDir(), "out")
	export := func(format string) {
		t.Helper()
		n, err := Export(context.Background(), &w.cfg, archive.First, archive.Last, format, out+"."+format, nil, slog.New(slog.DiscardHandler))
		if err != nil || n != int64(len(w.wrote)) {
			t.Fatalf("%s: %d records of %d, %v", format, n, len(w.wrote), err)
		}
	}
	for _, f := range Formats {
		export(f)
	}
	text, err := os.ReadFile(out + ".ndjson")
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), slices.Clone(w.wrote)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines that are not the %d that were written", len(got), len(want))
	}
	const columns = `SELECT epoch_ns(timestamp::TIMESTAMP_NS), path, userAgent, extra FROM %s ORDER BY ALL`
	fromParquet := archivetest.DuckDB(t, fmt.Sprintf(columns, "'"+out+".parquet'"))
	fromCSV := archivetest.DuckDB(t, fmt.Sprintf(columns, "read_csv('"+out+".csv', header = true, quote = '\"', escape = '\"', columns = {timestamp: 'TIMESTAMP_NS', path: 'VARCHAR', userAgent: 'VARCHAR', extra: 'VARCHAR'})"))
	if len(fromParquet) != len(w.wrote) || !slices.Equal(fromParquet, fromCSV) {
		t.Errorf("%d rows of Parquet, %d of CSV; %q, %q", len(fromParquet), len(fromCSV), fromParquet[:1], fromCSV[:1])
	}
	// A range.
	var stdout bytes.Buffer
	h := codec.HourOf(time.Date(2026, 2, 9, 14, 0, 0, 0, time.UTC))
	if n, err := Export(context.Background(), &w.cfg, h, h, "ndjson", "-", &stdout, slog.New(slog.DiscardHandler)); n != 400 || err != nil || strings.Count(stdout.String(), "T14:") != 400 {
		t.Errorf("%d records, %v", n, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

func TestExport_FromTheDatabaseWhereOnlyItHasAnHour(t *testing.T) {
	w := newWorld(t)
	w.cfg.Archive.Postgres.URL = archivetest.PostgreSQL(t).New(t)
	w.some(15)
	w.settle()
	if err := os.RemoveAll(filepath.Join(w.cfg.Storage.LogsDir, "2026-02-09")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := Export(context.Background(), &w.cfg, archive.First, archive.Last, "ndjson", "-", &out, slog.New(slog.DiscardHandler))
	if n != 400 || err != nil {
		t.Fatalf("%d records, %v", n, err)
	}
	var l codec.Line
	for line := range strings.Lines(out.String()) {
		if l.Split([]byte(line)) == 0 || !l.Valid() {
			t.Fatalf("not canonical: %s", line)
		}
	}
}
