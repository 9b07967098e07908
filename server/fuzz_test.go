package server

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// FuzzConnection sends arbitrary bytes and then nothing. Whatever they are, the
// answers are whole, the last one closes, nothing panics and nothing is kept.
func FuzzConnection(f *testing.F) {
	body := "[" + strings.TrimSpace(line1) + "]"
	for _, seed := range []string{
		string(request([]byte(body), "")), string(chunked(body)), hidden, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		string(request(gzipOf(body), "Content-Encoding: gzip\r\n")),
		"POST /logs?ack=synced HTTP/1.0\r\nContent-Length: 3\r\n\r\n[]\n", "GET /analytics?from=2026-02-09T15&to=x HTTP/1.1\r\n\r\n",
		"POST /logs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n[]",
		"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n[]\r\n0\r\nA: b\r\n\r\n", "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		string(request([]byte(body), "Transfer-Encoding: chunked\r\n")),
	} {
		f.Add([]byte(seed))
		f.Add([]byte(seed + seed))
	}
	s := quiet(f)
	f.Fuzz(func(t *testing.T, wire []byte) {
		client := &script{in: bytes.NewReader(wire)}
		c := &conn{Conn: client, all: s.conns}
		if !s.conns.add(c) {
			t.Fatal("no place for a connection: others were kept")
		}
		_ = s.http.ServeConn(c) // its error says how the connection ended
		_ = c.Close()

		for r := bufio.NewReader(&client.out); ; {
			if _, err := r.Peek(1); err != nil {
				break
			}
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				break // the answer to a HEAD looks cut short here
			}
			if res.StatusCode == http.StatusInternalServerError {
				t.Errorf("%q is answered with 500", wire)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if n := s.count.panics.Get(); n != 0 {
			t.Errorf("%d panics", n)
		}
		if used, slots, working := s.bytes.used.Load(), s.slots.reserved.Load(), s.count.working.Load(); used != 0 || slots != 0 || working != 0 {
			t.Errorf("kept: %d bytes, %d places, %d under way", used, slots, working)
		}
		if received, rest := s.count.received.Get(), s.count.written.Get()+rejectedRecords(s); received != rest {
			t.Errorf("received %d records, written and rejected %d", received, rest)
		}
	})
}

func rejectedRecords(s *Server) (n uint64) {
	for _, name := range s.set.ListMetricNames() {
		if strings.HasPrefix(name, "logforge_records_rejected_total{") {
			n += s.set.GetOrCreateCounter(name).Get()
		}
	}
	return n
}

// script is a client that has said all it will say.
type script struct {
	net.Conn // nil: nothing else is asked of it
	in       *bytes.Reader
	out      bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzInflate: no input makes more than the limit, keeps a reservation, or
// breaks the decompressors for the next one.
func FuzzInflate(f *testing.F) {
	for i, p := range packs {
		packed := p.pack([]byte(line1 + line2 + line1))
		f.Add(uint8(i), packed)
		f.Add(uint8(i), packed[:len(packed)-1])
	}
	s := quiet(f)
	s.maxBody = 1 << 20
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		inflate := func(p pack, data []byte) (string, error) {
			u := usage{s: s}
			defer u.release()
			var c codings
			if err := c.add([]byte(p.coding)); err != nil {
				t.Fatal(err)
			}
			if err := u.take(roundUp(len(data))); err != nil {
				t.Fatal(err)
			}
			in := getBuffer(len(data))
			in.b = append(in.b, data...)
			out, err := s.inflate(in, c, &u)
			if err != nil {
				if u.bytes != 0 {
					t.Fatalf("%d bytes are kept after %v", u.bytes, err)
				}
				return "", err
			}
			defer drop(out, &u)
			return string(out.b), nil
		}
		p := packs[int(which)%len(packs)]
		out, err := inflate(p, data)
		if len(out) > s.maxBody || err != nil && err != errCorrupt && err != errTooLarge {
			t.Errorf("%s: %d bytes, %v", p.name, len(out), err)
		}
		if again, err := inflate(p, p.pack([]byte(line1))); err != nil || again != line1 {
			t.Errorf("%s, the next body: %v %q", p.name, err, again)
		}
		if used := s.bytes.used.Load(); used != 0 {
			t.Errorf("%d bytes are kept", used)
		}
	})
}
