//go:build poison

package codec

// poison overwrites what b gave out, so that a test in which someone still
// uses it sees nonsense rather than, mostly, the right bytes. Any package's
// tests can ask for it: go test -tags poison.
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
