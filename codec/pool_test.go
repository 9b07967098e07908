package codec

import (
	"bytes"
	"slices"
	"testing"
)

// TestThePoolKeepsWhatShippersSendAllDay: batches of 1,000 records fit, also
// with their hours mixed, and a body as large as is taken does not.
func TestThePoolKeepsWhatShippersSendAllDay(t *testing.T) {
	f := func(records int, keep bool) {
		t.Helper()
		var body []byte
		for i := range records {
			hour := byte(i % 10)
			body = append(body, `{"timestamp":"2026-02-09T0`...)
			body = append(body, '0'+hour)
			body = append(body, `:23:00Z","path":"/home","userAgent":"`...)
			body = append(body, bytes.Repeat([]byte("x"), 100)...)
			body = append(body, "\"}\n"...)
		}
		var b Batch
		if err := b.Decode(body, NDJSON, Limits{}); err != nil {
			t.Fatal(err)
		}
		if kept := b.held() <= retained; kept != keep {
			t.Errorf("%d records: %d bytes are held", records, b.held())
		}
	}
	f(1_000, true)
	f(5_000, true)
	f(100_000, false)
}

func TestBatchesFromThePoolAreEmpty(t *testing.T) {
	for range 10 {
		b := GetBatch()
		if b.Len() != 0 || b.Records() != 0 || len(b.Runs()) != 0 {
			t.Fatal("it holds something")
		}
		b.AppendLines([]byte(`{"timestamp":"2026-02-09T15:23:00Z","path":"/","userAgent":"-"}`), Limits{}, nil)
		if b.Records() != 1 {
			t.Fatal("the record is not there")
		}
		PutBatch(b)
	}
}

// TestTheCalendarIsTheSameBothWays walks through ten thousand years: the dates
// that clock writes are the dates that it reads, in order.
func TestTheCalendarIsTheSameBothWays(t *testing.T) {
	var write, read clock
	write.reset()
	read.reset()
	last := ""
	for h := minHour; h <= maxHour; h += 119 { // every fifth day or so, at every hour
		write.remember(h)
		text := string(write.text[:])
		if text <= last || h%101 == 0 && text != h.String() {
			t.Fatalf("%d is %s after %s", h, text, last)
		}
		last = text
		if !read.canonicalHour(slices.Clone(write.text[:])) || read.hour != h {
			t.Fatalf("%s is read as %d, not %d", text, read.hour, h)
		}
	}
}
