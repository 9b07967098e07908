//go:build !race

// (The race detector makes sync.Pool forget at random.)

package server

import (
	"bytes"
	"net"
	"testing"

	"github.com/valyala/fasthttp/fasthttputil"
)

// One connection in memory carries many requests, so that what is counted is
// the whole way through fasthttp, routes and handler.
func TestARequestAllocatesNothing(t *testing.T) {
	s := quiet(t)
	ln := fasthttputil.NewInmemoryListener()
	defer ln.Close()
	go func() { _ = s.Serve(ln) }()
	c, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	counts := func(name string, wire []byte, most float64) {
		t.Helper()
		for range 20 { // fill the pools
			exchangeOnce(t, c, wire)
		}
		// Pools are emptied by a collection, and a shared deadline is made now and
		// then: over many runs that is little.
		if n := testing.AllocsPerRun(2000, func() { exchangeOnce(t, c, wire) }); n > most {
			t.Errorf("%s: %v allocations a request", name, n)
		}
	}
	counts("a batch of 1", request([]byte(array(1)), ""), 0)
	counts("a batch of 100", request([]byte(array(100)), ""), 0)
	counts("a batch of 1000", request([]byte(array(1000)), ""), 0)
	counts("a batch of 100, gzip", request(gzipOf(array(100)), "Content-Encoding: gzip\r\n"), 0)
	counts("a batch of 100, chunked", chunked(array(100)), 0)
}

var answer [4096]byte

func exchangeOnce(t testing.TB, c net.Conn, wire []byte) {
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(answer[:])
	if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 20")) {
		t.Fatalf("%v %s", err, answer[:n])
	}
}
