package archive

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"logforge/sink/hourly"
)

// hint says what an answer means for whoever has set the destination up: what
// it waits for, and which setting to look at.
type hint struct{ reason, text string }

const skewed = "the clock of this machine and that of the service differ by more than 15 minutes: synchronise the clock (chronyc tracking, timedatectl)"

// s3Hints are the answers of S3 services by their code.
var s3Hints = map[string]hint{
	"NoSuchBucket":                       {waitsForBucket, "archive.s3.bucket does not exist there: create it, or correct archive.s3.bucket or archive.s3.endpoint"},
	"InvalidBucketName":                  {waitsForBucket, "correct archive.s3.bucket"},
	"InvalidAccessKeyId":                 {waitsForCredentials, "archive.s3.accessKey is not known there"},
	"SignatureDoesNotMatch":              {waitsForCredentials, "archive.s3.secretKey does not belong to archive.s3.accessKey"},
	"AccessDenied":                       {waitsForRights, "the credentials (archive.s3.accessKey) may not do that: docs/archive.md has the policy that suffices"},
	"AllAccessDisabled":                  {waitsForRights, "the account of archive.s3.accessKey is disabled"},
	"ExpiredToken":                       {waitsForCredentials, "the credentials have expired: renew them (archive.s3.accessKey, the environment, the shared credentials file, or the role of the instance)"},
	"InvalidToken":                       {waitsForCredentials, "the session token of the credentials is not valid: renew them"},
	"TokenRefreshRequired":               {waitsForCredentials, "the session token of the credentials is not valid any more: renew them"},
	"RequestTimeTooSkewed":               {waitsForClock, skewed},
	"RequestExpired":                     {waitsForClock, skewed},
	"AuthorizationHeaderMalformed":       {waitsForSetting, "correct archive.s3.region"},
	"PermanentRedirect":                  {waitsForSetting, "the bucket is in another region: correct archive.s3.region or archive.s3.endpoint"},
	"IllegalLocationConstraintException": {waitsForSetting, "correct archive.s3.region"},
	"NotImplemented":                     {waitsForSetting, "the service does not know something that was asked of it: conditional writes (If-None-Match), or archive.s3.storageClass or archive.s3.sse"},
	"InvalidStorageClass":                {waitsForSetting, "correct archive.s3.storageClass"},
	"InvalidArgument":                    {waitsForSetting, "see archive.s3.storageClass and archive.s3.sse"},
	"KMS.NotFoundException":              {waitsForSetting, "the key in archive.s3.sse does not exist"},
	"KMS.DisabledException":              {waitsForSetting, "the key in archive.s3.sse is disabled"},
	"QuotaExceeded":                      {waitsForRoom, "the quota of archive.s3.bucket is used up: raise it, or remove what is not needed"},
	"XMinioStorageFull":                  {waitsForRoom, "the disks of the service at archive.s3.endpoint are full"},
	"SlowDown":                           {waitsForLoad, "the service at archive.s3.endpoint asks for fewer requests; pauses grow until it takes them"},
	"SlowDownWrite":                      {waitsForLoad, "the service at archive.s3.endpoint asks for fewer requests; pauses grow until it takes them"},
	"ServiceUnavailable":                 {waitsForLoad, "the service at archive.s3.endpoint is not available at the moment"},
	"RequestTimeout":                     {waitsForLoad, "the service at archive.s3.endpoint waited too long for what was sent"},
	"InternalError":                      {waitsForLoad, "the service at archive.s3.endpoint failed"},
}

// explain says what was done, and names the setting that is probably wrong.
// Credentials that are refused are read again before the next request.
func (s *s3) explain(doing string, err error) error {
	var already *refusal
	if err == nil || errors.Is(err, errDamaged) || errors.Is(err, hourly.ErrGone) || errors.As(err, &already) {
		return err
	}
	answer := minio.ToErrorResponse(err)
	h, known := s3Hints[answer.Code]
	switch {
	case known:
	case answer.StatusCode == http.StatusForbidden:
		h = s3Hints["AccessDenied"]
	case answer.StatusCode == http.StatusNotFound:
		h = s3Hints["NoSuchBucket"]
	case answer.StatusCode == http.StatusInsufficientStorage:
		h = s3Hints["XMinioStorageFull"]
	case answer.StatusCode >= 500:
		h = s3Hints["InternalError"]
	case answer.Code != "":
		h = hint{waitsForOther, answer.Code}
	default:
		h = networkHint(err, "archive.s3.endpoint", "archive.s3.caFile")
		if !s.cfg.PathStyle && (h.reason == waitsForCertificate || h.reason == waitsForNetwork) {
			h.text += " (with archive.s3.pathStyle: false the bucket is part of the host's name)"
		}
	}
	if h.reason == waitsForCredentials || h.reason == waitsForRights {
		if found, ferr := s.creds.GetWithContext(nil); ferr == nil && found.SignerType == credentials.SignatureAnonymous {
			h = hint{waitsForCredentials, "no credentials were found: set archive.s3.accessKey and archive.s3.secretKey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the instance"}
		}
		s.creds.Expire()
	}
	if known { // the code says it all
		err = fmt.Errorf("%s in bucket %s: %s (%s)", doing, s.cfg.Bucket, h.text, answer.Code)
	} else {
		err = fmt.Errorf("%s in bucket %s: %s: %w", doing, s.cfg.Bucket, h.text, err)
	}
	return &refusal{h.reason, h.reason == waitsForBucket, err}
}

// networkHint explains an error of a connection to what setting names. ca is the
// setting that has the authorities.
func networkHint(err error, setting, ca string) hint {
	var (
		dns     *net.DNSError
		dial    *net.OpError
		timeout net.Error
		request *url.Error
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return hint{waitsForCertificate, "the certificate of " + setting + " is not signed by an authority that is known here: set " + ca}
	case errors.As(err, &host):
		return hint{waitsForCertificate, "the certificate is not for the host in " + setting}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return hint{waitsForCertificate, "the certificate of " + setting + " has expired or is not valid yet: renew it, or set the clock of this machine"}
	case errors.As(err, &invalid):
		return hint{waitsForCertificate, "the certificate of " + setting + " is not valid"}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return hint{waitsForCertificate, setting + " says https:// but the service speaks http://"}
	case strings.Contains(err.Error(), "refused TLS connection"): // pgx has no error of its own for it
		return hint{waitsForCertificate, "the server of " + setting + " has no TLS"}
	case errors.As(err, &dns):
		return hint{waitsForNetwork, "the host in " + setting + " has no address"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return hint{waitsForLoad, setting + " does not answer in time"}
	case errors.As(err, &dial) && dial.Op == "dial":
		return hint{waitsForNetwork, setting + " cannot be reached"}
	case errors.As(err, &dial), errors.As(err, &request):
		return hint{waitsForNetwork, "the connection to " + setting + " was lost, or something else listens there"}
	}
	return hint{waitsForOther, "see " + setting}
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
