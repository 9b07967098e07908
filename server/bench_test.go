package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"logforge/bench/corpus"
	"logforge/codec"
	"logforge/sink"
)

// null acknowledges everything at once.
type null struct{}

func (null) Write(context.Context, *codec.Batch, sink.Ack) error { return nil }

func quiet(t testing.TB) *Server {
	cfg := settings()
	s, err := New(&cfg, null{}, func() error { return nil }, summaries{}, testBuild, slog.New(slog.DiscardHandler), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func gzipOf(body string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, body)
	_ = w.Close()
	return b.Bytes()
}

// request returns a whole POST as it is on the wire.
func request(body []byte, header string) []byte {
	return append(fmt.Appendf(nil, "POST /logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n", header, len(body)), body...)
}

// chunked returns the same with its body in chunks.
func chunked(body string) []byte {
	var b bytes.Buffer
	b.WriteString("POST /logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(len(body), 4096)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// exchange sends one request b.N times over one connection in memory, so that
// the figure is the server's own way from bytes to bytes, without system calls.
func exchange(b *testing.B, h *fasthttp.Server, wire []byte, records int) {
	ln := fasthttputil.NewInmemoryListener()
	go func() { _ = h.Serve(ln) }()
	defer ln.Close()
	c, err := ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	answer := make([]byte, 4096)
	once := func() {
		if _, err := c.Write(wire); err != nil {
			b.Fatal(err)
		}
		n, err := c.Read(answer)
		if err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 20")) {
			b.Fatalf("%v %s", err, answer[:n])
		}
	}
	once()
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkLogs(b *testing.B) {
	recs, err := corpus.OpenAccessLog("../bench/testdata/access.log.gz")
	if err != nil {
		b.Fatal(err)
	}
	for _, batch := range []int{1, 100, 1000} {
		body := string(corpus.AppendJSON(nil, recs[:batch])) // a real log compresses as such
		for _, c := range []struct {
			name string
			wire []byte
		}{
			{"plain", request([]byte(body), "")},
			{"gzip", request(gzipOf(body), "Content-Encoding: gzip\r\n")},
		} {
			b.Run(fmt.Sprintf("batch=%d/coding=%s", batch, c.name), func(b *testing.B) {
				exchange(b, quiet(b).http, c.wire, batch)
			})
		}
		b.Run(fmt.Sprintf("batch=%d/coding=discard", batch), func(b *testing.B) {
			bare := &fasthttp.Server{
				Handler:            func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(202) },
				MaxRequestBodySize: 32 << 20,
			}
			exchange(b, bare, request([]byte(body), ""), batch)
		})
	}
}

// BenchmarkCount is what all metrics of one accepted batch cost.
func BenchmarkCount(b *testing.B) {
	c := quiet(b).count
	logs := c.route("/logs")
	b.ReportAllocs()
	for b.Loop() {
		c.working.Add(1)
		c.batches.Inc()
		c.bodyBytes.Add(180)
		c.working.Add(-1)
		c.countBatch(1, nil, nil)
		logs.status(202).Inc()
		c.duration.Update(0.0002)
	}
}

// BenchmarkHold is what the accounts of one batch of one cost.
func BenchmarkHold(b *testing.B) {
	s := quiet(b)
	c := &conn{all: s.conns}
	b.ReportAllocs()
	for b.Loop() {
		u := usage{s: s, conn: c}
		if u.await(minBuffer+180) != nil || u.take(minBuffer) != nil || u.slot() != nil || u.take(180) != nil {
			b.Fatal("no room")
		}
		u.give(minBuffer)
		u.release()
	}
}
