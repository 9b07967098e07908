package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// Objects that are too large for one request.

// putPieces sends an object in several requests, each with the checksums of its
// piece. The object comes into being with the last one.
func (s *s3) putPieces(ctx context.Context, p Part, d Digest, open func() (io.ReadCloser, error)) (err error) {
	key := s.key(p)
	_ = s.core.RemoveIncompleteUpload(ctx, s.cfg.Bucket, key) // of an attempt that was killed; not needed to go on
	opts := s.options(d)
	opts.UserMetadata["x-amz-checksum-algorithm"] = "CRC32C"
	id, err := s.core.NewMultipartUpload(ctx, s.cfg.Bucket, key, opts)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			_ = s.core.AbortMultipartUpload(ctx, s.cfg.Bucket, key, id) // the pieces cost money, and nothing else
		}
	}()
	up := &pieces{s: s, ctx: ctx, key: key, id: id, buf: make([]byte, 0, onePut)}
	again, err := s.encode(p, open, up)
	if err == nil {
		err = up.flush()
	}
	if err == nil && again != d {
		err = fmt.Errorf("%v: the lines have changed while they were read: %w", p, errDamaged)
	}
	if err != nil {
		return err
	}
	last := minio.PutObjectOptions{}
	last.SetMatchETagExcept("*")
	_, err = s.core.CompleteMultipartUpload(ctx, s.cfg.Bucket, key, id, up.done, last)
	return err
}

// pieces is a writer that uploads what it is given in pieces.
type pieces struct {
	s       *s3
	ctx     context.Context
	key, id string
	buf     []byte
	done    []minio.CompletePart
}

func (u *pieces) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), cap(u.buf)-len(u.buf))
		u.buf, p = append(u.buf, p[:k]...), p[k:]
		if len(u.buf) == cap(u.buf) {
			if err := u.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (u *pieces) flush() error {
	if len(u.buf) == 0 {
		return nil
	}
	sum := crc32c(u.buf)
	header := http.Header{"X-Amz-Checksum-Crc32c": {sum}}
	number := len(u.done) + 1
	part, err := u.s.core.PutObjectPart(u.ctx, u.s.cfg.Bucket, u.key, u.id, number, bytes.NewReader(u.buf), int64(len(u.buf)),
		minio.PutObjectPartOptions{Sha256Hex: sha256Hex(u.buf), CustomHeader: header})
	if err != nil {
		return err
	}
	u.s.bytes.Add(len(u.buf))
	u.done = append(u.done, minio.CompletePart{PartNumber: number, ETag: part.ETag, ChecksumCRC32C: sum})
	u.buf = u.buf[:0]
	return nil
}
