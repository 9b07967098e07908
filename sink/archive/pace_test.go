package archive

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestRest_BecomesLessTheMoreIsWaiting(t *testing.T) {
	const part = 128 << 20
	last := restPerWork + 1
	for _, parts := range []int64{0, 1, 5, 10, 19} {
		got := rest(parts*part, part)
		if got <= 0 || got >= last {
			t.Errorf("%d parts: %v after %v", parts, got, last)
		}
		last = got
	}
	for _, parts := range []int64{20, 21, 1 << 20} {
		if got := rest(parts*part, part); got != 0 {
			t.Errorf("%d parts: %v", parts, got)
		}
	}
}

func TestPaced_ReadsEverythingAndPausesAsLongAsItWasToldTo(t *testing.T) {
	p := &paced{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", 50))), rest: 5}
	began, worked := time.Now(), time.Duration(0)
	var text strings.Builder
	buf := make([]byte, 1)
	for {
		n, err := p.Read(buf)
		text.Write(buf[:n])
		if err == io.EOF {
			break
		}
		time.Sleep(time.Millisecond) // the work
		worked += time.Millisecond
	}
	if took := time.Since(began); text.Len() != 50 || took < 6*worked-shortestRest {
		t.Errorf("%d bytes in %v, of which %v were work", text.Len(), took, worked)
	}
}
