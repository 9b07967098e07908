package hostile

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Clients that take connections: many of them, each with little.
var connectionKinds = []Kind{
	{"silent connections", func(ctx context.Context, addr string) {
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr) })
	}},
	{"idle connections after one request", func(ctx context.Context, addr string) {
		request := posting("/logs", []byte(record))
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, request) })
	}},
	{"half a header", func(ctx context.Context, addr string) {
		half := []byte("POST /logs HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 8000))
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, half) })
	}},
	{"a header of thousands of lines, and half a body", func(ctx context.Context, addr string) {
		lines := []byte("POST /logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n" + strings.Repeat("a:\r\n", 2020) + "\r\n[")
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, lines) })
	}},
	{"a query of thousands of arguments, and half a body", func(ctx context.Context, addr string) {
		request := head("POST", "/ingest?"+strings.Repeat("a&", 3900), "Content-Length: 100")
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, request, []byte("[")) })
	}},
	{"many cookies and long values, and half a body", func(ctx context.Context, addr string) {
		request := head("POST", "/ingest", "Content-Length: 100000", "Cookie: "+strings.Repeat("a=b; ", 1500), "Content-Type: multipart/form-data; boundary=x")
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, request, []byte("--x\r\n")) })
	}},
	{"Expect: 100-continue, and nothing more", func(ctx context.Context, addr string) {
		request := head("POST", "/logs", "Content-Length: 20971520", "Expect: 100-continue")
		crowd(ctx, many, func(ctx context.Context, _ int) { keepSilent(ctx, addr, request) })
	}},
	{"connections opened and reset", func(ctx context.Context, addr string) {
		request := posting("/logs", []byte(record))[:100]
		crowd(ctx, 64, func(ctx context.Context, _ int) {
			if c := open(ctx, addr); c != nil {
				_, _ = c.Write(request)
				_ = c.Close()
			}
		})
	}},
	{"half-closed connections with half a body", func(ctx context.Context, addr string) {
		crowd(ctx, 500, func(ctx context.Context, _ int) {
			if c := open(ctx, addr); c != nil {
				_, _ = c.Write(append(head("POST", "/logs", "Content-Length: 100000"), filled(50_000, record)...))
				_ = c.CloseWrite()
				drain(ctx, c, 100, 10*time.Millisecond)
				_ = c.Close()
			}
		})
	}},
	{"a TLS client on a plain port", func(ctx context.Context, addr string) {
		hello := append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...)
		crowd(ctx, 500, func(ctx context.Context, _ int) { send(ctx, addr, hello) })
	}},
	{"pipelined requests whose answers nobody reads", func(ctx context.Context, addr string) {
		request := []byte(strings.Repeat(string(head("GET", "/metrics"))+string(posting("/logs", []byte("{}"), strings.Repeat("a:\r\n", 1000)+"b: c")), 50))
		crowd(ctx, 1000, func(ctx context.Context, _ int) {
			c := open(ctx, addr)
			if c == nil {
				return
			}
			defer c.Close() //nolint:errcheck // hostile
			_ = c.SetReadBuffer(4 << 10)
			for range 20 {
				if _, err := c.Write(request); err != nil {
					return
				}
			}
		})
	}},
	{"unknown routes, methods and hosts", func(ctx context.Context, addr string) {
		crowd(ctx, 32, func(ctx context.Context, i int) {
			for n := range 100 {
				send(ctx, addr, []byte(fmt.Sprintf("M%d /%d/%d HTTP/1.1\r\nHost: h%d\r\nX-API-Key: %d\r\n\r\n", n, i, n, n, n)))
			}
		})
	}},
}

// many is nearly as many connections as the server takes by default.
const many = 9000

// keepSilent sends parts, and is silent until the server closes the connection.
func keepSilent(ctx context.Context, addr string, parts ...[]byte) {
	sent(ctx, addr, parts, func(c *net.TCPConn) {
		drain(ctx, c, 512, 0)
		pause(ctx, 100*time.Millisecond)
	})
}
