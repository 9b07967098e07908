package archivetest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// sign signs a request by AWS Signature Version 4 as of an instant, which need
// not be now. The body's SHA-256 is in X-Amz-Content-Sha256.
func sign(r *http.Request, access, secret string, at time.Time) {
	at = at.UTC()
	r.Header.Set("X-Amz-Date", at.Format("20060102T150405Z"))
	r.Header.Del("Authorization")
	signed := []string{"host"}
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") || name == "if-none-match" || name == "content-type" {
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"))
	for _, name := range signed {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	names := strings.Join(signed, ";")
	fmt.Fprintf(&canonical, "\n%s\n%s", names, r.Header.Get("X-Amz-Content-Sha256"))
	scope := at.Format("20060102") + "/us-east-1/s3/aws4_request"
	sum := sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + secret)
	for _, word := range append(strings.Split(scope, "/"), "AWS4-HMAC-SHA256\n"+at.Format("20060102T150405Z")+"\n"+scope+"\n"+hex.EncodeToString(sum[:])) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(word))
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", access, scope, names, key))
}

// User makes a user of the server who may do nothing yet.
func (s *S3) User(t testing.TB, access, secret string) {
	t.Helper()
	body := []byte(fmt.Sprintf("<Account><Access>%s</Access><Secret>%s</Secret><Role>user</Role></Account>", access, secret))
	r, err := http.NewRequest(http.MethodPatch, s.Endpoint()+"/create-user", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	sign(r, AccessKey, SecretKey, time.Now())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("making a user: %s %s %v", resp.Status, text, err)
	}
}

// Statement is one permission of a policy: an action on resources, which are
// names below the bucket, or the bucket itself for an empty one.
type Statement struct {
	Actions   []string
	Resources []string
}

// Allow gives a user rights on a bucket, and takes all others away.
func (s *S3) Allow(t testing.TB, bucket, access string, statements ...Statement) {
	t.Helper()
	var all []map[string]any
	for _, st := range statements {
		var resources []string
		for _, name := range st.Resources {
			resources = append(resources, strings.TrimSuffix("arn:aws:s3:::"+bucket+"/"+name, "/"))
		}
		all = append(all, map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": []string{access}}, "Action": st.Actions, "Resource": resources})
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": all})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Client(t).SetBucketPolicy(context.Background(), bucket, string(policy)); err != nil {
		t.Fatal(err)
	}
}

// resign signs a request that a client has signed as if the client's clock were
// an hour slow.
func resign(r *http.Request) {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		r.URL.RawPath = u.RawPath
	}
	sign(r, AccessKey, SecretKey, time.Now().Add(-time.Hour))
}
