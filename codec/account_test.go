package codec_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"logforge/codec"
)

// ledger is a codec.Room that writes down what is taken, up to a limit.
type ledger struct{ taken, peak, limit int }

var errNoRoom = errors.New("no room")

func (l *ledger) Reuse(n int) bool { return l.Take(n) == nil }

func (l *ledger) Take(n int) error {
	if l.limit > 0 && l.taken+n > l.limit {
		return errNoRoom
	}
	l.taken += n
	l.peak = max(l.peak, l.taken)
	return nil
}

func (l *ledger) Give(n int) { l.taken -= n }

// Ensure that the memory that large records are worked on in counts, in every form
// of them, and that a batch for which there is no room for it ends.
func TestRoom_CountsWhatRecordsAreWorkedOnIn(t *testing.T) {
	const size = 1 << 20
	r := lenient(t, nil)
	for name, c := range map[string]struct {
		body  string
		times int // of its size that has to be counted, beside the output
	}{
		"members":           {`{"path":"/","agent":"x",` + strings.Repeat(`"a":1 ,`, size/7) + `"b":1}`, 4},
		"members of a line": {`{"log":"{\"path\":\"/\",\"agent\":\"x\",` + strings.Repeat(`\"a\":1 ,`, size/9) + `\"b\":1}"}`, 4},
		"an escaped text":   {`{"path":"/","agent":"` + strings.Repeat("\xe9", size) + `"}`, 2},
		"a line":            {strings.Replace(combined1, "Mozilla", strings.Repeat("\xe9", size), 1), 2},
		"an Influx line":    {`a path="/",agent="` + strings.Repeat("\xe9", size) + `" 1431857103`, 4},
		"a row of CSV":      {"path,agent,more\n/,x," + strings.Repeat("\xe9", size), 2},
	} {
		l := &ledger{}
		b := codec.GetBatchFor(1<<30, l) // one of its own
		if err := b.DecodeWith([]byte(c.body), codec.Auto, r, arrival, setAside); err != nil || b.Records() != 1 {
			t.Errorf("%s: %v, %d records", name, err, b.Records())
		}
		if least := b.Len() + c.times*len(c.body); l.peak < least {
			t.Errorf("%s: %d bytes were asked for, and not %d", name, l.peak, least)
		}
		l = &ledger{limit: l.peak - 1}
		b = codec.GetBatchFor(1<<30, l)
		if err := b.DecodeWith([]byte(c.body), codec.Auto, r, arrival, setAside); !errors.Is(err, errNoRoom) || b.Records() != 0 {
			t.Errorf("%s, without room: %v, %d records", name, err, b.Records())
		}
		runtime.KeepAlive(b)
	}
}
