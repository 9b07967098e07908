package audit

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"logforge/sink/archive/archivetest"
)

// Ensure that each command of docs/query.md that says so finds the records where
// it looks for them: in the files, in the objects of a bucket, in the database.
func TestQuery_EveryCommandOfThePageAnswers(t *testing.T) {
	const home = `{"timestamp":"2026-02-09T15:00:00Z","path":"/home","userAgent":"x"`
	w := newWorld(t)
	bucket := filepath.Join(filepath.Dir(w.cfg.Storage.LogsDir), "bucket")
	w.write(home+"}", home+`,"status":503}`, home+`,"status":503}`)
	w.cfg.Archive.Postgres.URL = archivetest.PostgreSQL(t).New(t)
	w.toBucket("parquet")
	w.settle()
	w.copyBucket(bucket)
	w.toBucket("ndjson.zst")
	w.settle()
	w.copyBucket(bucket)
	if ran := w.query("jq", "psql"); ran["sql"] != 3 || ran["cat"] != 2 || ran["psql"] != 2 {
		t.Errorf("the page has other commands than this test knows: %v", ran)
	}
}

// Ensure that the commands for hours that are compressed find every record, late
// ones too.
func TestQuery_CompressedHoursAreFound(t *testing.T) {
	const home = `{"timestamp":"2026-02-09T15:00:00Z","path":"/home","userAgent":"x"}`
	w := newWorld(t)
	w.write(home, home)
	w.compress()
	w.write(home)
	if ran := w.query("jq", "zstdcat"); ran["sql"] != 1 || ran["zstdcat"] != 1 {
		t.Errorf("the page has other commands than this test knows: %v", ran)
	}
}

// query runs what docs/query.md has for the test, and returns how many commands
// there were of each kind. Each has to find three records of /home.
func (w *world) query(programs ...string) map[string]int {
	t := w.t
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	page, err := os.ReadFile("../../../docs/query.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(w.cfg.Storage.LogsDir)
	blocks := regexp.MustCompile("(?m)^```(sh|sql) by="+t.Name()+"\n((?s).*?)^```$").FindAllStringSubmatch(string(page), -1)
	ran := map[string]int{}
	for _, b := range blocks {
		if b[1] == "sql" {
			text := strings.ReplaceAll(strings.ReplaceAll(b[2], "'s3://BUCKET/", "'"+dir+"/bucket/"), "'logs/", "'"+dir+"/logs/")
			if rows := archivetest.DuckDB(t, text); len(rows) != 1 || rows[0] != "/home\t3" {
				t.Errorf("%s\nanswers %q", b[2], rows)
			}
			ran["sql"]++
			continue
		}
		for command := range strings.Lines(b[2]) {
			cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "DATABASE="+w.cfg.Archive.Postgres.URL)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "/home") && !strings.Contains(string(out), "503    |     2") {
				t.Errorf("%s\nanswers %s, %v", command, out, err)
			}
			ran[strings.Fields(command)[0]]++
		}
	}
	return ran
}

// copyBucket copies the objects to a directory, by their names.
func (w *world) copyBucket(dir string) {
	w.t.Helper()
	ctx, c, bucket := context.Background(), w.s3.Client(w.t), w.cfg.Archive.S3.Bucket
	for o := range c.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: "logs/", Recursive: true}) {
		object, err := c.GetObject(ctx, bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(o.Key))
		text, err := io.ReadAll(object)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o750)
		}
		if err == nil {
			err = os.WriteFile(name, text, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
