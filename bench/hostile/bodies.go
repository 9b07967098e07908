package hostile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Clients that take memory and time by what they send.
var bodyKinds = []Kind{
	{"the largest bodies", func(ctx context.Context, addr string) {
		body := posting("/logs", plain(), "Content-Type: application/x-ndjson")
		crowd(ctx, 16, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"the largest bodies, all invalid", func(ctx context.Context, addr string) {
		body := posting("/logs", filled(largest, "{\"timestamp\":\"x\"}\n"), "Content-Type: application/x-ndjson")
		crowd(ctx, 8, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"bodies of many sizes", func(ctx context.Context, addr string) {
		crowd(ctx, 32, func(ctx context.Context, i int) {
			n := 1<<10 + rand.IntN(largest-1<<10)
			if i%2 == 0 {
				n = 1<<10 + rand.IntN(4<<20)
			}
			body := plain()[:n-n%len(record)]
			send(ctx, addr, head("POST", "/logs", fmt.Sprintf("Content-Length: %d", len(body))), body)
		})
	}},
	{"large bodies that stop half way", func(ctx context.Context, addr string) {
		half := append(head("POST", "/logs", "Content-Length: 20971520"), plain()[:300<<10]...)
		crowd(ctx, 2000, func(ctx context.Context, _ int) { keepOpen(ctx, addr, half) })
	}},
	{"large bodies that stop before their last byte", func(ctx context.Context, addr string) {
		half := append(head("POST", "/logs", "Content-Length: 20971520"), plain()...)[:largest-10]
		crowd(ctx, 16, func(ctx context.Context, _ int) { keepOpen(ctx, addr, half) })
	}},
	{"bodies that inflate a thousandfold", func(ctx context.Context, addr string) {
		all := bombs()
		crowd(ctx, 32, func(ctx context.Context, i int) { send(ctx, addr, all[i%len(all)]) })
	}},
	{"records that grow when they are stored", func(ctx context.Context, addr string) {
		line := `{"timestamp":"2026-02-09T15:23:00Z","path":"` + strings.Repeat("\x01", 1000) + `","userAgent":"` + strings.Repeat(`\u0001`, 100) + "\"}\n"
		body := posting("/logs", filled(15<<20, strings.ReplaceAll(line, "\x01", `\u0001`)))
		latin := posting("/logs", filled(10<<20, "\"2026-02-09T15:23:00Z\",\"/"+strings.Repeat("\xe9", 1000)+"\",\"a\"\n"), "Content-Type: text/csv")
		crowd(ctx, 16, func(ctx context.Context, i int) {
			if i%2 == 0 {
				send(ctx, addr, latin)
			} else {
				send(ctx, addr, body)
			}
		})
	}},
	{"ten thousand hours in one batch", func(ctx context.Context, addr string) {
		body := posting("/logs", wide(10_000), "Content-Type: application/x-ndjson")
		crowd(ctx, 4, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"hours in the wrong order", func(ctx context.Context, addr string) {
		body := posting("/logs", shuffled(19<<20, 100), "Content-Type: application/x-ndjson")
		crowd(ctx, 8, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"tiny chunks", func(ctx context.Context, addr string) {
		body := append(head("POST", "/logs", "Transfer-Encoding: chunked"), chunked(filled(1<<20, record), 1, "")...)
		crowd(ctx, 16, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"large chunks, 20 MiB in all", func(ctx context.Context, addr string) {
		body := append(head("POST", "/logs", "Transfer-Encoding: chunked"), chunked(plain(), 1<<20, "")...)
		crowd(ctx, 16, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"chunk extensions of megabytes", func(ctx context.Context, addr string) {
		body := append(head("POST", "/logs", "Transfer-Encoding: chunked"), chunked([]byte(record), 10, ";"+strings.Repeat("x", 4<<20))...)
		crowd(ctx, 16, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"trailers of megabytes", func(ctx context.Context, addr string) {
		body := append(head("POST", "/logs", "Transfer-Encoding: chunked", "Trailer: X"), fmt.Sprintf("%x\r\n%s\r\n0\r\n", len(record), record)...)
		body = append(body, filled(4<<20, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")...)
		crowd(ctx, 16, func(ctx context.Context, _ int) { send(ctx, addr, append(body[:len(body):len(body)], "\r\n"...)) })
	}},
	{"records that are set aside", func(ctx context.Context, addr string) {
		short := posting("/ingest", filled(2<<20, "garbage that is no access log line\n"))
		long := posting("/ingest", filled(19<<20, strings.Repeat("\x02", 60<<10)+"\n"))
		tiny := posting("/logs?invalid=set-aside", filled(190_000, "{}\n"))
		crowd(ctx, 12, func(ctx context.Context, i int) { send(ctx, addr, [][]byte{short, long, tiny}[i%3]) })
	}},
	{"Idempotency-Keys", func(ctx context.Context, addr string) {
		crowd(ctx, 32, func(ctx context.Context, i int) {
			r := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
			pipeline(ctx, addr, func(_ int) []byte { return posting("/ingest", []byte(record), "Idempotency-Key: "+letters(r, 128)) })
		})
	}},
	{"names of fields in the query", func(ctx context.Context, addr string) {
		crowd(ctx, 32, func(ctx context.Context, i int) {
			r := rand.New(rand.NewPCG(uint64(i), uint64(time.Now().UnixNano())))
			names := make([]string, 0, 2000)
			for n := range 1200 {
				names = append(names, fmt.Sprintf("%s%d", letters(r, 2), n))
			}
			send(ctx, addr, posting("/ingest?path="+strings.Join(names, ","), []byte(record)))
		})
	}},
	{"labels of Loki streams", func(ctx context.Context, addr string) {
		labels := make([]string, 0, 10_000)
		for n := range 10_000 {
			labels = append(labels, fmt.Sprintf(`"l%d":"%s"`, n, strings.Repeat("v", 20)))
		}
		values := strings.Repeat(`["1770650580000000000","x"],`, 1000)
		body := posting("/loki/api/v1/push", []byte(`{"streams":[{"stream":{`+strings.Join(labels, ",")+`},"values":[`+values[:len(values)-1]+`]}]}`), "Content-Type: application/json")
		crowd(ctx, 8, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"members by the thousand, kept", func(ctx context.Context, addr string) {
		var line bytes.Buffer
		line.WriteString(`{"timestamp":"2026-02-09T15:23:00Z","path":"/home","userAgent":"M"`)
		for n := range 10_000 {
			fmt.Fprintf(&line, `,"m%d":%d`, n, n)
		}
		line.WriteString("}\n")
		body := posting("/ingest", filled(19<<20, line.String()))
		crowd(ctx, 8, func(ctx context.Context, _ int) { send(ctx, addr, body) })
	}},
	{"a flood of refused batches", func(ctx context.Context, addr string) {
		crowd(ctx, 32, func(ctx context.Context, i int) {
			pipeline(ctx, addr, func(n int) []byte {
				return posting("/logs", fmt.Appendf(nil, `{"timestamp":"%s%d-%d"}`, strings.Repeat("z", 500), i, n))
			})
		})
	}},
}

// plain is a body of the largest size, as it is stored.
var plain = sync.OnceValue(func() []byte { return filled(largest, record) })

// bombs are requests whose bodies inflate to 20 MiB.
var bombs = sync.OnceValue(func() (all [][]byte) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // no options: cannot fail
	}
	for _, b := range [][]byte{make([]byte, largest), plain()} {
		all = append(all,
			posting("/logs", gzipped(b), "Content-Encoding: gzip"),
			posting("/logs", gzipped(gzipped(b)), "Content-Encoding: gzip, gzip"),
			posting("/ingest", gzipped(b)),
			posting("/logs", z.EncodeAll(b, nil), "Content-Encoding: zstd"),
			posting("/logs", s2.EncodeSnappyBest(nil, b), "Content-Encoding: snappy"))
	}
	return all
})

// wide returns a batch of one record in each of n hours.
func wide(n int) []byte {
	var out bytes.Buffer
	for at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC); n > 0; n-- {
		fmt.Fprintf(&out, `{"timestamp":"%s","path":"/","userAgent":"a"}`+"\n", at.Format(time.RFC3339))
		at = at.Add(time.Hour)
	}
	return out.Bytes()
}

// shuffled returns about n bytes of records that go round hours hours.
func shuffled(n, hours int) []byte {
	var out bytes.Buffer
	for i := 0; out.Len() < n; i++ {
		fmt.Fprintf(&out, `{"timestamp":"2026-02-%02dT%02d:23:00Z","path":"/home/%d","userAgent":"%s"}`+"\n", 1+i%hours/24, i%24, i%1000, strings.Repeat("a", 200))
	}
	return out.Bytes()
}
