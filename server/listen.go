package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// connections are the open connections of a server and their limits.
type connections struct {
	max      int
	maxPerIP int                         // 0: no limit
	refusal  []byte                      // the whole answer to an excess connection; empty with TLS
	tls      *atomic.Pointer[tls.Config] // nil: plain HTTP; replaced by Reload
	log      *slog.Logger
	refused  func() // counts it

	limits phaseLimits
	tick   atomic.Int64 // counts the intervals of watch
	bytes  *room        // that conn.reserved belongs to

	most    int    // connections kept open; see closeLongest
	evicted func() // counts those that were closed for others

	lingering chan struct{} // bounds the goroutines that close refused connections

	mu    sync.Mutex
	open  map[*conn]struct{}   // guarded by mu
	perIP map[netip.Prefix]int // guarded by mu; only kept with maxPerIP

	closing int       // of open, those that closeLongest has picked; guarded by mu
	looked  time.Time // when closeLongest last looked; guarded by mu
}

// listener accepts connections up to their limits. It does what fasthttp's own
// limits do not: an excess connection is answered 503 with Retry-After (not
// 429, on which shippers drop data), a lack of file descriptors is waited out, and
// connections close lingering.
type listener struct {
	net.Listener
	*connections
}

// maxLingering is how many refused connections may linger at once; past it they
// are closed as soon as they are answered.
const maxLingering = 64

// Accept returns the next connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	const longest = time.Second
	pause := 5 * time.Millisecond
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if exhausted(err) {
				l.log.Warn("cannot accept connections for now", "error", err)
				time.Sleep(pause)
				pause = min(2*pause, longest)
				continue
			}
			return nil, err
		}
		own := &conn{Conn: c, all: l.connections, ip: prefixOf(c.RemoteAddr())}
		own.enter(opening)
		if !l.add(own) {
			l.refused()
			l.refuse(c)
			continue
		}
		if current := l.tls.Load(); current != nil {
			t := tls.Server(c, current)
			own.Conn = t
			return &secureConn{own, t}, nil
		}
		return own, nil
	}
}

// exhausted says whether err is a lack of something that others will give back.
func exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// prefixOf is whom a limit by address counts: an IPv4 address, or the /64 that
// one IPv6 client commands.
func prefixOf(a net.Addr) netip.Prefix {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := t.AddrPort().Addr().Unmap()
	n := 32
	if ip.Is6() {
		n = 64
	}
	p, _ := ip.WithZone("").Prefix(n)
	return p
}

func (l *connections) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.max || !l.makePlace() {
		return false
	}
	if l.maxPerIP > 0 && c.ip.IsValid() {
		if l.perIP[c.ip] >= l.maxPerIP {
			return false
		}
		l.perIP[c.ip]++
	}
	l.open[c] = struct{}{}
	l.lend()
	return true
}

// connBytes is about what a connection takes from its first request on: the stack
// of its goroutine, the buffer for headers, what is parsed of them, and the socket.
const connBytes = 20 << 10

// mostConnections is how many connections a budget of n bytes keeps open: they may
// take half of it.
func mostConnections(n int64) int { return max(256, int(n/2/connBytes)) }

// lend takes what connections need from the budget of requests. An eighth of it is
// theirs beside that. l.mu is held.
func (l *connections) lend() {
	if l.bytes != nil {
		n := int64(len(l.open))*connBytes - l.bytes.limit/8
		l.bytes.lent.Store(min(max(0, n), l.bytes.limit/2))
	}
}

// makePlace reports whether one more connection may be kept open. With as many as
// there may be, those that have waited longest are closed for it; until they are,
// a few more are kept. l.mu is held.
func (l *connections) makePlace() bool {
	if l.most == 0 || len(l.open)-l.closing < l.most {
		return true
	}
	if now := time.Now(); now.Sub(l.looked) > 50*time.Millisecond {
		l.looked = now
		l.closeLongest(max(1, l.most/16))
	}
	return l.closing > 0 && len(l.open) < l.most+l.most/8
}

// closeLongest ends up to n of the connections that have waited longest: silent or
// idle ones after a second, and requests that are still arriving after three. l.mu is
// held.
func (l *connections) closeLongest(n int) {
	type wait struct {
		c     *conn
		since int64
	}
	var waits []wait
	interval, tick := l.limits.tickOf(), l.tick.Load()
	for c := range l.open {
		state := c.state.Load()
		least := lapse
		switch phase(state & 7) {
		case opening, idle:
		case arriving:
			least *= 3
		default:
			continue
		}
		if !c.picked && time.Duration(tick-state>>3-1)*interval >= least {
			waits = append(waits, wait{c, state >> 3})
		}
	}
	slices.SortFunc(waits, func(a, b wait) int { return cmp.Compare(a.since, b.since) })
	for _, w := range waits[:min(n, len(waits))] {
		w.c.picked = true
		l.closing++
		l.evicted()
		w.c.expireRead()
	}
}

