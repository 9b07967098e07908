package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Clients that take memory and time by what they ask for.
var answerKinds = []Kind{
	{"readers of large summaries", func(ctx context.Context, addr string) {
		fillSummaries(ctx, addr)
		crowd(ctx, 64, func(ctx context.Context, i int) {
			send(ctx, addr, head("GET", summaryQueries[i%len(summaryQueries)]))
		})
	}},
	{"slow readers of large summaries", func(ctx context.Context, addr string) {
		fillSummaries(ctx, addr)
		crowd(ctx, 200, func(ctx context.Context, i int) {
			c := open(ctx, addr)
			if c == nil {
				return
			}
			defer c.Close() //nolint:errcheck // hostile
			_ = c.SetReadBuffer(4 << 10)
			headers := []string{}
			if i%2 == 0 {
				headers = append(headers, "Accept-Encoding: gzip")
			}
			_, _ = c.Write(head("GET", summaryQueries[i%len(summaryQueries)], headers...))
			drain(ctx, c, 1<<10, 100*time.Millisecond)
		})
	}},
	{"readers of metrics and the page", func(ctx context.Context, addr string) {
		crowd(ctx, 64, func(ctx context.Context, i int) {
			c := open(ctx, addr)
			if c == nil {
				return
			}
			defer c.Close() //nolint:errcheck // hostile
			_ = c.SetReadBuffer(4 << 10)
			targets := []string{"/metrics", "/", "/dashboard/config", "/dashboard/metrics", "/dashboard/rejected", "/openapi.json"}
			_, _ = c.Write([]byte(strings.Repeat(string(head("GET", targets[i%len(targets)])), 100)))
			drain(ctx, c, 64<<10, time.Millisecond)
		})
	}},
	{"slow readers of answers of _bulk", func(ctx context.Context, addr string) {
		body := posting("/_bulk", filled(1500<<10, "{\"index\":{}}\n{}\n"), "Content-Type: application/json")
		crowd(ctx, 200, func(ctx context.Context, _ int) {
			c := open(ctx, addr)
			if c == nil {
				return
			}
			defer c.Close() //nolint:errcheck // hostile
			_ = c.SetReadBuffer(4 << 10)
			_, _ = c.Write(body)
			drain(ctx, c, 1<<10, time.Second)
		})
	}},
}

// fillSummaries stores hours with as many different paths and user agents as a
// batch may have, long ones.
func fillSummaries(ctx context.Context, addr string) {
	for hour := range 3 {
		for part := range 6 {
			r := rand.New(rand.NewPCG(uint64(hour), uint64(part)))
			var out strings.Builder
			for out.Len() < 10<<20 {
				fmt.Fprintf(&out, `{"timestamp":"2026-03-01T0%d:00:00Z","path":"/%s","userAgent":"%s"}`+"\n", hour, letters(r, 190), letters(r, 190))
			}
			for range 100 { // busy for a moment
				if ok := accepted(ctx, addr, posting("/logs", []byte(out.String()))); ok || ctx.Err() != nil {
					break
				}
				pause(ctx, 100*time.Millisecond)
			}
		}
	}
	pause(ctx, 2*time.Second) // for a pass of the aggregation
}

// accepted sends a request and reports whether it was answered with 202.
func accepted(ctx context.Context, addr string, request []byte) bool {
	c := open(ctx, addr)
	if c == nil {
		return false
	}
	defer c.Close() //nolint:errcheck // hostile
	if _, err := c.Write(request); err != nil {
		return false
	}
	answer := make([]byte, 4<<10)
	n, _ := c.Read(answer)
	return strings.HasPrefix(string(answer[:n]), "HTTP/1.1 202")
}

var summaryQueries = []string{
	"/analytics?hour=2026-03-01T00",
	"/analytics?hour=2026-03-01T01",
	"/analytics?from=2026-03-01T00&to=2026-03-01T23&top=1000000",
	"/analytics?from=2026-02-01T00&to=2026-03-01T23",
}
