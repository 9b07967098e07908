package config

// The archive: where records go besides the local disk.

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Archive says when parts of the hourly files are copied elsewhere, and where
// to. Without a bucket and without a database URL there is no archive.
type Archive struct {
	After     time.Duration   `yaml:"after" env:"LOGFORGE_ARCHIVE_AFTER" env-description:"an hour without a new record for this long is copied to the bucket" above:"0s"`
	PartBytes Bytes           `yaml:"partBytes" env:"LOGFORGE_ARCHIVE_PART_BYTES" env-description:"bytes of lines after which a part is copied although its hour still grows" min:"1KiB"`
	KeepLocal time.Duration   `yaml:"keepLocal" env:"LOGFORGE_ARCHIVE_KEEP_LOCAL" env-description:"with storage.maxAge or storage.maxBytes: an hour that every destination has stays on the local disk for at least this long after its last record was written" min:"0s"`
	S3        ArchiveS3       `yaml:"s3"`
	Postgres  ArchivePostgres `yaml:"postgres"`
}

// ArchiveS3 is a bucket of any S3 service.
type ArchiveS3 struct {
	Bucket          string `yaml:"bucket" env:"LOGFORGE_ARCHIVE_S3_BUCKET" env-description:"bucket that every record is copied to; empty means none"`
	Endpoint        string `yaml:"endpoint" env:"LOGFORGE_ARCHIVE_S3_ENDPOINT" env-description:"address of the S3 service, such as https://s3.example.com or http://localhost:7070; empty means AWS"`
	Region          string `yaml:"region" env:"LOGFORGE_ARCHIVE_S3_REGION" env-description:"region of the bucket"`
	Prefix          string `yaml:"prefix" env:"LOGFORGE_ARCHIVE_S3_PREFIX" env-description:"first part of the names of all objects with records"`
	SummariesPrefix string `yaml:"summariesPrefix" env:"LOGFORGE_ARCHIVE_S3_SUMMARIES_PREFIX" env-description:"first part of the names of the hourly summaries; empty means that they are not copied"`
	AccessKey       string `yaml:"accessKey" env:"LOGFORGE_ARCHIVE_S3_ACCESS_KEY" env-description:"access key; empty means AWS_ACCESS_KEY_ID, the shared credentials file, or the role of the instance, in this order"`
	SecretKey       string `yaml:"secretKey" env:"LOGFORGE_ARCHIVE_S3_SECRET_KEY" env-description:"secret key that belongs to accessKey" secret:"true"`
	SecretKeyFile   string `yaml:"secretKeyFile" env:"LOGFORGE_ARCHIVE_S3_SECRET_KEY_FILE" env-description:"file that holds the secret key, instead of secretKey; read again when the service refuses the old one"`
	PathStyle       bool   `yaml:"pathStyle" env:"LOGFORGE_ARCHIVE_S3_PATH_STYLE" env-description:"the bucket's name is in the path and not in the host name"`
	Format          string `yaml:"format" env:"LOGFORGE_ARCHIVE_S3_FORMAT" env-description:"ndjson.zst (the lines as they are) or parquet (columns)" oneof:"ndjson.zst parquet"`
	StorageClass    string `yaml:"storageClass" env:"LOGFORGE_ARCHIVE_S3_STORAGE_CLASS" env-description:"storage class of the objects, such as STANDARD_IA; empty means the bucket's own"`
	SSE             string `yaml:"sse" env:"LOGFORGE_ARCHIVE_S3_SSE" env-description:"server-side encryption: AES256, aws:kms or aws:kms:KEY; empty means the bucket's own"`
	CAFile          string `yaml:"caFile" env:"LOGFORGE_ARCHIVE_S3_CA_FILE" env-description:"PEM authorities of the service; empty means the system's"`
}

