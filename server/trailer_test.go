package server

import (
	"fmt"
	"strings"
	"testing"
)

// Trailers after the last chunk (RFC 9112, section 7.1.2) are read and left out: they
// belong to the request, whatever is in them, and the next request begins after them.
func TestServer_TrailersOfAChunkedBodyAreNoRequest(t *testing.T) {
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(line1), line1)
	next := "POST /logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(line2)) + "\r\n\r\n" + line2
	for _, c := range []struct{ header, trailers, statuses string }{
		{"", "", "[202 202]"},
		{"Trailer: X-Sum\r\n", "X-Sum: 1\r\n", "[202 202]"},
		{"", "X-Sum: 1\r\n", "[202 202]"},
		{"", "X-Sum: 1\r\nServer-Timing: a;dur=1\r\n", "[202 202]"},
		{"Trailer: Content-MD5\r\n", "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\n", "[202 202]"},
		// These would change what was decided before the body: refused, and nothing
		// after them is taken for a request.
		{"Trailer: Content-Length\r\n", "Content-Length: 5\r\n", "[400]"},
		{"", "Content-Length: 500\r\n", "[400]"},
		{"", "Transfer-Encoding: chunked\r\n", "[400]"},
		{"", "Content-Encoding: gzip\r\n", "[400]"},
		{"", "X-API-Key: k\r\n", "[202 202]"},
		{"", "no colon\r\n", "[400]"},
		{"", "X: " + strings.Repeat("x", 100_000) + "\r\n", "[400]"},
	} {
		f := start(t, nil)
		got := f.raw("POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + c.header + "\r\n" + chunks + c.trailers + "\r\n" + next)
		codes := fmt.Sprint(statusesOf(t, got))
		stored := strings.Count(c.statuses, "202")
		if codes != c.statuses || f.sink.records() != stored {
			t.Errorf("%q %.80q: %s, not %s, %d records\n%.400s", c.header, c.trailers, codes, c.statuses, f.sink.records(), got)
		}
	}
}