func (l *connections) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	if c.picked {
		l.closing--
	}
	l.lend()
	if l.maxPerIP > 0 && c.ip.IsValid() {
		if l.perIP[c.ip]--; l.perIP[c.ip] == 0 {
			delete(l.perIP, c.ip)
		}
	}
}

// count returns how many connections are open.
func (l *connections) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// expireArriving ends the reads of requests that have not arrived yet.
func (l *connections) expireArriving() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if p := phase(c.state.Load() & 7); p == opening || p == arriving {
			c.expireRead()
		}
	}
}

// refuse answers c and closes it, without holding up Accept.
func (l *connections) refuse(c net.Conn) {
	select {
	case l.lingering <- struct{}{}:
	default:
		// Without waiting until it is read: what the client sends meanwhile may
		// take its place. The buffer of a new socket has room for it.
		_, _ = c.Write(l.refusal)
		_ = c.Close()
		return
	}
	go func() {
		defer func() { <-l.lingering }()
		_ = c.SetDeadline(time.Now().Add(lingerTime))
		if _, err := c.Write(l.refusal); err == nil {
			linger(c)
		}
		_ = c.Close()
	}()
}

// conn is one accepted connection. It records what fasthttp does not report.
type conn struct {
	net.Conn
	all     *connections
	ip      netip.Prefix
	state   atomic.Int64 // tick<<3 | phase
	late    atomic.Bool  // a read ran into its deadline
	ended   atomic.Bool  // the client has sent its last byte, and we came to read past it
	lingers atomic.Bool  // close so that the client can read the answer first
	closed  atomic.Bool
	picked  bool // by closeLongest; guarded by connections.mu

	sending  atomic.Int64 // bytes of the answer that is being sent, taken from the budget
	reserved atomic.Int64 // bytes, for the request under way (budget.go)
}

// secureConn lets fasthttp see that a conn is encrypted.
type secureConn struct {
	*conn
	t *tls.Conn
}

func (c *secureConn) Handshake() error                     { return c.t.Handshake() }
func (c *secureConn) ConnectionState() tls.ConnectionState { return c.t.ConnectionState() }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.late.Store(true)
		}
		if err == io.EOF {
			c.ended.Store(true)
		}
	}
	return n, err
}

func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.lingers.Load() {
		linger(c.Conn)
	}
	c.sent()
	c.all.remove(c)
	if c.all.bytes != nil {
		c.all.bytes.admit()
	}
	return c.Conn.Close()
}

// The bounds of linger: how long, how long without a byte, and more bytes than a body
// of the default limit has.
const (
	lingerTime    = 5 * time.Second
	lingerSilence = time.Second
	lingerBytes   = 64 << 20
)

// linger half-closes c and discards, within bounds, what the client is still
// sending. Closing with unread bytes would reset the connection, and the reset
// can overtake the answer that says what was wrong.
func linger(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	var buf [2 << 10]byte
	for end, left := time.Now().Add(lingerTime), lingerBytes; left > 0; {
		until := time.Now().Add(lingerSilence)
		if until.After(end) {
			until = end
		}
		_ = c.SetReadDeadline(until)
		n, err := c.Read(buf[:])
		if err != nil { // the client's end, or its time's: the connection is closed next in any case
			return
		}
		left -= n
	}
}

// connOf is the connection of a request; nil where it is none of ours (tests).
func connOf(ctx *fasthttp.RequestCtx) *conn { return ownConn(ctx.Conn()) }

func ownConn(c net.Conn) *conn {
	switch c := c.(type) {
	case *conn:
		return c
	case *secureConn:
		return c.conn
	}
	return nil
}

// enter notes what the connection of a request is doing now.
func enter(ctx *fasthttp.RequestCtx, p phase) {
	if c := connOf(ctx); c != nil {
		c.enter(p)
	}
}

// timedOut says whether a read of this request ran into its deadline.
func timedOut(ctx *fasthttp.RequestCtx) bool {
	c := connOf(ctx)
	return c != nil && c.late.Load()
}

// hungUp says whether a read of this request came to the end of the connection.
func hungUp(ctx *fasthttp.RequestCtx) bool {
	c := connOf(ctx)
	return c != nil && c.ended.Load()
}

// closeAfter ends the connection with this answer, lingering.
func closeAfter(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c := connOf(ctx); c != nil {
		c.lingers.Store(true)
	}
}
