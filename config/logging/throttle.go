package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Throttle returns a handler around next that logs a repeated warning or error
// at most once per interval every. flush logs the repeats that have been
// suppressed; call it before the process ends.
func Throttle(next slog.Handler, every time.Duration) (h slog.Handler, flush func()) {
	t := &throttle{every: every, repeats: map[repeatKey]*repeat{}}
	return &throttled{Handler: next, throttle: t}, t.flush
}

// throttled passes the first warning or error of a kind on at once. Those that
// follow within the throttle's time are counted, and the last of them is logged
// at its end with the count. A kind is a level and a message: what differs
// between two failures of one kind belongs in attributes.
type throttled struct {
	slog.Handler
	throttle *throttle // shared by all that With derives
}

// throttle keeps the kinds of the last interval; one that does not occur for an
// interval is removed.
type throttle struct {
	every   time.Duration
	mu      sync.Mutex
	repeats map[repeatKey]*repeat
}

type repeatKey struct {
	level   slog.Level
	message string
}

type repeat struct {
	timer *time.Timer
	count int // suppressed since the kind was last logged
	last  slog.Record
	next  slog.Handler // that of last, with its attributes
}

func (h *throttled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &throttled{h.Handler.WithAttrs(attrs), h.throttle}
}

func (h *throttled) WithGroup(name string) slog.Handler {
	return &throttled{h.Handler.WithGroup(name), h.throttle}
}

func (h *throttled) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && h.throttle.suppress(h.Handler, r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// suppress reports whether r repeats one that was logged less than an interval
// ago, and then keeps it.
func (t *throttle) suppress(next slog.Handler, r slog.Record) bool {
	key := repeatKey{r.Level, r.Message}
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.repeats[key]; k != nil {
		k.count++
		k.last, k.next = r.Clone(), next
		return true
	}
	t.repeats[key] = &repeat{timer: time.AfterFunc(t.every, func() { t.due(key) })}
	return false
}

// due is called at the end of a kind's interval.
func (t *throttle) due(key repeatKey) {
	t.mu.Lock()
	k := t.repeats[key]
	if k == nil { // flushed
		t.mu.Unlock()
		return
	}
	suppressed := *k
	if suppressed.count == 0 {
		delete(t.repeats, key)
	} else {
		k.count = 0
		k.timer.Reset(t.every)
	}
	t.mu.Unlock()
	suppressed.log()
}

// flush logs what has been suppressed and forgets every kind.
func (t *throttle) flush() {
	t.mu.Lock()
	rest := t.repeats
	t.repeats = map[repeatKey]*repeat{}
	t.mu.Unlock()
	for _, k := range rest {
		k.timer.Stop()
		k.log()
	}
}

func (k *repeat) log() {
	if k.count == 0 {
		return
	}
	k.last.AddAttrs(slog.Int("repeated", k.count))
	_ = k.next.Handle(context.Background(), k.last) // there is nowhere to report an error of the log
}
