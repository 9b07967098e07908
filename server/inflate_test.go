package server

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	snap "github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"logforge/config"
)

// pack compresses as a client would; the name is ours, coding is the header's.
type pack struct {
	name, coding string
	pack         func([]byte) []byte
}

func through(w io.WriteCloser, out *bytes.Buffer, body []byte) []byte {
	if _, err := w.Write(body); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

var packs = []pack{
	{"gzip", "gzip", func(b []byte) []byte { var o bytes.Buffer; return through(gzip.NewWriter(&o), &o, b) }},
	{"gzip of two members", "X-GZip", func(b []byte) []byte {
		var o bytes.Buffer
		through(gzip.NewWriter(&o), &o, b[:len(b)/2])
		return through(gzip.NewWriter(&o), &o, b[len(b)/2:])
	}},
	{"zlib", "deflate", func(b []byte) []byte { var o bytes.Buffer; return through(zlib.NewWriter(&o), &o, b) }},
	{"bare deflate", "deflate", func(b []byte) []byte {
		var o bytes.Buffer
		w, _ := flate.NewWriter(&o, 6)
		return through(w, &o, b)
	}},
	{"zstd with its size", "zstd", func(b []byte) []byte {
		w, _ := zstd.NewWriter(nil)
		return w.EncodeAll(b, nil)
	}},
	{"zstd without", "ZSTD", func(b []byte) []byte {
		var o bytes.Buffer
		w, _ := zstd.NewWriter(&o)
		_, _ = w.Write(b[:len(b)/2])
		_ = w.Flush() // so that the encoder does not know the size when it writes the header
		return through(w, &o, b[len(b)/2:])
	}},
	{"snappy block", "snappy", func(b []byte) []byte { return snap.Encode(nil, b) }},
	{"snappy framed", "snappy", func(b []byte) []byte { var o bytes.Buffer; return through(snap.NewBufferedWriter(&o), &o, b) }},
}

func TestEveryCodingIsTakenOff(t *testing.T) {
	f := start(t, nil)
	for _, p := range packs {
		for _, n := range []int{1, 100, 20_000} {
			body := strings.Repeat(line1, n)
			f.sink.lines = nil
			r := f.do("POST", "/logs", bytes.NewReader(p.pack([]byte(body))), "Content-Encoding", p.coding)
			if r.status != 202 || f.sink.text() != body {
				t.Errorf("%s of %d records: %d %s, %d bytes stored", p.name, n, r.status, r.body, len(f.sink.text()))
			}
		}
	}
	f.sink.lines = nil
	twice := packs[4].pack(packs[0].pack([]byte(line1)))
	if r := f.do("POST", "/logs", bytes.NewReader(twice), "Content-Encoding", "gzip, identity, zstd"); r.status != 202 {
		t.Errorf("gzip in zstd: %d %s", r.status, r.body)
	}
	if r := f.do("POST", "/logs", bytes.NewReader(twice), "Content-Encoding", "gzip", "Content-Encoding", "zstd"); r.status != 202 {
		t.Errorf("gzip in zstd, as two headers: %d %s", r.status, r.body)
	}
	if r := f.do("POST", "/logs", bytes.NewReader(twice), "Content-Encoding", "zstd, gzip"); r.status != 400 {
		t.Errorf("the wrong way round: %d %s", r.status, r.body)
	}
	if r := f.post(line1, "Content-Encoding", "identity"); r.status != 202 {
		t.Errorf("identity: %d %s", r.status, r.body)
	}
	if f.sink.text() != line1+line1+line1 {
		t.Errorf("stored %q", f.sink.text())
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

// Cut anywhere, or with any byte changed, a compressed body is refused or
// inflates to what was sent; never to something else, never to a crash.
func TestADamagedStreamIsRefused(t *testing.T) {
	f := start(t, nil)
	s := f.Server
	plain := []byte(strings.Repeat(line1+line2, 40))
	inflates := func(p pack, body []byte) ([]byte, error) {
		u := usage{s: s}
		defer u.release()
		var c codings
		if err := c.add([]byte(p.coding)); err != nil {
			t.Fatal(err)
		}
		if err := u.take(roundUp(len(body))); err != nil {
			t.Fatal(err)
		}
		in := getBuffer(len(body))
		in.b = append(in.b, body...)
		out, err := s.inflate(in, c, &u)
		if err != nil {
			if u.bytes != 0 {
				t.Fatalf("%s: %d bytes reserved after %v", p.name, u.bytes, err)
			}
			return nil, err
		}
		defer drop(out, &u)
		return bytes.Clone(out.b), nil
	}
	for _, p := range packs {
		packed := p.pack(plain)
		for n := range packed {
			out, err := inflates(p, packed[:n])
			// Whole members or frames are whole streams; so is a framed snappy prefix.
			if err == nil && !bytes.HasPrefix(plain, out) {
				t.Errorf("%s cut at %d of %d inflates to something else", p.name, n, len(packed))
			}
			if err == nil && n > 0 && p.name != "gzip of two members" && p.name != "snappy framed" {
				t.Errorf("%s cut at %d of %d is taken for whole", p.name, n, len(packed))
			}
		}
		if _, err := inflates(p, append(bytes.Clone(packed), "trailing"...)); err == nil {
			t.Errorf("%s: bytes after the end are ignored", p.name)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		p := packs[rapid.IntRange(0, len(packs)-1).Draw(rt, "pack")]
		packed := p.pack(plain)
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			packed[rapid.IntRange(0, len(packed)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "to")
		}
		out, err := inflates(p, packed)
		if err != nil && err != errCorrupt && err != errTooLarge {
			rt.Fatalf("%s: %v", p.name, err)
		}
		if len(out) > s.maxBody {
			rt.Fatalf("%s inflates to %d bytes", p.name, len(out))
		}
	})
	if r := f.do("POST", "/logs", strings.NewReader("not gzip at all"), "Content-Encoding", "gzip"); r.status != 400 || r.problem(t).Reason != "corrupt" {
		t.Errorf("not gzip: %d %s", r.status, r.body)
	}
	if r := f.do("POST", "/logs", strings.NewReader(""), "Content-Encoding", "zstd"); r.status != 400 {
		t.Errorf("an empty body: %d %s", r.status, r.body)
	}
}

// bomb repeats what 1 MiB of zeros compresses to until it would inflate to 10 GiB,
// or is 10 MiB long.
func bomb(p pack) []byte {
	one := p.pack(make([]byte, 1<<20))
	return bytes.Repeat(one, min(10<<30/(1<<20), 10<<20/len(one)))
}

func TestABombIs413AndCostsBoundedMemory(t *testing.T) {
	const limit = 16 << 20
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes = limit })
	for _, p := range packs {
		switch p.name {
		case "gzip", "zlib", "bare deflate", "zstd with its size", "zstd without", "snappy framed":
		default:
			continue
		}
		body := bomb(p)
		if p.name == "zlib" || p.name == "bare deflate" { // streams that end cannot be repeated
			body = p.pack(make([]byte, 64<<20))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := f.do("POST", "/logs", bytes.NewReader(body), "Content-Encoding", p.coding)
		runtime.ReadMemStats(&after)
		if r.status != 413 || r.problem(t).Reason != "too_large" {
			t.Errorf("%s: %d %s", p.name, r.status, r.body)
		}
		// All that is allocated in the whole exchange, freed or not: the body as
		// sent, the limit, the smaller buffers it grew out of, and the client's own.
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 5*limit {
			t.Errorf("%s: a bomb of %d bytes made the server allocate %d MiB", p.name, len(body), spent>>20)
		}
	}
	// A block that claims more than its bytes can make is not believed.
	liar := append([]byte{0x80, 0x80, 0x80, 0x0f}, "short"...)
	if r := f.do("POST", "/logs", bytes.NewReader(liar), "Content-Encoding", "snappy"); r.status != 400 {
		t.Errorf("a snappy block that lies about its size: %d %s", r.status, r.body)
	}
	if used := f.bytes.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestTheLimitHoldsToTheByteAfterInflation(t *testing.T) {
	const limit = 5000
	f := start(t, func(c *config.Config) { c.Server.MaxBodyBytes = limit })
	for _, p := range packs {
		for _, over := range []int{0, 1, 100, 60_000} {
			body := strings.Repeat(" ", limit+over-len(line1)) + line1
			want := 202
			if over > 0 {
				want = 413
			}
			r := f.do("POST", "/logs", bytes.NewReader(p.pack([]byte(body))), "Content-Encoding", p.coding)
			if r.status != want {
				t.Errorf("%s, %d bytes over the limit: %d %s", p.name, over, r.status, r.body)
			}
		}
	}
}
