package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"sync"

	"github.com/valyala/fasthttp"

	"logforge/sink"
)

// A request to one of the endpoints for shippers may have an Idempotency-Key. The
// same key a second time is not stored again: it gets the first answer, with an item
// for each document where clients count them. What has
// become of a key is known in this process only, and for the last keys only;
// a request that also names this process (Logforge-Instance) is refused by any
// other one, where its first sending may have gone unnoticed. Both together make
// resubmit send nothing twice.
const (
	headerKey      = "Idempotency-Key"
	headerInstance = "Logforge-Instance"
	headerReplayed = "Idempotency-Replayed"

	maxOnceKey = 128
	knownKeys  = 10_000
)

var (
	errKeyTooLong = errors.New("the Idempotency-Key is longer than 128 bytes")
	errUnderWay   = errors.New("a request with this Idempotency-Key is under way")
	errInstance   = errors.New("the request is for another process than this one, which does not know whether it was stored")
	errOtherBody  = errors.New("this Idempotency-Key was used before, for another body")
	errUnknown    = errors.New("a request with this Idempotency-Key may have been stored or not")
)

// onceLog knows what became of the last keys.
type onceLog struct {
	instance string // of this process
	seed     maphash.Seed

	mu    sync.Mutex
	known map[string]*onceOutcome
	order []string // of the keys, the oldest first
}

// onceOutcome is what became of one key.
type onceOutcome struct {
	err error  // errUnderWay, errUnknown, or nil for what is stored
	sum uint64 // of the body that is stored
}

func newOnceLog() *onceLog {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &onceLog{instance: hex.EncodeToString(id[:]), seed: maphash.MakeSeed(), known: map[string]*onceOutcome{}}
}

// begin notes that a request with this key is under way. If there was one before
// it returns that one's outcome, and nothing has begun.
func (l *onceLog) begin(key string) *onceOutcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.known[key]; o != nil {
		before := *o
		return &before
	}
	if len(l.order) == knownKeys {
		delete(l.known, l.order[0])
		l.order = append(l.order[:0], l.order[1:]...)
	}
	l.known[key] = &onceOutcome{err: errUnderWay}
	l.order = append(l.order, key)
	return nil
}

// end notes what became of the request. After an error that says that nothing was
// stored the key is as if it had never been used.
func (l *onceLog) end(key string, sum uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.known[key]
	switch {
	case o == nil: // so many others have come meanwhile
	case err == nil:
		o.err, o.sum = nil, sum
	case uncertain(err):
		o.err = errUnknown
	default:
		delete(l.known, key)
		for i, k := range l.order {
			if k == key {
				l.order = append(l.order[:i], l.order[i+1:]...)
				break
			}
		}
	}
}

// uncertain reports whether a batch with this error may have been stored.
func uncertain(err error) bool {
	return errors.Is(err, sink.ErrUnavailable) || errors.Is(err, sink.ErrUnsynced) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		mappingOf(err).status == fasthttp.StatusInternalServerError
}

// ingestOnce is ingest for a request that may have an Idempotency-Key.
func (s *Server) ingestOnce(ctx *fasthttp.RequestCtx, d *endpoint, in *intake) error {
	if d.implied == nil {
		return s.ingest(ctx, d, in)
	}
	key := ctx.Request.Header.Peek(headerKey)
	if len(key) == 0 {
		return s.ingest(ctx, d, in)
	}
	if k := s.keys.Load(); k.enabled && k.lookUp(&ctx.Request.Header, d.keyHeader) == nil {
		return errKey // without a key nothing is told about earlier batches
	}
	ctx.Response.Header.Set(headerInstance, s.once.instance)
	if len(key) > maxOnceKey {
		return errKeyTooLong
	}
	if other := ctx.Request.Header.Peek(headerInstance); len(other) > 0 && string(other) != s.once.instance {
		return errInstance
	}
	name := d.route + "\n" + string(key)
	if before := s.once.begin(name); before != nil {
		if before.err != nil {
			return before.err
		}
		// It is read once more, for the answer, and not stored.
		in.replayed = before
		err := s.ingest(ctx, d, in)
		if err == nil {
			ctx.Response.Header.Set(headerReplayed, "true")
		}
		return err
	}
	err := errPanic
	in.keyed = true
	defer func() { s.once.end(name, in.sum, err) }()
	err = s.ingest(ctx, d, in)
	return err
}