// ArchivePostgres is a table in a PostgreSQL database.
type ArchivePostgres struct {
	URL      string        `yaml:"url" env:"LOGFORGE_ARCHIVE_POSTGRES_URL" env-description:"database that every record is copied to, postgres://user:password@host/database?sslmode=verify-full; empty means none" secret:"true"`
	URLFile  string        `yaml:"urlFile" env:"LOGFORGE_ARCHIVE_POSTGRES_URL_FILE" env-description:"file that holds the URL, instead of url; read again for every new connection"`
	Table    string        `yaml:"table" env:"LOGFORGE_ARCHIVE_POSTGRES_TABLE" env-description:"table of the records, with its schema if it has to be another than the first of the search path; made where it is missing"`
	Interval time.Duration `yaml:"interval" env:"LOGFORGE_ARCHIVE_POSTGRES_INTERVAL" env-description:"longest time until a record is in the table" above:"0s"`
}

// Minio has the older names of the settings of a bucket, see settleMinio.
type Minio struct {
	Endpoint        string `yaml:"endpoint" env:"LOGFORGE_STORAGE_MINIO_ENDPOINT" env-description:"older name of archive.s3.endpoint, without the scheme"`
	Bucket          string `yaml:"bucket" env:"LOGFORGE_STORAGE_MINIO_BUCKET" env-description:"older name of archive.s3.bucket"`
	AccessKey       string `yaml:"accessKey" env:"LOGFORGE_STORAGE_MINIO_ACCESS_KEY" env-description:"older name of archive.s3.accessKey"`
	SecretKey       string `yaml:"secretKey" env:"LOGFORGE_STORAGE_MINIO_SECRET_KEY" env-description:"older name of archive.s3.secretKey" secret:"true"`
	SecretKeyFile   string `yaml:"secretKeyFile" env:"LOGFORGE_STORAGE_MINIO_SECRET_KEY_FILE" env-description:"older name of archive.s3.secretKeyFile"`
	UseSSL          bool   `yaml:"useSSL" env:"LOGFORGE_STORAGE_MINIO_USE_SSL" env-description:"older name of https:// in archive.s3.endpoint"`
	LogsPrefix      string `yaml:"logsPrefix" env:"LOGFORGE_STORAGE_MINIO_LOGS_PREFIX" env-description:"older name of archive.s3.prefix"`
	AnalyticsPrefix string `yaml:"analyticsPrefix" env:"LOGFORGE_STORAGE_MINIO_ANALYTICS_PREFIX" env-description:"older name of archive.s3.summariesPrefix"`
}

func defaultArchive() Archive {
	return Archive{
		After:     5 * time.Minute,
		PartBytes: 128 * MiB,
		S3:        ArchiveS3{Region: "us-east-1", Prefix: "logs", SummariesPrefix: "analytics", PathStyle: true, Format: "ndjson.zst"},
		Postgres:  ArchivePostgres{Table: "logs", Interval: 5 * time.Second},
	}
}

// Enabled reports whether there is any destination.
func (a *Archive) Enabled() bool { return a.S3.Bucket != "" || a.Postgres.Enabled() }

// Enabled reports whether records go to a database.
func (p *ArchivePostgres) Enabled() bool { return p.URL != "" || p.URLFile != "" }

// Connection returns the URL. One that is in a file is read again.
func (p *ArchivePostgres) Connection() (string, error) {
	return reread("archive.postgres.urlFile", p.URLFile, p.URL)
}

// Secret returns the secret key. One that is in a file is read again.
func (s *ArchiveS3) Secret() (string, error) {
	return reread("archive.s3.secretKeyFile", s.SecretKeyFile, s.SecretKey)
}

