//go:build poison

package codec

// poison overwrites the memory that b gave out, so that code that still uses it
// reads nonsense instead of bytes that are mostly right. The tests of any package
// can switch it on: go test -tags poison.
func poison(b *Batch) {
	for _, mem := range [][]byte{b.buf[:cap(b.buf)], b.scratch[:cap(b.scratch)], b.extra[:cap(b.extra)]} {
		for i := range mem {
			mem[i] = 0xdb
		}
	}
	runs := b.runs[:cap(b.runs)]
	for i := range runs {
		runs[i] = Run{Hour: -1 << 40, Records: -1, start: 1 << 40, end: 1 << 41}
	}
}
