package archive

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
)

// s3 is a bucket. A part is an object
//
//	PREFIX/date=2026-02-09/hour=15/NODE-GENERATION-FROM-TO.ndjson.zst
//
// or .parquet, whose metadata is its Digest: records, sha256, first, last.
type s3 struct {
	cfg   config.ArchiveS3
	core  minio.Core
	creds *credentials.Credentials

	transport *http.Transport

	sse    encrypt.ServerSide
	log    *slog.Logger
	format format
	bytes  *metrics.Counter
}

const (
	// onePut is up to which size an object is sent in one request, for which it
	// has to be in memory as a whole: most parts are a tenth of their lines. A
	// larger one is sent in pieces of this size.
	onePut = 16 << 20
)

func newS3(cfg config.ArchiveS3, log *slog.Logger, set *metrics.Set) (*s3, error) {
	s := &s3{cfg: cfg, log: log, creds: credentialsOf(cfg), bytes: metric.Counter(set, `logforge_archive_stored_bytes_total{destination="s3"}`, "Bytes sent to a destination: objects as they are stored, or lines.")}
	s.format = formats(set)[cfg.Format]
	endpoint := &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	if cfg.Endpoint != "" {
		var err error
		if endpoint, err = url.Parse(cfg.Endpoint); err != nil {
			return nil, fmt.Errorf("archive.s3.endpoint: %w", err)
		}
	}
	transport, err := minio.DefaultTransport(endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.DisableCompression = true
	s.transport = transport
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("archive.s3.caFile: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("archive.s3.caFile: %s holds no certificate in PEM form", cfg.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	switch kms, key, _ := strings.Cut(cfg.SSE, "aws:kms"); {
	case cfg.SSE == "AES256":
		s.sse = encrypt.NewSSE()
	case kms == "" && cfg.SSE != "":
		if s.sse, err = encrypt.NewSSEKMS(strings.TrimPrefix(key, ":"), nil); err != nil {
			return nil, fmt.Errorf("archive.s3.sse: %w", err)
		}
	}
	lookup := minio.BucketLookupDNS
	if cfg.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:        s.creds,
		Secure:       endpoint.Scheme == "https",
		Transport:    transport,
		Region:       cfg.Region,
		BucketLookup: lookup,
		MaxRetries:   1, // the follower tries again
	})
	if err != nil {
		return nil, fmt.Errorf("archive.s3: %w", err)
	}
	s.core = minio.Core{Client: client}
	return s, nil
}

// credentialsOf returns those of the settings, or else of the environment, the
// shared files of the AWS tools, or the role of the instance.
func credentialsOf(cfg config.ArchiveS3) *credentials.Credentials {
	if cfg.AccessKey != "" {
		return credentials.New(&keyFile{cfg: cfg})
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{},
		&credentials.FileAWSCredentials{},
		&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
	})
}

// keyFile are the credentials of the settings; the file is read again once it
// has changed.
type keyFile struct {
	cfg  config.ArchiveS3
	seen time.Time // modification time of the file
}

// Retrieve implements credentials.Provider.
func (k *keyFile) Retrieve() (credentials.Value, error) {
	k.seen = k.modified()
	secret, err := k.cfg.Secret()
	if err != nil {
		err = &refusal{waitsForCredentials, false, err}
	}
	return credentials.Value{AccessKeyID: k.cfg.AccessKey, SecretAccessKey: secret, SignerType: credentials.SignatureV4}, err
}

// RetrieveWithCredContext implements credentials.Provider.
func (k *keyFile) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return k.Retrieve()
}

// IsExpired implements credentials.Provider.
func (k *keyFile) IsExpired() bool { return !k.modified().Equal(k.seen) }

func (k *keyFile) modified() time.Time {
	if info, err := os.Stat(k.cfg.SecretKeyFile); k.cfg.SecretKeyFile != "" && err == nil {
		return info.ModTime()
	}
	return time.Time{}
}

// Name implements Destination.
func (s *s3) Name() string { return "s3" }

// Close implements Destination.
func (s *s3) Close() {}

// key returns the name of a part's object.
func (s *s3) key(p Part) string { return s.hourPrefix(p.Hour) + p.name() + "." + s.cfg.Format }