func reread(key, file, value string) (string, error) {
	if file == "" {
		return value, nil
	}
	text, err := readFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", named(key), err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// settleMinio turns storage.backend: minio and storage.minio, the first
// design's names, into archive.s3. The records still go to the files first.
func (c *Config) settleMinio(origins map[string]Origin) (warning string, err error) {
	old := c.Storage.Minio
	c.Storage.Minio = Minio{}
	if c.Storage.Backend != "minio" {
		if old == (Minio{}) {
			return "", nil
		}
		return "storage.minio has no effect while storage.backend is file; archive.s3 copies every record to a bucket", nil
	}
	c.Storage.Backend = "file"
	s3 := &c.Archive.S3
	if old.Bucket == "" && s3.Bucket == "" {
		return "", errors.New("storage.backend is minio, the older name of archive.s3, but neither archive.s3.bucket (LOGFORGE_ARCHIVE_S3_BUCKET) nor storage.minio.bucket is set")
	}
	endpoint := old.Endpoint
	if endpoint != "" && !strings.Contains(endpoint, "://") {
		scheme := "http://"
		if old.UseSSL {
			scheme = "https://"
		}
		endpoint = scheme + endpoint
	}
	for _, name := range []struct {
		clear, older string
		to           *string
		from         string
	}{
		{"endpoint", "endpoint", &s3.Endpoint, endpoint},
		{"bucket", "bucket", &s3.Bucket, old.Bucket},
		{"accessKey", "accessKey", &s3.AccessKey, old.AccessKey},
		{"secretKey", "secretKey", &s3.SecretKey, old.SecretKey},
		{"secretKeyFile", "secretKeyFile", &s3.SecretKeyFile, old.SecretKeyFile},
		{"prefix", "logsPrefix", &s3.Prefix, old.LogsPrefix},
		{"summariesPrefix", "analyticsPrefix", &s3.SummariesPrefix, old.AnalyticsPrefix},
	} {
		own, older := origins["archive.s3."+name.clear], origins["storage.minio."+name.older]
		if name.from != "" && older.Layer > own.Layer {
			*name.to = name.from
			origins["archive.s3."+name.clear] = older
		}
	}
	return "storage.backend: minio and storage.minio.* are the older names of archive.s3.{endpoint, bucket, accessKey, secretKey, prefix, summariesPrefix}; " +
		"records are stored in storage.logsDir first and copied to the bucket from there", nil
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	tableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?$`)
)

func (c *Config) validateArchive(v *validation) {
	a := &c.Archive
	c.validateS3(v)
	p := &a.Postgres
	v.that(tableName.MatchString(p.Table), "archive.postgres.table", p.Table, "the name of a table, with or without its schema: logs or web.logs")
	if u, err := url.Parse(p.URL); p.URL != "" && (err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql") {
		v.fail("%s must be a URL such as postgres://user:password@host:5432/database", named("archive.postgres.url")) // without its value: it holds a password
	}
}

func (c *Config) validateS3(v *validation) {
	s := &c.Archive.S3
	v.that(strings.Trim(s.Prefix, "/") == s.Prefix, "archive.s3.prefix", s.Prefix, "without a slash at its ends")
	v.that(strings.Trim(s.SummariesPrefix, "/") == s.SummariesPrefix, "archive.s3.summariesPrefix", s.SummariesPrefix, "without a slash at its ends")
	v.that(s.SSE == "" || s.SSE == "AES256" || s.SSE == "aws:kms" || strings.HasPrefix(s.SSE, "aws:kms:"), "archive.s3.sse", s.SSE, "AES256, aws:kms, aws:kms:KEY or empty")
	if (s.AccessKey == "") != (s.SecretKey == "" && s.SecretKeyFile == "") {
		v.fail("archive.s3.accessKey and archive.s3.secretKey (or secretKeyFile) must be set together")
	}
	if s.Endpoint != "" {
		u, err := url.Parse(s.Endpoint)
		v.that(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && strings.Trim(u.Path, "/") == "" && u.User == nil && u.RawQuery == "",
			"archive.s3.endpoint", s.Endpoint, "a URL without a path, such as https://s3.example.com or http://localhost:7070")
		v.that(s.CAFile == "" || err != nil || u.Scheme == "https", "archive.s3.caFile", s.CAFile, "left out while archive.s3.endpoint is not https://")
	}
	if s.Bucket == "" {
		if s.Endpoint != "" || s.AccessKey != "" {
			v.fail("archive.s3 has an endpoint or an access key, but archive.s3.bucket (LOGFORGE_ARCHIVE_S3_BUCKET) is empty: nothing would be copied")
		}
		return
	}
	v.that(bucketName.MatchString(s.Bucket), "archive.s3.bucket", s.Bucket, "the name of a bucket: 3 to 63 lower-case letters, digits, dots and dashes")
	if s.Prefix != "" && s.Prefix == s.SummariesPrefix {
		v.fail("archive.s3.prefix and archive.s3.summariesPrefix are both %q: summaries must not lie among the records", s.Prefix)
	}
}
