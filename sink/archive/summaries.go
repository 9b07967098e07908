package archive

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"logforge/sink/durable"
)

// summaryCopier copies hourly summaries to the bucket, each whole when it has
// changed:
//
//	PREFIX/date=2026-02-09/summary_15.NODE.json
type summaryCopier struct {
	s3     *s3
	prefix string
	dir    string // analytics directory
	node   string
	look   time.Duration
	health *follower

	seen map[string]summaryFile       // by name below dir
	days map[string]map[string]string // of this pass: ETags by key, by folder
}

type summaryFile struct {
	modified time.Time
	size     int64
}

// maxSummary is the largest summary that is copied: it is in memory meanwhile.
// aggregation.maxKeys bounds a summary far below it.
const maxSummary = 256 << 20

func newSummaryCopier(s *s3, prefix, dir, node string, look time.Duration, health *follower) *summaryCopier {
	return &summaryCopier{s3: s, prefix: prefix, dir: dir, node: node, look: look, health: health, seen: map[string]summaryFile{}}
}

func (c *summaryCopier) run(ctx context.Context) {
	for tries := 0; ; {
		wait := c.look
		if err := c.pass(ctx); err != nil && ctx.Err() == nil {
			tries++
			c.health.errors.Inc()
			c.health.log.Error("copying summaries failed and is tried again", "err", err)
			wait = c.health.backoff(tries)
		} else {
			tries = 0
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// pass copies every summary that has changed since the last pass.
func (c *summaryCopier) pass(ctx context.Context) error {
	c.days = map[string]map[string]string{}
	names, err := filepath.Glob(filepath.Join(c.dir, "????-??-??", "summary_??.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			continue // no summary of ours
		}
		now := summaryFile{info.ModTime(), info.Size()}
		if c.seen[name] == now || now.size > maxSummary {
			continue
		}
		_, known := c.seen[name]
		if err := c.copy(ctx, name, !known); err != nil {
			return err
		}
		c.seen[name] = now
	}
	return nil
}

// copy replaces the object of one summary. The first time in this process it
// looks whether an earlier one has left the same bytes there.
func (c *summaryCopier) copy(ctx context.Context, name string, first bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	file, err := durable.OpenRegular(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSummary))
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	day := filepath.Base(filepath.Dir(name))
	folder := c.prefix + "/date=" + day + "/"
	key := folder + strings.TrimSuffix(filepath.Base(name), ".json") + "." + c.node + ".json"
	if first {
		there, err := c.there(ctx, folder)
		if err != nil {
			return err
		}
		if sum := md5.Sum(text); there[key] == hex.EncodeToString(sum[:]) {
			return nil
		}
	}
	opts := minio.PutObjectOptions{
		ContentType:          "application/json",
		ServerSideEncryption: c.s3.sse,
		UserMetadata:         map[string]string{"x-amz-checksum-crc32c": crc32c(text)},
	}
	_, err = c.s3.core.PutObject(ctx, c.s3.cfg.Bucket, key, strings.NewReader(string(text)), int64(len(text)), "", sha256Hex(text), opts)
	if err != nil {
		return c.s3.explain(fmt.Sprintf("put summary %s", key), err)
	}
	return nil
}

// there returns the ETags of the objects below folder: without encryption by a
// key of its own, the MD5 of what they hold.
func (c *summaryCopier) there(ctx context.Context, folder string) (map[string]string, error) {
	if tags := c.days[folder]; tags != nil {
		return tags, nil
	}
	tags := map[string]string{}
	for o := range c.s3.core.ListObjectsIter(ctx, c.s3.cfg.Bucket, minio.ListObjectsOptions{Prefix: folder, Recursive: true}) {
		if o.Err != nil {
			return nil, c.s3.explain("list summaries", o.Err)
		}
		tags[o.Key] = strings.Trim(o.ETag, `"`)
	}
	c.days[folder] = tags
	return tags, nil
}
