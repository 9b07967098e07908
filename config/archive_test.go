package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The sample of the earlier program that its own deployment renders.
const firstDesignMinio = `
version: 2
storage:
  backend: minio
  logsDir: ./logs
  analyticsDir: ./analytics
  minio:
    endpoint: minio:9000
    bucket: logforge
    accessKey: AKIDEXAMPLE
    secretKey: wJalrXUtnFEMI
    useSSL: false
    logsPrefix: raw
    analyticsPrefix: sums
`

func TestArchive_MinioOfTheFirstDesignIsArchiveS3WithOneWarning(t *testing.T) {
	cfg, warnings := mustLoad(t, firstDesignMinio, nil)
	s := cfg.Archive.S3
	if cfg.Storage.Backend != "file" || s.Endpoint != "http://minio:9000" || s.Bucket != "logforge" || s.AccessKey != "AKIDEXAMPLE" ||
		s.SecretKey != "wJalrXUtnFEMI" || s.Prefix != "raw" || s.SummariesPrefix != "sums" {
		t.Errorf("%+v", cfg.Archive.S3)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "archive.s3") {
		t.Errorf("%q", warnings)
	}
	cfg, _ = mustLoad(t, strings.Replace(firstDesignMinio, "useSSL: false", "useSSL: true", 1), nil)
	if cfg.Archive.S3.Endpoint != "https://minio:9000" {
		t.Errorf("endpoint %s", cfg.Archive.S3.Endpoint)
	}
	// The newer name wins where both are given.
	cfg, _ = mustLoad(t, firstDesignMinio+"archive: {s3: {prefix: mine}}\n", nil)
	if cfg.Archive.S3.Prefix != "mine" {
		t.Errorf("prefix %s", cfg.Archive.S3.Prefix)
	}
}

func TestArchive_SecretsAreMaskedInTheEffectiveConfiguration(t *testing.T) {
	f := func(url string) {
		t.Helper()
		cfg, _ := mustLoad(t, "archive: {s3: {bucket: logs-1, accessKey: AKIDEXAMPLE, secretKey: hush-s3}, postgres: {url: '"+url+"'}}\n", nil)
		text, err := cfg.YAML(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hush"} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s is printed:\n%s", secret, text)
			}
		}
	}
	f("postgres://me:hush-pg@db/logs?sslmode=disable")
	f("postgres://me@db/logs?password=hush-pg")
	f("postgres://me:hush@pg%40@db/logs")
}

func TestArchive_ASecretInAFileIsReadWithoutItsLineEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ArchiveS3{SecretKeyFile: file}
	if got, err := s.Secret(); got != "s3cret" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	p := ArchivePostgres{URLFile: filepath.Join(t.TempDir(), "none")}
	if _, err := p.Connection(); err == nil || !strings.Contains(err.Error(), "archive.postgres.urlFile") {
		t.Errorf("%v", err)
	}
}

func TestArchive_ImpossibleValuesNameTheKey(t *testing.T) {
	f := func(text string, says ...string) {
		t.Helper()
		_, _, err := load(t, "archive: "+text+"\n", nil)
		for _, word := range says {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v does not say %q", text, err, word)
			}
		}
	}
	f("{after: 0}", "archive.after")
	f("{partBytes: 1}", "archive.partBytes")
	f("{s3: {bucket: Logs_1}}", "archive.s3.bucket")
	f("{s3: {bucket: logs-1, format: csv}}", "archive.s3.format", "parquet")
	f("{s3: {bucket: logs-1, endpoint: 'localhost:9000'}}", "archive.s3.endpoint", "http://localhost:7070")
	f("{s3: {endpoint: 'http://localhost:9000'}}", "archive.s3.bucket")
	f("{s3: {bucket: logs-1, accessKey: a}}", "archive.s3.secretKey")
	f("{s3: {bucket: logs-1, accessKey: a, secretKey: b, secretKeyFile: c}}", "archive.s3.secretKeyFile")
	f("{s3: {bucket: logs-1, prefix: a, summariesPrefix: a}}", "archive.s3.summariesPrefix")
	f("{s3: {bucket: logs-1, prefix: /a}}", "archive.s3.prefix")
	f("{s3: {bucket: logs-1, sse: des}}", "archive.s3.sse")
	f("{s3: {bucket: logs-1, endpoint: 'http://h', caFile: x}}", "archive.s3.caFile")
	f("{postgres: {url: 'host=db'}}", "archive.postgres.url")
	f("{postgres: {url: 'postgres://db/x', urlFile: y}}", "archive.postgres.urlFile")
	f("{postgres: {url: 'postgres://db/x', table: 'a b'}}", "archive.postgres.table")
	f("{postgres: {url: 'postgres://db/x', interval: 0}}", "archive.postgres.interval")
}
