package codec

import (
	"testing"
	"time"
)

// FuzzWriteTime compares the short way with the general one.
func FuzzWriteTime(f *testing.F) {
	for _, s := range []string{"2026-02-09T15:23:00Z", "2026-02-09T15:23:00.000Z", "2026-02-09T15:23:59.120Z", "2026-02-09T15:59:00.100Z", "2026-02-09T15:23:00.001Z", "2026-02-09T15:23:00.0a0Z", "2026-02-09T15:23:60.000Z", "2026-02-09T16:23:00.000Z", "2026-02-09T15:23:00,000Z"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		var b Batch
		d := decoder{}
		d.start(&b, &Rules{table: strictNames}, time.Time{})
		if _, bad := d.moment([]byte("2026-02-09T15:00:00Z")); bad != 0 {
			t.Fatal(bad)
		}
		var short, general [32]byte
		n := d.writeTime(short[:], s)
		if n == 0 {
			return
		}
		if m := d.writeMoment(general[:], s); string(general[:m]) != string(short[:n]) {
			t.Errorf("%q becomes %q by the short way, %q by the general one", s, short[:n], general[:m])
		}
	})
}
