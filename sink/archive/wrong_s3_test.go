package archive

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"logforge/sink/archive/archivetest"
)

// waitsFor waits until the status, the metrics and the log agree on what the
// only destination waits for, in the words that are expected.
func (n *node) waitsFor(reason string, words ...string) {
	n.t.Helper()
	defer func() {
		if n.t.Failed() {
			n.t.Logf("status: %+v", n.archive.Status())
		}
	}()
	for _, word := range words {
		eventually(n.t, "an error that says "+word, func() bool { return strings.Contains(n.errorOf(), word) })
	}
	eventually(n.t, "reason "+reason, func() bool { return n.archive.Status()[0].Reason == reason })
	var text bytes.Buffer
	n.set.WritePrometheus(&text)
	if want := fmt.Sprintf("logforge_archive_waiting{destination=%q,reason=%q} 1\n", n.archive.Status()[0].Destination, reason); !strings.Contains(text.String(), want) {
		n.t.Errorf("the metrics lack %s", want)
	}
	if st := n.archive.Status()[0]; !st.Behind || st.Since.IsZero() || !strings.Contains(n.log.String(), "reason="+reason) {
		n.t.Errorf("%+v", st)
	}
}

// waitsForNothing says that everything is stored and nothing is wrong any more.
func (n *node) waitsForNothing() {
	n.t.Helper()
	n.drained()
	// The part is known to be stored a moment before the status says so.
	eventually(n.t, "the status says that nothing is wrong", func() bool {
		st := n.archive.Status()[0]
		return !st.Behind && st.Error == "" && st.Reason == ""
	})
	var text bytes.Buffer
	n.set.WritePrometheus(&text)
	if strings.Contains(text.String(), "\"} 1\n") && strings.Contains(text.String(), "logforge_archive_waiting") {
		for l := range strings.Lines(text.String()) {
			if strings.HasPrefix(l, "logforge_archive_waiting") && strings.HasSuffix(l, " 1\n") {
				n.t.Error(l)
			}
		}
	}
}

