package proof

import (
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"logforge/bench/corpus"
	"logforge/bench/wire"
)

func TestKilledAtAnyMomentNothingAcknowledgedIsLost(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./bench/proof -run Killed -kills %d -seed %d", *kills, *seed)
	dir, addr := directory(t), freeAddr(t)
	o := &oracle{log: realLog(t)}
	r := rand.New(rand.NewPCG(*seed, 0))

	for k := range *kills {
		p := start(t, dir, addr)
		if r.IntN(4) == 0 { // before it is ready, while it repairs what the last kill left
			select {
			case <-time.After(time.Duration(r.IntN(30_000)) * time.Microsecond):
			case <-p.Exited():
				t.Fatalf("ended by itself:\n%s", p.Kill())
			}
			p.Kill()
			continue
		}
		waitReady(t, p)
		l := load{oracle: o, addr: addr, enough: make(chan struct{}), answers: 1 + r.IntN(60)}
		l.run(t, r.Uint64(), p.Kill)
		if t.Failed() {
			t.Fatalf("server %d said:\n%s", k, p.Kill())
		}
	}

	p := start(t, dir, addr)
	waitReady(t, p)
	if err := p.Stop(patience); err != nil {
		t.Fatal(err)
	}
	found, err := o.compare(dir)
	t.Logf("%d kills, %d batches: %d acknowledged, %d refused; of unknown ones %d whole, %d not there, %d in part",
		*kills, len(o.batches), found.acknowledged, found.refused, found.whole, found.none, found.partial)
	if err != nil {
		t.Error(err)
	}
	if err := compareSummaries(dir); err != nil {
		t.Error(err)
	}
	batches := filepath.Join(dir, "batches.tsv")
	if err := o.write(batches); err != nil {
		t.Fatal(err)
	}
	recount(t, dir, "--batches", batches)
}

// load is clients that post until the server dies.
type load struct {
	oracle *oracle
	addr   string

	unlessKilled <-chan struct{} // closed when the server is gone before that; nil: it will not
	plain        bool            // no acknowledgement level is asked for

	mu      sync.Mutex
	answers int           // until enough
	enough  chan struct{} // closed when so many batches have been answered
}

// run starts the clients, kills the server once enough has been answered, and
// waits for the clients to notice.
func (l *load) run(t *testing.T, seed uint64, kill func() string) {
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() { l.post(t, rand.New(rand.NewPCG(seed, uint64(c)))) })
	}
	select {
	case <-l.enough:
	case <-l.unlessKilled:
	case <-time.After(patience):
		t.Error("too few answers")
	}
	kill()
	all.Wait()
}

func (l *load) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers--; l.answers == 0 {
		close(l.enough)
	}
}

// post is one client: batches of any size, form, encoding and acknowledgement
// level, one in ten of them with an invalid record.
func (l *load) post(t *testing.T, r *rand.Rand) {
	conn, err := wire.Dial(l.addr)
	if err != nil {
		return // killed before this client came
	}
	defer conn.Close() //nolint:errcheck // the server is gone
	for {
		number, recs := l.oracle.draw([]int{1, 7, 100, 1000}[r.IntN(4)])
		want := 202
		if r.IntN(10) == 0 {
			want = 400
			recs[r.IntN(len(recs))].Path = " "
		}
		status, answer, err := conn.Do(request(t, r, recs, l.plain), patience)
		switch {
		case err != nil:
			return
		case status == 202 && want == 202:
			l.oracle.set(number, acknowledged)
		case status == 400 && want == 400:
			l.oracle.set(number, refused)
		case status >= 500:
			t.Logf("answered %d: %s", status, answer)
		default:
			t.Errorf("answered %d, want %d: %s", status, want, answer)
			return
		}
		l.answered()
	}
}

func request(t *testing.T, r *rand.Rand, recs []corpus.Record, plain bool) []byte {
	f := form(t, []string{"json", "ndjson", "csv"}[r.IntN(3)])
	path := "/logs" + []string{"", "?ack=written", "?ack=synced"}[r.IntN(3)]
	if plain {
		path = "/logs"
	}
	body := f.Append(nil, recs)
	if r.IntN(2) == 0 {
		return wire.Render(path, f.ContentType, "gzip", gzipped(body))
	}
	return wire.Render(path, f.ContentType, "", body)
}
