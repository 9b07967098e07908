package proof

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"
)

// TestKilledWhileHoursAreCompressedNothingAcknowledgedIsLost kills servers that
// compress each hour as soon as it is quiet, which the next batches end again.
func TestKilledWhileHoursAreCompressedNothingAcknowledgedIsLost(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./bench/proof -run KilledWhileHoursAreCompressedNothing -kills %d -seed %d", *kills, *seed)
	dir, addr := directory(t), freeAddr(t)
	o := &oracle{log: realLog(t)}
	r := rand.New(rand.NewPCG(*seed, 3))
	env := []string{"LOGFORGE_STORAGE_COMPRESS_AFTER=20ms", "LOGFORGE_STORAGE_SYNC_INTERVAL=10ms"}
	for k := range 2 * *kills {
		p := startWith(t, dir, addr, env)
		waitReady(t, p)
		l := load{oracle: o, addr: addr, enough: make(chan struct{}), answers: 1 + r.IntN(60)}
		l.run(t, r.Uint64(), func() string {
			time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond) // while hours become quiet
			return p.Kill()
		})
		if t.Failed() {
			t.Fatalf("server %d said:\n%s", k, p.Kill())
		}
	}
	p := startWith(t, dir, addr, env)
	waitReady(t, p)
	emptied(t, p, dir, "??.log.json")
	verifiedLocally(t, dir)
	if err := p.Stop(patience); err != nil {
		t.Fatal(err)
	}
	verifiedLocally(t, dir)
	found, err := o.compare(dir)
	t.Logf("%d kills, %d batches: %d acknowledged, %d refused; of unknown ones %d whole, %d not there, %d in part",
		2**kills, len(o.batches), found.acknowledged, found.refused, found.whole, found.none, found.partial)
	if err != nil {
		t.Error(err)
	}
	if err := compareSummaries(dir); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "logs", "????-??-??", ".*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		if filepath.Ext(name) == ".tmp" {
			t.Errorf("%s is left", name)
		}
	}
}
