package archive

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/minio/minio-go/v7"

	"logforge/sink/hourly"
)

// What the answers of an S3 service mean for whoever has set it up.
var s3Hints = map[string]string{
	"NoSuchBucket":                       "archive.s3.bucket does not exist there: create it, or correct archive.s3.bucket or archive.s3.endpoint",
	"InvalidBucketName":                  "correct archive.s3.bucket",
	"InvalidAccessKeyId":                 "archive.s3.accessKey is not known there",
	"SignatureDoesNotMatch":              "archive.s3.secretKey does not belong to archive.s3.accessKey",
	"AccessDenied":                       "the credentials (archive.s3.accessKey) may not do that: docs/archive.md has the policy that suffices",
	"AllAccessDisabled":                  "the account of archive.s3.accessKey is disabled",
	"ExpiredToken":                       "the credentials have expired: renew them (archive.s3.accessKey, the environment, or the role of the instance)",
	"InvalidToken":                       "the session token of the credentials is not valid: renew them",
	"RequestTimeTooSkewed":               "the clock of this machine and that of the service differ by more than 15 minutes: synchronise the clock",
	"RequestExpired":                     "the clock of this machine and that of the service differ by more than 15 minutes: synchronise the clock",
	"AuthorizationHeaderMalformed":       "correct archive.s3.region",
	"PermanentRedirect":                  "the bucket is in another region: correct archive.s3.region or archive.s3.endpoint",
	"IllegalLocationConstraintException": "correct archive.s3.region",
	"NotImplemented":                     "the service does not know something that was asked of it: conditional writes (If-None-Match), or archive.s3.storageClass or archive.s3.sse",
	"InvalidStorageClass":                "correct archive.s3.storageClass",
	"InvalidArgument":                    "see archive.s3.storageClass and archive.s3.sse",
	"KMS.NotFoundException":              "the key in archive.s3.sse does not exist",
	"QuotaExceeded":                      "the quota of archive.s3.bucket is used up",
	"XMinioStorageFull":                  "the disks of the service are full",
}

// explain says what was done, and names the setting that is probably wrong.
func (s *s3) explain(doing string, err error) error {
	if errors.Is(err, errDamaged) || errors.Is(err, hourly.ErrGone) {
		return err
	}
	answer := minio.ToErrorResponse(err)
	hint := s3Hints[answer.Code]
	var (
		dns     *net.DNSError
		dial    *net.OpError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		record  tls.RecordHeaderError
	)
	switch {
	case hint != "":
		return fmt.Errorf("%s in bucket %s: %s (%s)", doing, s.cfg.Bucket, hint, answer.Code)
	case errors.As(err, &unknown):
		hint = "the certificate of archive.s3.endpoint is not signed by an authority this machine knows: set archive.s3.caFile"
	case errors.As(err, &host):
		hint = "the certificate is not for the host in archive.s3.endpoint, or needs archive.s3.pathStyle: true"
	case errors.As(err, &record):
		hint = "archive.s3.endpoint says https:// but the service speaks http://"
	case errors.As(err, &dns):
		hint = "the host in archive.s3.endpoint has no address (with archive.s3.pathStyle: false the bucket is part of the host)"
	case errors.As(err, &dial) && dial.Op == "dial":
		hint = "archive.s3.endpoint cannot be reached"
	case answer.StatusCode == 403:
		hint = s3Hints["AccessDenied"]
	case answer.StatusCode == 404:
		hint = s3Hints["NoSuchBucket"]
	case answer.Code != "":
		return fmt.Errorf("%s in bucket %s: %s: %w", doing, s.cfg.Bucket, answer.Code, err)
	default:
		return fmt.Errorf("%s in bucket %s: %w", doing, s.cfg.Bucket, err)
	}
	return fmt.Errorf("%s in bucket %s: %s: %w", doing, s.cfg.Bucket, hint, err)
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
