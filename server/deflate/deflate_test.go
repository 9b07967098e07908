package deflate

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"

	"logforge/bench/corpus"
)

// inflate appends all of body, with room growing by step bytes beyond Slack.
func inflate(body []byte, f Format, step int) ([]byte, error) {
	var d Decoder
	d.Reset(body, f)
	out := make([]byte, 0, Slack)
	for {
		next, err := d.Append(out)
		if !errors.Is(err, ErrShort) {
			return next, err
		}
		// Another slice each time: nothing may be kept of the one before.
		out = append(make([]byte, 0, len(next)+Slack+step), next...)
		clear(next)
	}
}

// oracle inflates by the standard library, and refuses input behind the end.
func oracle(body []byte, f Format) ([]byte, error) {
	src := bytes.NewReader(body)
	var r io.Reader
	var err error
	switch f {
	case Gzip:
		r, err = gzip.NewReader(src)
	case Zlib:
		r, err = zlib.NewReader(src)
	default:
		r = flate.NewReader(src)
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(r)
	if err == nil && src.Len() > 0 {
		err = errors.New("input behind the end")
	}
	return out, err
}

func compress(t testing.TB, text []byte, f Format, level int) []byte {
	t.Helper()
	var to bytes.Buffer
	var w io.WriteCloser
	var err error
	switch f {
	case Gzip:
		w, err = gzip.NewWriterLevel(&to, level)
	case Zlib:
		w, err = zlib.NewWriterLevel(&to, level)
	default:
		w, err = flate.NewWriter(&to, level)
	}
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return to.Bytes()
}

// texts are bodies of different kinds: nothing, a byte, runs, noise, log lines.
func texts(t testing.TB) map[string][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	skewed := make([]byte, 300_000) // long codes: symbols of very different frequency
	for i := range skewed {
		skewed[i] = byte(rng.ExpFloat64() * 9)
	}
	return map[string][]byte{
		"empty":  nil,
		"byte":   {'x'},
		"run":    bytes.Repeat([]byte("a"), 70_000),
		"pairs":  bytes.Repeat([]byte("ab"), 40_000),
		"noise":  noise,
		"skewed": skewed,
		"log":    logBody(t),
	}
}

func logBody(t testing.TB) []byte {
	t.Helper()
	recs, err := corpus.OpenAccessLog("../../bench/testdata/access.log.gz")
	if err != nil {
		t.Fatal(err)
	}
	return corpus.AppendJSON(nil, recs[:1000])
}

func TestDecoder_InflatesWhatTheStandardLibraryDeflated(t *testing.T) {
	for name, text := range texts(t) {
		for _, f := range []Format{Gzip, Zlib, Raw} {
			for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
				body := compress(t, text, f, level)
				for _, step := range []int{0, 1, 1000, 1 << 20} {
					if step < 1000 && len(text) > 1000 && (level != 6 || name != "log") {
						continue
					}
					got, err := inflate(body, f, step)
					if err != nil || !bytes.Equal(got, text) {
						t.Fatalf("%s, format %d, level %d, step %d: %v, %d bytes of %d", name, f, level, step, err, len(got), len(text))
					}
				}
			}
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, text := range texts(f) {
		if len(text) > 5000 {
			text = text[:5000]
		}
		for _, format := range []Format{Gzip, Zlib, Raw} {
			for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 9} {
				f.Add(compress(f, text, format, level), byte(format), uint16(100))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, format byte, step uint16) {
		form := Format(format % 3)
		if len(body) > 64<<10 {
			return
		}
		want, wantErr := oracle(body, form)
		// Each step copies what there is: few of them for long bodies.
		got, err := inflate(body, form, max(int(step), len(want)/50))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, but the standard library says %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, the standard library has %d others", len(got), len(want))
		}
	})
}

func TestDecoder_RefusesEveryBodyThatIsCutShort(t *testing.T) {
	text := logBody(t)[:20_000]
	for _, f := range []Format{Gzip, Zlib, Raw} {
		for _, level := range []int{0, 1, 6, flate.HuffmanOnly} {
			body := compress(t, text, f, level)
			for n := range body {
				if n > 200 && n < len(body)-200 && n%97 != 0 {
					continue
				}
				if _, err := inflate(body[:n], f, 1<<20); !errors.Is(err, ErrCorrupt) {
					t.Fatalf("format %d, level %d, %d of %d bytes: %v", f, level, n, len(body), err)
				}
			}
			if _, err := inflate(append(bytes.Clone(body), 'x'), f, 1<<20); !errors.Is(err, ErrCorrupt) {
				t.Errorf("format %d, level %d: a byte behind the end: %v", f, level, err)
			}
		}
	}
}

func TestDecoder_NoticesEveryFlippedBitOrMakesTheSame(t *testing.T) {
	text := logBody(t)[:3000]
	for _, f := range []Format{Gzip, Zlib} {
		body := compress(t, text, f, 6)
		for i := range 8 * len(body) {
			bad := bytes.Clone(body)
			bad[i/8] ^= 1 << (i % 8)
			want, wantErr := oracle(bad, f)
			got, err := inflate(bad, f, 1<<16)
			if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
				t.Fatalf("format %d, bit %d: %v, the standard library: %v", f, i, err, wantErr)
			}
		}
	}
}