// empty removes a bucket's objects.
func empty(t *testing.T, c *minio.Client, bucket string) {
	t.Helper()
	for _, key := range objects(t, c, bucket, "") {
		if err := c.RemoveObject(context.Background(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// Ensure that a bucket that was removed and made again gets everything that the
// local disk still has.
func TestS3_ABucketMadeAgainGetsEverythingAgain(t *testing.T) {
	s := archivetest.S3Server(t)
	c := s.Client(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.start()
	n.some(14, 50)
	n.some(15, 50)
	n.drained()
	empty(t, c, bucket)
	if err := c.RemoveBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
	n.some(16, 50)
	n.waitsFor("bucket", "archive.s3.bucket does not exist")
	if err := c.MakeBucket(context.Background(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	n.waitsForNothing()
	sameLines(t, n.wrote, inBucket(t, c, bucket))
}

// Ensure that objects that disappear without an error are noticed, and that one
// answer without them is not enough for it.
func TestS3_WhatSomebodyRemovedIsStoredAgain(t *testing.T) {
	s := archivetest.S3Server(t)
	c := s.Client(t)
	bucket, n := s.Bucket(t), newNode(t)
	p := archivetest.NewProxy(t, s)
	n.toBucket(p.Endpoint(), bucket)
	n.start()
	n.some(15, 50)
	n.some(16, 50)
	n.drained()
	n.halt()
	n.start()
	n.archive.followers[0].setRecheck(10 * time.Millisecond)
	n.drained()
	sent := p.Requests(http.MethodPut)
	asked := p.Requests(http.MethodGet)
	eventually(t, "it is asked again and again", func() bool { return p.Requests(http.MethodGet) > asked+5 })
	if got := p.Requests(http.MethodPut); got != sent {
		t.Errorf("%d objects were sent again although they are there", got-sent)
	}
	empty(t, c, bucket)
	eventually(t, "everything is there again", func() bool { return len(objects(t, c, bucket, "logs/")) == 2 })
	n.drained()
	sameLines(t, n.wrote, inBucket(t, c, bucket))
	if !strings.Contains(n.log.String(), "no longer there") {
		t.Error("the log does not say so")
	}
}

// Ensure that each of these goes on without a restart once somebody has mended
// it at the server, in a file, or on the machine.
func TestS3_GoesOnByItselfOnceItIsMended(t *testing.T) {
	s := archivetest.S3Server(t)
	type broken struct {
		*node
		bucket string
		proxy  *archivetest.Proxy
	}
	f := func(name, reason, says string, breakIt func(b *broken) (mend func())) {
		t.Run(name, func(t *testing.T) {
			b := &broken{newNode(t), s.Bucket(t), archivetest.NewProxy(t, s)}
			b.toBucket(b.proxy.Endpoint(), b.bucket)
			mend := breakIt(b)
			b.some(15, 10)
			b.start()
			b.waitsFor(reason, says)
			b.some(16, 10) // the files are not touched by it
			mend()
			b.waitsForNothing()
			sameLines(t, b.wrote, inBucket(t, s.Client(t), b.bucket))
		})
	}
	write := func(name, text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	f("no bucket", "bucket", "archive.s3.bucket does not exist", func(b *broken) func() {
		b.bucket = "later-" + b.bucket
		b.cfg.S3.Bucket = b.bucket
		return func() {
			if err := s.Client(t).MakeBucket(context.Background(), b.bucket, minio.MakeBucketOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	f("secret in a file", "credentials", "archive.s3.secretKey does not belong", func(b *broken) func() {
		file := filepath.Join(t.TempDir(), "secret")
		write(file, "wrong\n", long)
		b.cfg.S3.SecretKey, b.cfg.S3.SecretKeyFile = "", file
		return func() { write(file, archivetest.SecretKey+"\n", time.Now()) }
	})
	f("secret file missing", "credentials", "archive.s3.secretKeyFile", func(b *broken) func() {
		file := filepath.Join(t.TempDir(), "secret")
		b.cfg.S3.SecretKey, b.cfg.S3.SecretKeyFile = "", file
		return func() { write(file, archivetest.SecretKey, time.Now()) }
	})
	f("user unknown, then without rights", "credentials", "archive.s3.accessKey is not known", func(b *broken) func() {
		b.cfg.S3.AccessKey = "u" + b.bucket
		b.cfg.S3.SecretKey = "user-secret"
		return func() {
			s.User(t, b.cfg.S3.AccessKey, "user-secret")
			b.waitsFor("rights", "docs/archive.md has the policy")
			s.Allow(t, b.bucket, b.cfg.S3.AccessKey, policy...)
		}
	})
	f("expired session in the shared credentials file", "credentials", "have expired", func(b *broken) func() {
		file := filepath.Join(t.TempDir(), "credentials")
		shared := func(token string) string {
			return "[default]\naws_access_key_id = " + archivetest.AccessKey + "\naws_secret_access_key = " + archivetest.SecretKey + "\n" + token
		}
		write(file, shared("aws_session_token = old\n"), long)
		for name, value := range map[string]string{"AWS_SHARED_CREDENTIALS_FILE": file, "AWS_CONFIG_FILE": file, "AWS_ACCESS_KEY_ID": "", "AWS_ACCESS_KEY": "", "AWS_PROFILE": ""} {
			t.Setenv(name, value)
		}
		b.cfg.S3.AccessKey, b.cfg.S3.SecretKey = "", ""
		// The server keeps no sessions: what AWS says of an old one is put in its place.
		b.proxy.Decide(func(r *http.Request) archivetest.Action {
			if r.Header.Get("X-Amz-Security-Token") == "old" {
				return archivetest.Expired
			}
			return archivetest.Pass
		})
		return func() { write(file, shared(""), time.Now()) }
	})
	f("clock", "clock", "synchronise the clock", func(b *broken) func() {
		b.proxy.Decide(func(*http.Request) archivetest.Action { return archivetest.Skewed })
		return func() { b.proxy.Decide(nil) }
	})
	f("slow down", "busy", "asks for fewer requests", func(b *broken) func() {
		b.proxy.Decide(func(*http.Request) archivetest.Action { return archivetest.Refuse })
		return func() { b.proxy.Decide(nil) }
	})
	f("disconnected", "unreachable", "archive.s3.endpoint", func(b *broken) func() {
		b.proxy.Decide(func(*http.Request) archivetest.Action { return archivetest.Disconnect })
		return func() { b.proxy.Decide(nil) }
	})
	f("every request takes long", "busy", "does not answer in time", func(b *broken) func() {
		b.slow = 200 * time.Millisecond
		b.proxy.Decide(func(*http.Request) archivetest.Action { time.Sleep(time.Second); return archivetest.Disconnect })
		return func() {
			b.proxy.Decide(func(*http.Request) archivetest.Action { time.Sleep(20 * time.Millisecond); return archivetest.Pass })
		}
	})
}

func TestS3_AServerThatIsAwayIsWaitedFor(t *testing.T) {
	s := archivetest.OwnS3(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.start()
	n.some(15, 50)
	n.drained()
	s.Kill(t)
	n.some(16, 50)
	n.waitsFor("unreachable", "archive.s3.endpoint")
	n.restart()
	n.some(17, 50)
	s.Start(t)
	n.waitsForNothing()
	sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
}

func TestS3_AFullServerIsWaitedFor(t *testing.T) {
	disk := archivetest.SmallDisk(t, 4)
	s := archivetest.OwnS3(t, "S3_DIR="+disk.Dir)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.start()
	noise := noise()
	for hour := range 8 {
		n.write(line(hour, 1, `,"noise":"`+noise(900<<10)+`"`))
	}
	eventually(t, "an error", func() bool { return n.errorOf() != "" })
	if reason := n.archive.Status()[0].Reason; reason != "full" && reason != "busy" {
		t.Errorf("reason %s: %s", reason, n.errorOf())
	}
	disk.Grow(t, 64)
	n.waitsForNothing()
	sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
}

// Ensure that a web server that answers everything with 200 is not taken for a
// bucket.
func TestS3_AWebServerIsNoBucket(t *testing.T) {
	for name, answer := range map[string]string{"page": "<html><body>hello</body></html>", "nothing": "",
		"a list": `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>`} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
			defer web.Close()
			n := newNode(t)
			n.toBucket(web.URL, "some-bucket")
			n.some(15, 10)
			n.start()
			eventually(t, "an error that names the endpoint", func() bool { return strings.Contains(n.errorOf(), "archive.s3.endpoint") })
			if st := n.archive.Status()[0]; st.Parts != 0 || st.PendingBytes == 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}
