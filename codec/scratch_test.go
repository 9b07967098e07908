package codec

import (
	"runtime"
	"strings"
	"testing"
)

// A text that is far over the limit of what may be sent is not written out in its
// canonical form first: a byte of it can become six.
func TestDecode_ATextOverTheLimitTakesLittleMemory(t *testing.T) {
	const size, limit = 16 << 20, 64 << 10
	limits := Limits{RecordBytes: limit / SentPerStored, SentBytes: limit, Depth: 64}
	fills := map[string]string{"no UTF-8": "\xff", "an escape, then plain": "\\u00e9" + strings.Repeat("a", 1<<20), "escapes": "\\u0001", "control characters": "\x01"}
	for name, fill := range fills {
		text := strings.Repeat(fill, size/len(fill))
		for form, body := range map[string]string{
			"a string without an end":  `{"timestamp":"` + text,
			"a string":                 `[{"timestamp":"2026-02-09T15:23:00Z","path":"` + text + `","userAgent":"x"}]`,
			"many members of a name":   `{` + strings.Repeat(`"path":"`+text[:limit]+`",`, 100) + `"userAgent":"x"}`,
			"a field":                  "2026-02-09T15:23:00Z," + text + ",x\n",
			"a quoted field":           `2026-02-09T15:23:00Z,"` + text,
			"a quoted field that ends": `2026-02-09T15:23:00Z,"` + text + "\",x\n",
		} {
			b := new(Batch)
			b.buf = make([]byte, 0, len(body)+64) // as large as the body, in any case
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := b.Decode([]byte(body), Auto, limits)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%s, %s: accepted", form, name)
			}
			if spent := after.TotalAlloc - before.TotalAlloc - uint64(len(body)); int64(spent) > 40*limit {
				t.Errorf("%s, %s: %d KiB beside the body's own", form, name, int64(spent)>>10)
			}
		}
	}
}
