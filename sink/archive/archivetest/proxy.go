package archivetest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Action is what becomes of one request.
type Action int

// What a Proxy can do with a request.
const (
	Pass               Action = iota
	Refuse                    // 503, and the server never sees it
	StoreAnd500               // the server does it, the client is told 500
	StoreAndDisconnect        // the server does it, the client's connection is closed
	Disconnect                // the connection is closed, the server never sees it
	Skewed                    // passed on as if the client's clock were an hour slow
	Expired                   // as the server does with an old session token
)

// Proxy is between an S3 client and a server.
type Proxy struct {
	Addr string

	mu       sync.Mutex
	decide   func(*http.Request) Action
	requests map[string]int // by method
}

// NewProxy starts a proxy before an S3 server. It passes everything on until
// Decide says otherwise.
func NewProxy(t testing.TB, to *S3) *Proxy {
	t.Helper()
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t)), requests: map[string]int{}}
	target, err := url.Parse(to.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	// The host that was signed is passed on.
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := &http.Server{Addr: p.Addr, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) })}
	ln, err := net.Listen("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln) //nolint:errcheck // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return p
}

// Endpoint returns the value of archive.s3.endpoint.
func (p *Proxy) Endpoint() string { return "http://" + p.Addr }

// Decide sets what becomes of requests.
func (p *Proxy) Decide(f func(*http.Request) Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = f
}

// Requests returns how many requests of a method have come.
func (p *Proxy) Requests(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[method]
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	p.mu.Lock()
	p.requests[r.Method]++
	action := Pass
	if p.decide != nil {
		action = p.decide(r)
	}
	p.mu.Unlock()
	answer := func(status int, code string) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>injected</Message></Error>", code)
	}
	switch action {
	case Pass:
		forward.ServeHTTP(w, r)
	case Refuse:
		answer(http.StatusServiceUnavailable, "SlowDown")
	case Disconnect:
		panic(http.ErrAbortHandler)
	case StoreAnd500:
		forward.ServeHTTP(&nobody{}, r)
		answer(http.StatusInternalServerError, "InternalError")
	case StoreAndDisconnect:
		forward.ServeHTTP(&nobody{}, r)
		panic(http.ErrAbortHandler)
	case Skewed:
		resign(r)
		forward.ServeHTTP(w, r)
	case Expired:
		answer(http.StatusBadRequest, "ExpiredToken")
	}
}

// nobody is who an answer goes to that must not reach the client.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header {
	if n.header == nil {
		n.header = http.Header{}
	}
	return n.header
}
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}

// Cable is between a database client and its server, and can close their connections.
type Cable struct {
	Addr string

	mu           sync.Mutex
	conns        map[net.Conn]struct{}
	disconnectAt func(fromClient []byte) bool
}

// NewCable starts a cable to addr.
func NewCable(t testing.TB, addr string) *Cable {
	t.Helper()
	c := &Cable{Addr: fmt.Sprintf("127.0.0.1:%d", FreePort(t)), conns: map[net.Conn]struct{}{}}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close(); c.Disconnect() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go c.carry(conn, addr)
		}
	}()
	return c
}

// DisconnectAfter closes the connection once, after the server has received what f says
// true to and has had time to do it, and before the client hears of it.
func (c *Cable) DisconnectAfter(f func(fromClient []byte) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.disconnectAt = f
}

// Disconnect ends every connection.
func (c *Cable) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (c *Cable) carry(client net.Conn, addr string) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	c.mu.Lock()
	c.conns[client], c.conns[server] = struct{}{}, struct{}{}
	c.mu.Unlock()
	silent := make(chan struct{}) // closed: the client hears nothing more
	go func() {
		defer client.Close() //nolint:errcheck // both ends go
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			select {
			case <-silent:
				return
			default:
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	defer server.Close() //nolint:errcheck // both ends go
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		c.mu.Lock()
		last := n > 0 && c.disconnectAt != nil && c.disconnectAt(buf[:n])
		if last {
			c.disconnectAt = nil
			close(silent)
		}
		c.mu.Unlock()
		if _, werr := server.Write(buf[:n]); err != nil || werr != nil {
			return
		}
		if last {
			time.Sleep(50 * time.Millisecond) // for the server to do it
			_ = client.Close()
			return
		}
	}
}
