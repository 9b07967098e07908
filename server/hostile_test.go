package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"logforge/config"
)

// hidden is a second request that must never be answered: it is the body of the
// first, or what is left of it.
const hidden = "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 78\r\n\r\n" + line1

func TestFramingThatCanBeReadInTwoWaysIsRefusedAndTheConnectionClosed(t *testing.T) {
	f := start(t, nil)
	const head = "POST /logs HTTP/1.1\r\nHost: x\r\n"
	refused := func(name, headers, body string) {
		t.Helper()
		f.sink.lines = nil
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, head+headers+"\r\n"+body)
		answer, closed := f.readAll(c)
		if codes := statusesOf(t, answer); len(codes) != 1 || codes[0] != 400 || !closed {
			t.Errorf("%s: answers %v, closed: %v\n%s", name, codes, closed, answer)
		}
		if !strings.Contains(answer, "application/problem+json") || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %s", name, answer)
		}
		if f.sink.text() != "" {
			t.Errorf("%s: stored %q", name, f.sink.text())
		}
	}
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(line1), line1)
	cl := fmt.Sprintf("Content-Length: %d\r\n", len(line1))
	refused("TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunks+hidden)
	refused("CL and TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks+hidden)
	refused("in odd case", "cONTENT-lENGTH: 5\r\ntRANSFER-eNCODING: CHUNKED\r\n", chunks+hidden)
	refused("TE identity and CL", "Transfer-Encoding: identity\r\n"+cl, line1+hidden)
	refused("CL 0 and TE", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", chunks+hidden)
	refused("two CL", cl+"Content-Length: 5\r\n", line1+hidden)
	refused("two equal CL", cl+cl, line1+hidden)
	refused("CL list", "Content-Length: 5, 78\r\n", line1+hidden)
	refused("CL negative", "Content-Length: -1\r\n", line1+hidden)
	refused("CL plus", "Content-Length: +78\r\n", line1+hidden)
	refused("CL hex", "Content-Length: 0x4e\r\n", line1+hidden)
	refused("CL huge", "Content-Length: 99999999999999999999\r\n", line1+hidden)
	refused("CL empty", "Content-Length: \r\n", line1+hidden)
	refused("space before colon", "Content-Length : 78\r\n", line1+hidden)
	refused("two TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks+hidden)
	refused("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", chunks+hidden)
	refused("TE xchunked", "Transfer-Encoding: xchunked\r\n", chunks+hidden)
	refused("NUL in a header", "X: a\x00b\r\n"+cl, line1+hidden)
	refused("bad chunk size", "Transfer-Encoding: chunked\r\n", "zz\r\n"+line1+"\r\n0\r\n\r\n"+hidden)
	refused("chunk size over 64 bits", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"+line1+"\r\n0\r\n\r\n"+hidden)
	refused("negative chunk size", "Transfer-Encoding: chunked\r\n", "-4e\r\n"+line1+"\r\n0\r\n\r\n"+hidden)
	refused("chunk without its CRLF", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%sXX0\r\n\r\n", len(line1), line1)+hidden)
	refused("bare LF after the chunk size", "Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x;a\n%s\r\n0\r\n\r\n", len(line1), line1)+hidden)
}

func TestAnUnreadBodyIsNeverTakenForARequest(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes = 64 << 10 })
	// first is refused before its body is read; the request after it is honest.
	const honest = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
	pipelined := func(name, first, body string, want ...int) {
		t.Helper()
		f.sink.lines = nil
		answer := f.raw(first + fmt.Sprintf("Host: x\r\nContent-Length: %d\r\n\r\n", len(body)) + body + honest)
		if got := statusesOf(t, answer); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: answers %v, want %v\n%s", name, got, want, answer)
		}
		if f.sink.text() != "" {
			t.Errorf("%s: the body was taken for a request, and stored", name)
		}
	}
	small, large := hidden, strings.Repeat(hidden, 40_000/len(hidden))
	// A small body is swallowed and the connection goes on; a large one ends it.
	pipelined("404", "POST /nothing HTTP/1.1\r\n", small, 404, 200)
	pipelined("404, large", "POST /nothing HTTP/1.1\r\n", large, 404)
	pipelined("405", "PUT /logs HTTP/1.1\r\n", small, 405, 200)
	pipelined("405, large", "PUT /logs HTTP/1.1\r\n", large, 405)
	pipelined("415", "POST /logs HTTP/1.1\r\nContent-Type: a/b\r\n", small, 415, 200)
	pipelined("415, large", "POST /logs HTTP/1.1\r\nContent-Type: a/b\r\n", large, 415)
	pipelined("413", "POST /logs HTTP/1.1\r\n", strings.Repeat(hidden, 1000), 413)
	pipelined("GET with a body", "GET /health HTTP/1.1\r\n", small, 200, 200)
	pipelined("GET with a large body", "GET /health HTTP/1.1\r\n", large, 200)
	pipelined("HEAD with a body", "HEAD /nothing HTTP/1.1\r\n", large, 404)
	pipelined("400 by the codec: read to its end", "POST /logs HTTP/1.1\r\nContent-Type: application/json\r\n", large, 400, 200)

	chunked := fmt.Sprintf("PUT /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	if got := statusesOf(t, f.raw(chunked+honest)); fmt.Sprint(got) != "[405]" {
		t.Errorf("unread chunks: answers %v", got)
	}
	read := fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x;ext=1\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n", len(line1), line1)
	if got := statusesOf(t, f.raw(read+read+honest)); fmt.Sprint(got) != "[202 202 200]" {
		t.Errorf("chunks read to their end: answers %v", got)
	}
}

func TestAClientThatIsStillSendingCanReadWhyItWasRefused(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes = 64 << 10 })
	c := f.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\nx")
	begin := make([]byte, 13)
	if _, err := io.ReadFull(c, begin); err != nil || string(begin) != "HTTP/1.1 413 " {
		t.Fatalf("%v %q", err, begin)
	}
	// The answer is there; many clients look for it only when they have sent all.
	for range 200 {
		if _, err := io.WriteString(c, strings.Repeat("x", 100_000)); err != nil {
			t.Fatalf("while sending: %v", err)
		}
	}
	_ = c.(*net.TCPConn).CloseWrite()
	if rest, closed := f.readAll(c); !closed || !strings.Contains(rest, "server.maxBodyBytes") {
		t.Errorf("closed: %v, %q", closed, rest)
	}
}

