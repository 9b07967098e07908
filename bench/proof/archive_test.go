package proof

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var archiveKills = flag.Int("archive.kills", 16, "how often a server with an archive is killed")

// TestArchive_KilledAtAnyMomentEachDestinationHasEachRecordOnce kills the server at every step of a part, loses answers on the
// way to both destinations, and takes the logs directory away in between.
func TestArchive_KilledAtAnyMomentEachDestinationHasEachRecordOnce(t *testing.T) {
	archiveKilled(t, *archiveKills, false, "")
}

// Ensure that the same holds while hours are removed as soon as they may be, and
// that their summaries then count each record of theirs once as well.
func TestArchive_KilledWhileHoursAreRemovedEachDestinationHasEachRecordOnce(t *testing.T) {
	archiveKilled(t, max(4, *archiveKills/2), true, "storage: {maxAge: 1h, syncInterval: 10ms}\n")
}

// Ensure that the same holds while hours are compressed as soon as they are quiet.
func TestArchive_KilledWhileHoursAreCompressedEachDestinationHasEachRecordOnce(t *testing.T) {
	archiveKilled(t, max(4, *archiveKills/4), false, "storage: {compressAfter: 20ms, syncInterval: 10ms}\n")
}

// Ensure that the same holds while hours are compressed, and removed.
func TestArchive_KilledWhileHoursAreCompressedAndRemovedEachDestinationHasEachRecordOnce(t *testing.T) {
	archiveKilled(t, max(4, *archiveKills/4), true, "storage: {compressAfter: 20ms, maxAge: 1h, syncInterval: 10ms}\n")
}

// archiveKilled kills servers with settings more; removing says that they remove
// hours.
func archiveKilled(t *testing.T, kills int, removing bool, more string) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("again with: go test ./bench/proof -run %s -archive.kills %d -seed %d", t.Name(), *archiveKills, *seed)
	a, dir, addr := newArchives(t), directory(t), freeAddr(t)
	o := &oracle{log: realLog(t)}
	r := rand.New(rand.NewPCG(*seed, 1))
	config := a.config(t, dir, more)
	for k := range kills {
		p := start(t, dir, addr, "-config", config)
		waitReady(t, p)
		a.mischief(rand.New(rand.NewPCG(*seed, uint64(k))), func() { p.Kill() })
		l := load{oracle: o, addr: addr, enough: make(chan struct{}), answers: 1 + r.IntN(60), unlessKilled: p.Exited()}
		l.run(t, r.Uint64(), func() string {
			select { // let the archive get somewhere, or be killed within
			case <-p.Exited():
			case <-time.After(time.Duration(r.IntN(400)) * time.Millisecond):
			}
			return p.Kill()
		})
		if t.Failed() {
			t.Fatalf("server %d said:\n%s", k, tail(p.Kill()))
		}
		if k%8 == 7 && !removing {
			// A machine that lost its disk, once everything was archived: what
			// comes back is a new node.
			a.calm()
			p := start(t, dir, addr, "-config", config)
			waitReady(t, p)
			drained(t, p)
			p.Kill()
			if err := os.RemoveAll(filepath.Join(dir, "logs")); err != nil {
				t.Fatal(err)
			}
		}
	}
	a.calm()
	p := start(t, dir, addr, "-config", config)
	waitReady(t, p)
	drained(t, p)
	if removing {
		emptied(t, p, dir, "*")
	}
	verified(t, dir, config) // beside the running server
	if err := p.Stop(patience); err != nil {
		t.Fatal(err)
	}
	verified(t, dir, config)
	records := a.compare(t, o)
	if removing && summarised(t, dir) != records {
		t.Errorf("the summaries count %d records, the archive has %d", summarised(t, dir), records)
	}
}

// verified has server verify -archive say that everything is whole.
func verified(t *testing.T, dir, config string) {
	t.Helper()
	verify(t, dir, "-archive", "-config", config)
}

// verifiedLocally has server verify say that the files and the summaries are whole.
func verifiedLocally(t *testing.T, dir string) {
	t.Helper()
	verify(t, dir)
}

func verify(t *testing.T, dir string, flags ...string) {
	t.Helper()
	server, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server, append([]string{"verify", "-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics")}, flags...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("server verify: %v\n%s", err, tail(string(out)))
	}
}
