package archive

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"logforge/sink/archive/archivetest"
)

// Rights, and TLS.

// policy is the one in docs/archive.md.
var policy = []archivetest.Statement{
	{Actions: []string{"s3:ListBucket"}, Resources: []string{""}},
	{Actions: []string{"s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"}, Resources: []string{"logs/*", "analytics/*"}},
}

// Ensure that the policy in docs/archive.md suffices for all that is done with a
// bucket, and that each of its rights is needed.
func TestS3_TheLeastRightsSufficeAndEachIsNeeded(t *testing.T) {
	s := archivetest.S3Server(t)
	c := s.Client(t)
	f := func(without string) {
		t.Run("without "+without, func(t *testing.T) {
			bucket, n := s.Bucket(t), newNode(t)
			user := fmt.Sprintf("least-%d", time.Now().UnixNano())
			s.User(t, user, "user-secret")
			var given []archivetest.Statement
			for _, st := range policy {
				var actions []string
				for _, a := range st.Actions {
					if a != without {
						actions = append(actions, a)
					}
				}
				if actions != nil {
					given = append(given, archivetest.Statement{Actions: actions, Resources: st.Resources})
				}
			}
			s.Allow(t, bucket, user, given...)
			p := archivetest.NewProxy(t, s)
			n.toBucket(p.Endpoint(), bucket)
			n.cfg.S3.AccessKey, n.cfg.S3.SecretKey = user, "user-secret"
			stored := false
			p.Decide(func(r *http.Request) archivetest.Action { // so that what is there has to be compared
				if r.Method == http.MethodPut && !stored {
					stored = true
					return archivetest.StoreAndDisconnect
				}
				return archivetest.Pass
			})
			noise := noise()
			n.some(15, 10)
			n.start()
			if without == "" {
				n.drained()
				p.Decide(nil)
				var lines []string // too large for one request
				for i := range 60 {
					lines = append(lines, line(16, i, `,"noise":"`+noise(400<<10)+`"`))
				}
				n.write(lines...)
				n.waitsForNothing()
				sameLines(t, n.wrote, inBucket(t, c, bucket))
				return
			}
			if without == "s3:AbortMultipartUpload" {
				// Only what is left of an upload that failed goes by it.
				n.drained()
				var lines []string
				for i := range 60 {
					lines = append(lines, line(16, i, `,"noise":"`+noise(400<<10)+`"`))
				}
				failed := false
				p.Decide(func(r *http.Request) archivetest.Action {
					if !failed && r.URL.Query().Has("partNumber") {
						failed = true
						return archivetest.Refuse
					}
					return archivetest.Pass
				})
				n.write(lines...)
				n.drained()
				left := 0
				for range c.ListIncompleteUploads(context.Background(), bucket, "logs/", true) {
					left++
				}
				if left == 0 {
					t.Error("the pieces were removed without the right to do so")
				}
				return
			}
			n.waitsFor("rights", "docs/archive.md has the policy")
			s.Allow(t, bucket, user, policy...)
			n.waitsForNothing()
			sameLines(t, n.wrote, inBucket(t, c, bucket))
		})
	}
	f("")
	f("s3:ListBucket")
	f("s3:PutObject")
	f("s3:GetObject")
	f("s3:AbortMultipartUpload")
}

func TestS3_TLSWithItsOwnAuthority(t *testing.T) {
	ca, cert, key := archivetest.Certificates(t, time.Now().Add(time.Hour))
	other, old, oldKey := archivetest.Certificates(t, time.Now().Add(-time.Hour))
	s := archivetest.OwnS3(t, "S3_CERT="+cert, "S3_KEY="+key)
	c := s.TLSClient(t, ca)
	start := func(endpoint, ca string) (*node, string) {
		bucket, n := fmt.Sprintf("tls-%d", time.Now().UnixNano()), newNode(t)
		if err := c.MakeBucket(context.Background(), bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
		n.toBucket(endpoint, bucket)
		n.cfg.S3.CAFile = ca
		n.some(15, 10)
		n.start()
		return n, bucket
	}
	secure := strings.Replace(s.Endpoint(), "http://", "https://", 1)
	n, bucket := start(secure, ca)
	n.waitsForNothing()
	sameLines(t, n.wrote, inBucket(t, c, bucket))
	n, _ = start(secure, other)
	n.waitsFor("certificate", "set archive.s3.caFile")
	n, _ = start(secure, "")
	n.waitsFor("certificate", "set archive.s3.caFile")
	n, _ = start(strings.Replace(secure, "127.0.0.1", "localhost", 1), ca)
	n.waitsFor("certificate", "the certificate is not for the host in archive.s3.endpoint")
	n, _ = start(s.Endpoint(), "")
	n.waitsFor("unreachable", "archive.s3.endpoint")

	s2 := archivetest.OwnS3(t, "S3_CERT="+old, "S3_KEY="+oldKey)
	n = newNode(t)
	n.toBucket(strings.Replace(s2.Endpoint(), "http://", "https://", 1), "some-bucket")
	n.cfg.S3.CAFile = other
	n.some(15, 10)
	n.start()
	n.waitsFor("certificate", "has expired or is not valid yet")

	plain := archivetest.S3Server(t)
	n = newNode(t)
	n.toBucket(strings.Replace(plain.Endpoint(), "http://", "https://", 1), "some-bucket")
	n.some(15, 10)
	n.start()
	n.waitsFor("certificate", "says https:// but the service speaks http://")
}