func TestABodyThatEndsEarlyIsNotStored(t *testing.T) {
	f := start(t, nil)
	for _, request := range []string{
		fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(line1)+1, line1),
		fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 1<<20, line1),
		"POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n",
		fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(line1), line1),
		fmt.Sprintf("POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(line1)+1, line1),
	} {
		c := f.dial()
		_, _ = io.WriteString(c, request)
		_ = c.(*net.TCPConn).CloseWrite()
		answer, closed := f.readAll(c)
		c.Close()
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !closed {
			t.Errorf("%.90q: closed: %v, answer: %q", request, closed, answer)
		}
	}
	if f.sink.text() != "" {
		t.Errorf("stored %q", f.sink.text())
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestExpectContinueIsAnsweredBeforeTheBody(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Auth = config.Auth{Enabled: true, HeaderName: "X-API-Key", Keys: config.Keys{{Value: "k"}}}
		c.Server.MaxBodyBytes = 1000
	})
	const key = "X-API-Key: k\r\n"
	first := func(headers string) string {
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+headers+"\r\n")
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	for headers, want := range map[string]string{
		"Content-Length: 78\r\n":                                                 "HTTP/1.1 401 ",
		"Content-Length: 1001\r\n" + key:                                         "HTTP/1.1 413 ",
		"Content-Length: 78\r\nContent-Type: a/b\r\n" + key:                      "HTTP/1.1 415 ",
		"Content-Length: 78\r\nContent-Encoding: br\r\n" + key:                   "HTTP/1.1 415 ",
		"Content-Length: 78\r\nTransfer-Encoding: chunked\r\n" + key:             "HTTP/1.1 400 ",
		"Content-Length: 78\r\nContent-Type: application/json; x=y\r\n" + key:    "HTTP/1.1 100 ",
		"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n" + key: "HTTP/1.1 100 ",
	} {
		if answer := first(headers); !strings.HasPrefix(answer, want) {
			t.Errorf("%q: %q, want %s", headers, answer, want)
		} else if !strings.Contains(want, " 100 ") && (!strings.Contains(answer, "problem+json") || !strings.Contains(answer, "Connection: close")) {
			t.Errorf("%q: %q", headers, answer)
		}
	}
	c := f.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 78\r\n"+key+"\r\n")
	buf := make([]byte, 4096)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%v %q", err, buf[:n])
	}
	_, _ = io.WriteString(c, line1)
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 202 ") || f.sink.text() != line1 {
		t.Errorf("after 100: %v %q", err, buf[:n])
	}
}

