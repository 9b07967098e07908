package archive

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"logforge/sink/archive/archivetest"
)

func TestS3_EveryLineIsInTheBucketOnceAlsoLateOnes(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.start()
	n.inRounds()
	n.restart()
	n.some(15, 1)
	n.drained()
	sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
	keys := objects(t, s.Client(t), bucket, "logs/date=2026-02-09/hour=15/")
	if len(keys) != 6 || !slices.IsSorted(keys) {
		t.Errorf("%q", keys)
	}
}

func TestS3_ARestartSendsNothingThatIsThereAlready(t *testing.T) {
	s := archivetest.S3Server(t)
	p := archivetest.NewProxy(t, s)
	n := newNode(t)
	n.toBucket(p.Endpoint(), s.Bucket(t))
	n.start()
	for h := range 5 {
		n.some(h, 50)
	}
	n.drained()
	sent := p.Requests(http.MethodPut)
	for range 3 {
		n.restart()
		n.drained()
	}
	if again := p.Requests(http.MethodPut) - sent; sent < 5 || again != 0 {
		t.Errorf("%d objects were sent, and %d again", sent, again)
	}
}

func TestS3_PartsAreCutAtPartBytesBetweenLines(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.cfg.PartBytes = 4 << 10
	n.cfg.After = time.Hour // nothing but the size
	n.start()
	n.some(15, 1000)
	n.write(line(15, 1, `,"long":"`+strings.Repeat("x", 20<<10)+`"`))
	n.some(15, 100)
	length := n.files.Extents()[0].Length
	eventually(t, "less than a part is left", func() bool { return n.archive.Status()[0].PendingBytes < 4<<10 })
	n.halt()
	n.cfg.After = time.Millisecond
	n.start()
	n.drained()
	sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
	var at int64
	for _, key := range objects(t, s.Client(t), bucket, "logs/") {
		name := key[strings.LastIndexByte(key, '/')+1 : strings.LastIndex(key, ".ndjson.zst")]
		part, ok := parsePart(n.files.Extents()[0].Hour, name)
		if !ok || part.From != at || part.To-part.From > 25<<10 {
			t.Errorf("%s after byte %d", key, at)
		}
		at = part.To
	}
	if at != length {
		t.Errorf("%d bytes of %d", at, length)
	}
}

// Ensure that an object larger than one request comes whole, and that it is
// still refused where there is one of its name.
func TestS3_ALargeObjectGoesInPieces(t *testing.T) {
	s := archivetest.S3Server(t)
	p := archivetest.NewProxy(t, s)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(p.Endpoint(), bucket)
	noise := noise()
	for range 100 {
		var lines []string
		for i := range 100 {
			lines = append(lines, line(15, i, `,"noise":"`+noise(3000)+`"`))
		}
		n.write(lines...)
	}
	// The first attempt is stored, and the answer never comes.
	failed := false
	p.Decide(func(r *http.Request) archivetest.Action {
		if !failed && r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			failed = true
			return archivetest.StoreAndDisconnect
		}
		return archivetest.Pass
	})
	n.start()
	n.drained()
	c := s.Client(t)
	sameLines(t, n.wrote, inBucket(t, c, bucket))
	keys := objects(t, c, bucket, "logs/")
	o, err := c.StatObject(context.Background(), bucket, keys[0], minio.StatObjectOptions{})
	if err != nil || len(keys) != 1 || o.Size <= onePut || !strings.Contains(o.ETag, "-") {
		t.Errorf("%q: %+v, %v", keys, o, err)
	}
	for upload := range c.ListIncompleteUploads(context.Background(), bucket, "logs/", true) {
		t.Errorf("pieces are left of %s: %v", upload.Key, upload.Err)
	}
}