func TestDecoder_TakesSeveralGzipMembers(t *testing.T) {
	text := logBody(t)
	var body, want []byte
	for i := range 20 {
		part := text[i*100 : i*7000+100]
		body = append(body, compress(t, part, Gzip, i%10)...)
		want = append(want, part...)
	}
	if got, err := inflate(body, Gzip, 500); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v, %d bytes of %d", err, len(got), len(want))
	}
}

func TestDecoder_NeverWritesBeyondTheCapacity(t *testing.T) {
	text := logBody(t)
	body := compress(t, text, Gzip, 6)
	for room := range 2 * Slack {
		memory := bytes.Repeat([]byte{0xee}, 10_000)
		var d Decoder
		d.Reset(body, Gzip)
		out, err := d.Append(memory[: 0 : 5000+room])
		if !errors.Is(err, ErrShort) || !bytes.HasPrefix(text, out) || len(out) < 5000+room-Slack {
			t.Fatalf("room %d: %v, %d bytes", room, err, len(out))
		}
		if len(bytes.Trim(memory[5000+room:], "\xee")) > 0 {
			t.Fatalf("room %d: wrote behind the capacity", room)
		}
	}
}

func TestDecoder_AllocatesNothing(t *testing.T) {
	body := compress(t, logBody(t), Gzip, 6)
	var d Decoder
	out := make([]byte, 0, 1<<20)
	if n := testing.AllocsPerRun(20, func() {
		d.Reset(body, Gzip)
		if _, err := d.Append(out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a body", n)
	}
}

// BenchmarkInflate sets this decoder beside the two that read from an io.Reader.
// MB/s are of the inflated body.
func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		recs, err := corpus.OpenAccessLog("../../bench/testdata/access.log.gz")
		if err != nil {
			b.Fatal(err)
		}
		var bodies [][]byte
		text := 0
		for i := range 8 {
			plain := corpus.AppendJSON(nil, recs[i*size:(i+1)*size])
			text += len(plain)
			bodies = append(bodies, compress(b, plain, Gzip, 6))
		}
		run := func(name string, inflate func(body, dst []byte) error) {
			b.Run(fmt.Sprintf("records=%d/by=%s", size, name), func(b *testing.B) {
				dst := make([]byte, 0, 1<<20)
				b.SetBytes(int64(text / len(bodies)))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if err := inflate(bodies[i%len(bodies)], dst); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		var d Decoder
		run("logforge", func(body, dst []byte) error {
			d.Reset(body, Gzip)
			_, err := d.Append(dst)
			return err
		})
		var src bytes.Reader
		klauspost := new(kgzip.Reader)
		run("klauspost", func(body, dst []byte) error {
			src.Reset(body)
			if err := klauspost.Reset(&src); err != nil {
				return err
			}
			return readInto(klauspost, dst)
		})
		standard := new(gzip.Reader)
		run("standard", func(body, dst []byte) error {
			src.Reset(body)
			if err := standard.Reset(&src); err != nil {
				return err
			}
			return readInto(standard, dst)
		})
	}
}

func readInto(r io.Reader, dst []byte) error {
	_, err := io.ReadFull(r, dst[:cap(dst)])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