func TestWhatIsNoRequestIsAProblemToo(t *testing.T) {
	f := start(t, nil)
	for request, want := range map[string]string{
		"nonsense\r\n\r\n":                                                                "HTTP/1.1 400 ",
		"GET /health\r\n\r\n":                                                             "HTTP/1.1 400 ",
		"GET  /health HTTP/1.1\r\n\r\n":                                                   "HTTP/1.1 400 ",
		"G@T /health HTTP/1.1\r\nHost: x\r\n\r\n":                                         "HTTP/1.1 400 ",
		"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                              "HTTP/1.1 400 ",
		"GET /health HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n":                           "HTTP/1.1 400 ",
		"GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 9000) + "\r\n\r\n": "HTTP/1.1 431 ",
		"GET /" + strings.Repeat("y", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n":              "HTTP/1.1 431 ",
		"GET /health HTTP/1.0\r\n\r\n":                                                    "HTTP/1.1 200 ",
	} {
		answer := f.raw(request)
		if !strings.HasPrefix(answer, want) {
			t.Errorf("%.60q: %q, want %s", request, answer, want)
		} else if !strings.Contains(want, "200") && !strings.Contains(answer, "application/problem+json") {
			t.Errorf("%.60q: %q", request, answer)
		}
	}
	if f.raw("\r\n") != "" {
		t.Error("an empty line is answered")
	}
}

func TestAClientThatIsTooSlowIsAskedToComeAgain(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.ReadTimeout, c.Server.IdleTimeout = 150*time.Millisecond, 100*time.Millisecond
	})
	// drip sends byte by byte until the server has had enough.
	drip := func(name, start, rest, want string) {
		t.Helper()
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, start)
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for i := range rest {
				select {
				case <-tick.C:
				case <-stop:
					return
				}
				if _, err := io.WriteString(c, rest[i:i+1]); err != nil {
					return
				}
			}
		}()
		answer, closed := f.readAll(c)
		close(stop)
		<-done
		if !strings.HasPrefix(answer, want) || !closed {
			t.Errorf("%s: closed: %v, answer: %q, want %q", name, closed, answer, want)
		}
		if strings.Contains(want, " 503 ") && !strings.Contains(answer, `"reason":"slow"`) {
			t.Errorf("%s: %q", name, answer)
		}
	}
	long := strings.Repeat("a", 1000)
	drip("header", "POST /logs HTTP/1.1\r\nX: ", long, "HTTP/1.1 503 ")
	drip("body", "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", long, "HTTP/1.1 503 ")
	drip("chunk", "POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n", long, "HTTP/1.1 503 ")
	drip("chunk size", "POST /logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1;"+long, "HTTP/1.1 503 ")
	drip("a body that is refused", "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 1000\r\n\r\n", long, "HTTP/1.1 415 ")
	drip("nothing at all", "", "", "")

	c := f.dial()
	defer c.Close()
	_, _ = io.WriteString(c, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, closed := f.readAll(c); !closed || strings.Count(answer, "HTTP/1.1") != 1 {
		t.Errorf("an idle connection: closed: %v, %q", closed, answer)
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestAPromiseHoldsNoRoom(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 4<<20
	})
	// A hundred clients promise 1 MiB each and send nothing of it.
	for range 100 {
		c := f.dial()
		defer c.Close()
		_, _ = io.WriteString(c, "POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n[")
	}
	eventually(t, "all of them have come in", func() bool {
		return f.count.working.Load()+int64(f.value(`logforge_requests_total{route="/logs"`)) == 100
	})
	if used := f.bytes.used.Load(); used > f.bytes.limit/4+1<<20+100*firstBuffer {
		t.Errorf("promises hold %d of %d bytes", used, f.bytes.limit)
	}
	if r := f.post(array(5000)); r.status != 202 {
		t.Errorf("an honest client: %d %s", r.status, r.body)
	}
}

func TestDeepNestingAndHugeStringsAreRefused(t *testing.T) {
	f := start(t, nil)
	for name, body := range map[string]string{
		"arrays":         strings.Repeat("[", 1<<20),
		"objects":        strings.Repeat(`{"a":`, 200_000),
		"a deep member":  `{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `,` + line1[1:],
		"a huge string":  `{"x":"` + strings.Repeat("y", 3<<20) + `",` + line1[1:],
		"a huge number":  `[{"x":` + strings.Repeat("9", 3<<20) + `,` + line1[1:] + `]`,
		"an endless CSV": `"` + strings.Repeat("a,\n", 1<<20),
	} {
		if r := f.post(body); r.status != 400 && r.status != 413 {
			t.Errorf("%s: %d %.200s", name, r.status, r.body)
		}
	}
	if f.sink.text() != "" {
		t.Error("stored something")
	}
}