func TestS3_MetadataSaysWhatAnObjectHolds(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.write(line(15, 1, ""), line(15, 2, ""), `{"timestamp":"2026-02-09T15:00:00.5Z","path":"/","userAgent":"x"}`)
	n.start()
	n.drained()
	c := s.Client(t)
	o, err := c.StatObject(context.Background(), bucket, objects(t, c, bucket, "logs/")[0], minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	meta := map[string]string{}
	for k, v := range o.UserMetadata {
		meta[strings.ToLower(k)] = v
	}
	if meta["records"] != "3" || meta["first"] != "2026-02-09T15:00:01Z" || meta["last"] != "2026-02-09T15:00:00.5Z" ||
		meta["sha256"] != sha256Hex([]byte(strings.Join(n.wrote, "\n")+"\n")) {
		t.Errorf("%v", meta)
	}
}

// Ensure that every way a request can fail, at every step, leaves each line in
// the bucket once, and that it goes on by itself.
func TestS3_EveryLineIsThereOnceWhateverBecomesOfRequests(t *testing.T) {
	s := archivetest.S3Server(t)
	for name, action := range map[string]archivetest.Action{
		"refused": archivetest.Refuse, "stored and answered 500": archivetest.StoreAnd500,
		"stored and disconnected": archivetest.StoreAndDisconnect, "disconnected": archivetest.Disconnect,
	} {
		t.Run(name, func(t *testing.T) {
			p := archivetest.NewProxy(t, s)
			bucket, n := s.Bucket(t), newNode(t)
			n.toBucket(p.Endpoint(), bucket)
			p.Decide(func(*http.Request) archivetest.Action {
				if rand.IntN(2) == 0 {
					return action
				}
				return archivetest.Pass
			})
			n.start()
			for round := range 6 {
				n.some(15, 50)
				n.some(10+round, 5)
				if round%3 == 1 {
					eventually(t, "a part is stored", func() bool { return n.archive.Status()[0].Parts > 0 })
				}
				if round%2 == 1 {
					n.restart()
				}
			}
			n.drained()
			sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
		})
	}
}

func TestS3_SomebodyElsesObjectStopsItsHourAndNoOther(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	n.toBucket(s.Endpoint(), bucket)
	n.some(15, 10)
	e := n.files.Extents()[0]
	id, err := n.files.Instance()
	if err != nil {
		t.Fatal(err)
	}
	d := &s3{cfg: n.cfg.S3}
	key := d.key(Part{Node: id, Hour: e.Hour, Generation: e.Generation, To: e.Length})
	c := s.Client(t)
	// It appears after the archive has looked.
	p := archivetest.NewProxy(t, s)
	n.toBucket(p.Endpoint(), bucket)
	put := false
	p.Decide(func(r *http.Request) archivetest.Action {
		if r.Method == http.MethodPut && !put {
			put = true
			if _, err := c.PutObject(context.Background(), bucket, key, strings.NewReader("foreign"), 7, minio.PutObjectOptions{}); err != nil {
				t.Error(err)
			}
		}
		return archivetest.Pass
	})
	n.start()
	eventually(t, "the object is noticed", func() bool { return strings.Contains(n.errorOf(), "holds something else") })
	n.some(16, 10)
	eventually(t, "another hour goes on", func() bool { return len(objects(t, c, bucket, "logs/date=2026-02-09/hour=16/")) == 1 })
	if !strings.Contains(n.log.String(), key) {
		t.Error("the log does not name the object")
	}
	if text := get(t, c, bucket, key); string(text) != "foreign" {
		t.Errorf("somebody else's object now holds %d bytes", len(text))
	}
	// A restart finds the same.
	n.restart()
	n.some(17, 10)
	eventually(t, "another hour goes on", func() bool { return len(objects(t, c, bucket, "logs/date=2026-02-09/hour=17/")) == 1 })
	if err := c.RemoveObject(context.Background(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	n.drained()
	sameLines(t, n.wrote, inBucket(t, c, bucket))
}

func TestS3_ForeignObjectsUnderThePrefixAreLeftAlone(t *testing.T) {
	s := archivetest.S3Server(t)
	bucket, n := s.Bucket(t), newNode(t)
	c := s.Client(t)
	for _, name := range []string{"logs/readme.txt", "logs/date=2026-02-09/x", "logs/date=2026-02-09/hour=15/other-1-2-3.ndjson.zst", "logs/date=2026-02-09/hour=15/a-b.parquet", "logs/date=x/hour=15/y.parquet"} {
		if _, err := c.PutObject(context.Background(), bucket, name, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	n.toBucket(s.Endpoint(), bucket)
	n.some(15, 10)
	n.start()
	n.drained()
	if got := objects(t, c, bucket, "logs/"); len(got) != 6 || strings.Contains(n.log.String(), "ERROR") {
		t.Errorf("%q", got)
	}
}

// Ensure that what is wrong is said with the setting to change, and that it goes
// on once it has been put right.
func TestS3_WhatIsWrongNamesTheSettingAndGoesOnByItself(t *testing.T) {
	s := archivetest.S3Server(t)
	f := func(name string, breakIt func(*node, *archivetest.Proxy), says ...string) {
		t.Run(name, func(t *testing.T) {
			p := archivetest.NewProxy(t, s)
			bucket, n := s.Bucket(t), newNode(t)
			n.toBucket(p.Endpoint(), bucket)
			good := n.cfg
			breakIt(n, p)
			n.some(15, 10)
			n.start()
			for _, word := range says {
				eventually(t, "an error that says "+word, func() bool { return strings.Contains(n.errorOf(), word) })
			}
			if st := n.archive.Status()[0]; !st.Behind || st.PendingBytes == 0 || st.Since.IsZero() {
				t.Errorf("%+v", st)
			}
			if strings.Contains(n.log.String(), archivetest.SecretKey) {
				t.Error("the log shows the secret")
			}
			n.some(16, 10) // the files are not touched by it
			p.Decide(nil)
			if n.cfg != good {
				n.halt()
				n.cfg = good
				n.start()
			}
			n.drained()
			if st := n.archive.Status()[0]; st.Behind || st.Error != "" {
				t.Errorf("%+v", st)
			}
			sameLines(t, n.wrote, inBucket(t, s.Client(t), bucket))
		})
	}
	f("bucket", func(n *node, _ *archivetest.Proxy) { n.cfg.S3.Bucket = "not-there" }, "archive.s3.bucket", "does not exist")
	f("secret", func(n *node, _ *archivetest.Proxy) { n.cfg.S3.SecretKey = "wrong" }, "archive.s3.secretKey")
	f("key", func(n *node, _ *archivetest.Proxy) { n.cfg.S3.AccessKey = "nobody" }, "archive.s3.accessKey")
	f("endpoint", func(n *node, _ *archivetest.Proxy) { n.cfg.S3.Endpoint = "http://127.0.0.1:1" }, "archive.s3.endpoint", "cannot be reached")
	f("host", func(n *node, _ *archivetest.Proxy) { n.cfg.S3.Endpoint = "http://nobody.invalid" }, "archive.s3.endpoint")
	f("clock", func(_ *node, p *archivetest.Proxy) {
		p.Decide(func(*http.Request) archivetest.Action { return archivetest.Skewed })
	}, "clock")
	f("token", func(_ *node, p *archivetest.Proxy) {
		p.Decide(func(*http.Request) archivetest.Action { return archivetest.Expired })
	}, "expired")
	f("away", func(_ *node, p *archivetest.Proxy) {
		p.Decide(func(*http.Request) archivetest.Action { return archivetest.Refuse })
	}, "SlowDown")
}