func (s *s3) hourPrefix(h codec.Hour) string {
	return join(s.cfg.Prefix, h.Time().Format("date=2006-01-02/hour=15/"))
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// Parts implements Destination: by the names, so it costs one request a day,
// or for a thousand parts.
func (s *s3) Parts(ctx context.Context, node string, first, last codec.Hour) ([]Stored, error) {
	var parts []Stored
	list := func(prefix string) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		for o := range s.core.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if o.Err != nil {
				return s.explain("list objects", o.Err)
			}
			if p, ok := s.parse(o.Key); ok && p.Hour >= first && p.Hour <= last && (node == "" || p.Node == node) {
				parts = append(parts, Stored{Part: p, name: o.Key, size: o.Size})
			}
		}
		if err := ctx.Err(); err != nil {
			return s.explain("list objects", err)
		}
		return nil
	}
	if last-first > 100*24 { // one pass over all names rather than one for each day
		err := list(join(s.cfg.Prefix, "date="))
		return parts, err
	}
	for h := day(first); h <= last; h += 24 {
		prefix := join(s.cfg.Prefix, h.Time().Format("date=2006-01-02/"))
		if err := list(prefix); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func mod(h, n codec.Hour) codec.Hour { return ((h % n) + n) % n }

// parse reads the name of an object. Other people's objects under the prefix
// are none of ours.
func (s *s3) parse(key string) (Part, bool) {
	rest, ok := strings.CutPrefix(key, join(s.cfg.Prefix, ""))
	if !ok {
		return Part{}, false
	}
	folders, name := path.Split(rest)
	t, err := time.Parse("date=2006-01-02/hour=15/", folders)
	if err != nil {
		return Part{}, false
	}
	for f := range formatNames {
		if base, ok := strings.CutSuffix(name, "."+f); ok {
			return parsePart(codec.HourOf(t), base)
		}
	}
	return Part{}, false
}

// Store implements Destination. The lines are read once, hashed and compressed
// on the way, and kept compressed, because their digest goes before them. Where
// that would be too much to keep they are read again.
func (s *s3) Store(ctx context.Context, p Part, open func() (io.ReadCloser, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeFor(p))
	defer cancel()
	sp := &spool{}
	d, err := s.encode(p, open, sp)
	if err != nil {
		return err
	}
	if sp.over {
		err = s.putPieces(ctx, p, d, open)
	} else {
		err = s.put(ctx, p, d, sp.data)
	}
	if minio.ToErrorResponse(err).StatusCode == http.StatusPreconditionFailed {
		return s.compare(ctx, p, d)
	}
	if err != nil {
		return s.explain("put object", err)
	}
	return nil
}

// encode reads the lines of a part, writes the object to w, as long as w is not
// a spool that is full, and returns what the lines are.
func (s *s3) encode(p Part, open func() (io.ReadCloser, error), w io.Writer) (d Digest, err error) {
	r, err := open()
	if err != nil {
		return d, err
	}
	lines := newLineReader(p, r)
	defer func() { err = errors.Join(err, lines.Close()) }()
	enc := s.format.encoder(w, p.Hour)
	defer enc.release()
	buf := make([]byte, 256<<10)
	sp, _ := w.(*spool)
	for {
		n, err := lines.Read(buf)
		if n > 0 && (sp == nil || !sp.over) {
			if _, err := enc.Write(buf[:n]); err != nil {
				return d, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return d, err
		}
	}
	if sp == nil || !sp.over {
		if err := enc.Close(); err != nil {
			return d, err
		}
	}
	return lines.digest(), nil
}

// spool keeps up to onePut bytes.
type spool struct {
	data []byte
	over bool
}

func (s *spool) Write(p []byte) (int, error) {
	if s.over = s.over || len(s.data)+len(p) > onePut; s.over {
		s.data = nil
	} else {
		s.data = append(s.data, p...)
	}
	return len(p), nil
}

// options are those of a part's object. The write is refused if there is an
// object of its name.
func (s *s3) options(d Digest) minio.PutObjectOptions {
	return minio.PutObjectOptions{
		ContentType:          s.format.contentType,
		StorageClass:         s.cfg.StorageClass,
		ServerSideEncryption: s.sse,
		UserMetadata:         map[string]string{"records": strconv.FormatInt(d.Records, 10), "sha256": d.SHA256, "first": d.First, "last": d.Last},
	}
}

// put sends an object in one request, with its SHA-256 and its CRC-32C.
func (s *s3) put(ctx context.Context, p Part, d Digest, data []byte) error {
	opts := s.options(d)
	opts.SetMatchETagExcept("*")
	opts.UserMetadata["x-amz-checksum-crc32c"] = crc32c(data)
	done, err := s.core.PutObject(ctx, s.cfg.Bucket, s.key(p), bytes.NewReader(data), int64(len(data)), "", sha256Hex(data), opts)
	switch {
	case err != nil:
		return err
	case done.ETag == "": // every S3 service has one
		return &refusal{waitsForSetting, false, errors.New("an answer without an ETag: archive.s3.endpoint is no S3 service")}
	}
	s.bytes.Add(len(data))
	return nil
}

func crc32c(data []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli)))
}

// compare decides whether the object that is there already is this part.
func (s *s3) compare(ctx context.Context, p Part, want Digest) error {
	got, err := s.digest(ctx, s.key(p))
	switch {
	case err != nil:
		return err
	case got != want:
		return fmt.Errorf("%v: an object of this name is in the bucket already and holds something else; move it away, and the archive goes on: object %s has %+v, the lines are %+v: %w",
			p, s.key(p), got, want, errDamaged)
	}
	return nil
}

// digest returns what the metadata of an object says.
func (s *s3) digest(ctx context.Context, key string) (Digest, error) {
	o, err := s.core.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Digest{}, s.explain("head object", err)
	}
	meta := map[string]string{}
	for name, value := range o.UserMetadata {
		meta[strings.ToLower(name)] = value
	}
	records, _ := strconv.ParseInt(meta["records"], 10, 64)
	return Digest{Records: records, SHA256: meta["sha256"], First: meta["first"], Last: meta["last"]}, nil
}
