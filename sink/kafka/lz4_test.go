package kafka

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/bench/corpus"
)

// Read by the library's decoder and by the client's.
func TestFramesAreReadAsWhatWasWritten(t *testing.T) {
	c, err := newLZ4Compressor()
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 5<<20)
	if _, err := random.Read(noise); err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte(`{"timestamp":"2026-02-09T15:00:00Z","path":"/home"}`+"\n"), 100_000)
	mixed := append(append(bytes.Clone(text[:100_000]), noise[:200_000]...), text[:300_000]...)
	decoder := kgo.DefaultDecompressor()
	var dst bytes.Buffer
	for _, source := range [][]byte{text, noise, mixed} {
		for _, n := range []int{0, 1, 12, 100, 1 << 16, 1<<16 + 1, 1 << 18, 1<<18 + 1, 1 << 20, 1<<20 + 5, 1<<22 + 5} {
			want := source[:min(n, len(source))]
			dst.Reset()
			frame, kind := c.Compress(&dst, want)
			if kind != kgo.CodecLz4 {
				t.Errorf("codec %v", kind)
			}
			got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(frame)))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: read as %d, %v", len(want), len(got), err)
			}
			if got, err = decoder.Decompress(frame, kind); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: the client reads %d, %v", len(want), len(got), err)
			}
			if len(frame) > len(want)+len(want)/1000+100 {
				t.Errorf("%d bytes became %d", len(want), len(frame))
			}
			if len(want) > 1000 && &source[0] == &text[0] && len(frame) > len(want)/10 {
				t.Errorf("%d bytes of text became %d", len(want), len(frame))
			}
		}
	}
}

func BenchmarkLZ4(b *testing.B) {
	records, err := accessLog()
	if err != nil {
		b.Fatal(err)
	}
	text := corpus.AppendNDJSON(nil, records)
	ours, err := newLZ4Compressor()
	if err != nil {
		b.Fatal(err)
	}
	theirs, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range []struct {
		name string
		kgo.Compressor
	}{{"ours", ours}, {"franz-go", theirs}} {
		for _, size := range []int{200, 3 << 10, 150 << 10} {
			b.Run(f.name+"/bytes="+strconv.Itoa(size), func(b *testing.B) {
				b.SetBytes(int64(size))
				var dst bytes.Buffer
				for i := range b.N {
					dst.Reset()
					at := i * size % (len(text) - size)
					f.Compress(&dst, text[at:at+size])
				}
			})
		}
	}
}
