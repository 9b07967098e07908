package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
)

// unhex reads bytes as a bug report writes them.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// spaces is a zstd frame of n blocks of 128 KiB of spaces, four bytes each, that
// says nothing of its size.
func spaces(n int) []byte {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38} // a window of 128 KiB
	for i := range n {
		header := 128<<10<<3 | 1<<1 // size, repeated byte
		if i == n-1 {
			header |= 1 // the last block
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), ' ')
	}
	return frame
}

func TestServer_EmptyFramesBeforeALargeOneDoNotHoldARequest(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes = 1 << 20 })
	empty := unhex(t, "28b52ffd2000010000")
	for name, c := range map[string]struct {
		body   []byte
		status int
	}{
		"as it was found":                         {unhex(t, "28b52ffd2000010000 28b52ffd0038 02001020 03001020"), 400},
		"an empty frame alone":                    {empty, 400},
		"an empty frame, then the limit":          {append(bytes.Clone(empty), spaces(8)...), 400},
		"an empty frame, then one block too many": {append(bytes.Clone(empty), spaces(9)...), 413},
		"a thousand empty frames":                 {append(bytes.Repeat(empty, 1000), spaces(9)...), 413},
		"a skippable frame first":                 {append(unhex(t, "502a4d18 04000000 00000000"), spaces(9)...), 413},
		"a skippable frame that claims 4 GB":      {append(unhex(t, "502a4d18 ffffffff 00000000"), spaces(9)...), 400},
	} {
		if r := f.do("POST", "/logs", bytes.NewReader(c.body), "Content-Encoding", "zstd"); r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

func TestServer_BodiesThatDoNotSayHowLargeTheyAreDoNotKeepOthersOut(t *testing.T) {
	f := start(t, nil)
	bomb := spaces(159) // 640 bytes that become 20 MiB
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if r := f.do("POST", "/logs", bytes.NewReader(bomb), "Content-Encoding", "zstd"); r.status != 400 && r.status != 503 {
						t.Errorf("a bomb: %d %s", r.status, r.body)
					}
				}
			}
		})
	}
	for range 20 {
		if r := f.post(array(100)); r.status != 202 {
			t.Errorf("an honest client: %d %s", r.status, r.body)
		}
	}
	close(stop)
	wg.Wait()
	if used, reserved := f.bytes.used.Load(), f.bytes.reserved.Load(); used != 0 || reserved != 0 {
		t.Errorf("%d bytes are still taken, %d reserved", used, reserved)
	}
}

// With two thirds of the room gone there is room for what bodies are, but not for
// what they claim.
func TestServer_NoMemoryIsTakenForASizeThatABodyClaims(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 3<<20 })
	if !f.bytes.take(5 << 19) {
		t.Fatal("no room")
	}
	defer f.bytes.give(5 << 19)
	body := []byte(strings.Repeat(line1, 100))
	claims := packs[0].pack(body)
	binary.LittleEndian.PutUint32(claims[len(claims)-4:], 1<<20)
	zstd := unhex(t, "28b52ffd a0 00001000") // a single segment of 1 MiB
	for name, r := range map[string]reply{
		"gzip, honest":                 f.do("POST", "/logs", bytes.NewReader(packs[0].pack(body)), "Content-Encoding", "gzip"),
		"gzip, its trailer says 1 MiB": f.do("POST", "/logs", bytes.NewReader(claims), "Content-Encoding", "gzip"),
		"zstd, its header says 1 MiB":  f.do("POST", "/logs", bytes.NewReader(append(zstd, 1, 0, 0)), "Content-Encoding", "zstd"),
	} {
		want := 400
		if strings.Contains(name, "honest") {
			want = 202
		}
		if r.status != want {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

// A control character becomes six bytes, a row of 25 bytes a line of 63, and rows
// of alternating hours are copied once more.
func TestServer_ABatchIsTakenBeforeItGrows(t *testing.T) {
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes = 1<<20, 3<<20 })
	grows := map[string]string{
		"control characters": strings.Repeat("2026-02-09T15:23:00Z,/"+strings.Repeat("\x01", 10_000)+",x\n", 50),
		"short rows":         strings.Repeat("2026-02-09T15:23:00Z,/,x\n2026-02-09T16:23:00Z,/,x\n", 15_000),
	}
	for name, body := range grows {
		r := f.post(body, "Content-Type", "text/csv")
		if p := r.problem(t); r.status != 413 || p.Reason != "too_large" || !strings.Contains(p.Detail, "server.maxInFlightBytes") {
			t.Errorf("%s, more than all the room: %d %s", name, r.status, r.body)
		}
	}
	const others = 2 << 20
	if !f.bytes.take(others) {
		t.Fatal("no room")
	}
	for name, body := range grows {
		r := f.post(body[:len(body)/5+strings.Index(body[len(body)/5:], "\n")+1], "Content-Type", "text/csv")
		if p := r.problem(t); r.status != 503 || p.Reason != "busy" {
			t.Errorf("%s, more than others leave: %d %s", name, r.status, r.body)
		}
	}
	f.bytes.give(others)
	for name, body := range grows {
		if r := f.post(body[:len(body)/5+strings.Index(body[len(body)/5:], "\n")+1], "Content-Type", "text/csv"); r.status != 202 {
			t.Errorf("%s, alone: %d %s", name, r.status, r.body)
		}
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
}

// A batch that its sink still reads when the client has been answered counts until
// the sink is done: on a disk that hangs they would come together without end.
func TestServer_ABatchThatOutlivesItsRequestStillCounts(t *testing.T) {
	f := start(t, func(c *config.Config) {
		c.Server.MaxBodyBytes, c.Server.MaxInFlightBytes, c.Server.RequestTimeout = 1<<20, 3<<20, 20*time.Millisecond
	})
	var mu sync.Mutex
	var kept []*codec.Batch
	f.sink.write = func(ctx context.Context, b *codec.Batch, _ sink.Ack) error {
		b.Keep()
		mu.Lock()
		kept = append(kept, b)
		mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	body := array(9_000)
	for reason := ""; reason != "busy"; {
		r := f.post(body)
		if reason = r.problem(t).Reason; r.status != 503 || reason != "timeout" && reason != "busy" {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	if n := len(kept); n == 0 || n > 4 {
		t.Errorf("%d batches are with the sink", n)
	}
	for _, b := range kept {
		if b.Records() != 9_000 {
			t.Errorf("a batch that the sink keeps has %d records", b.Records())
		}
		codec.PutBatch(b)
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still taken", used)
	}
	f.sink.write = nil
	if r := f.post(body); r.status != 202 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
}
