package archive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"logforge/sink/archive/archivetest"
)

// download copies a bucket's objects below a prefix into a directory.
func download(t testing.TB, c *minio.Client, bucket, prefix string) string {
	t.Helper()
	dir := t.TempDir()
	for _, key := range objects(t, c, bucket, prefix) {
		if err := c.FGetObject(context.Background(), bucket, key, filepath.Join(dir, key), minio.GetObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Ensure that DuckDB reads the records that were sent, in either form, whatever
// is in them.
func TestDuckDB_ReadsEqualRecordsOfEitherForm(t *testing.T) {
	s := archivetest.S3Server(t)
	c := s.Client(t)
	dirs := map[string]string{}
	for format := range formatNames {
		bucket, n := s.Bucket(t), newNode(t)
		n.toBucket(s.Endpoint(), bucket)
		n.cfg.S3.Format = format
		n.start()
		for round := range 3 {
			n.some(15, 1000)
			n.some(16, 100)
			n.write(
				fmt.Sprintf(`{"timestamp":"2026-02-09T15:00:%02d.123456789Z","path":"/quotes\"\\\u0001ü😀","userAgent":"x","status":200,"deep":{"a":[1,null]}}`, round),
				`{"timestamp":"1969-12-31T23:59:59.999999999Z","path":"/before","userAgent":"x"}`,
			)
			n.drained()
		}
		dirs[format] = download(t, c, bucket, "logs/")
	}
	const columns = `SELECT epoch_ns(timestamp::TIMESTAMP_NS), path, userAgent, %s FROM %s ORDER BY ALL`
	zst := archivetest.DuckDB(t, fmt.Sprintf(columns, `CASE WHEN status IS NULL THEN NULL ELSE '{"status":' || status || ',"deep":' || deep || '}' END`,
		`read_json('`+dirs["ndjson.zst"]+`/logs/*/*/*.ndjson.zst', format = 'newline_delimited', columns = {timestamp: 'TIMESTAMP_NS', path: 'VARCHAR', userAgent: 'VARCHAR', status: 'JSON', deep: 'JSON'})`))
	parquet := archivetest.DuckDB(t, fmt.Sprintf(columns, "extra", `'`+dirs["parquet"]+`/logs/*/*/*.parquet'`))
	if len(parquet) != 3*1102 {
		t.Errorf("%d records", len(parquet))
	}
	sameLines(t, zst, parquet)
	if all := strings.Join(parquet, "\n"); !strings.Contains(all, "1770649200123456789\t/quotes\"\\\x01ü😀\tx\t{\"status\":200,\"deep\":{\"a\":[1,null]}}") || !strings.Contains(all, "-1\t/before\tx\tNULL") {
		t.Errorf("%s", all[len(all)-600:])
	}
}

// Ensure that columns have statistics and pages an index, so that a reader
// passes over what it does not need.
func TestParquet_HasStatisticsAndIsCompressed(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.cfg.S3.Format = "parquet"
	n.some(15, 5000)
	n.start()
	n.drained()
	dir := download(t, s.Client(t), bucket, "logs/")
	rows := archivetest.DuckDB(t, `SELECT path_in_schema, stats_min_value, stats_max_value, compression, encodings FROM parquet_metadata('`+dir+`/logs/*/*/*.parquet') ORDER BY column_id`)
	for i, want := range [][]string{{"timestamp", "2026-02-09 15:00:00", "ZSTD"}, {"path", "/p0", "ZSTD", "DICTIONARY"}, {"userAgent", "Mozilla/5.0", "ZSTD", "DICTIONARY"}, {"extra", "ZSTD"}} {
		for _, word := range want {
			if !strings.Contains(rows[i], word) {
				t.Errorf("%q does not say %s", rows[i], word)
			}
		}
	}
	files, err := filepath.Glob(dir + "/logs/*/*/*.parquet")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !strings.HasPrefix(string(text), "PAR1") || len(text) > 60_000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// Ensure that an instant that does not fit into 64 bits of nanoseconds loses
// neither its record nor itself.
func TestParquet_AnInstantBeyondNanosecondsStaysInExtra(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.cfg.S3.Format = "parquet"
	n.write(
		`{"timestamp":"0000-02-09T15:00:00Z","path":"/a","userAgent":"x"}`,
		`{"timestamp":"9999-12-31T23:59:59.999999999Z","path":"/b","userAgent":"x","status":1}`,
		`{"timestamp":"1677-09-22T00:00:00Z","path":"/c","userAgent":"x"}`,
		`{"timestamp":"2262-04-11T22:59:59Z","path":"/d","userAgent":"x"}`,
	)
	n.start()
	n.drained()
	dir := download(t, s.Client(t), bucket, "logs/")
	got := archivetest.DuckDB(t, `SELECT path, timestamp::VARCHAR, extra FROM '`+dir+`/logs/*/*/*.parquet' ORDER BY path`)
	want := []string{
		"/a\tNULL\t{\"timestamp\":\"0000-02-09T15:00:00Z\"}",
		"/b\tNULL\t{\"timestamp\":\"9999-12-31T23:59:59.999999999Z\",\"status\":1}",
		"/c\t1677-09-22 00:00:00+00\tNULL",
		"/d\t2262-04-11 22:59:59+00\tNULL",
	}
	sameLines(t, want, got)
}
