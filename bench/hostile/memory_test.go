package hostile

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"logforge/bench/child"
)

var (
	long    = flag.Bool("hostile.long", false, "each kind of client alone, and all of them together for longer")
	only    = flag.String("hostile.only", "*", "names of kinds, separated by commas: a beginning is enough")
	limit   = flag.Int64("hostile.limit", 150_000_000, "bytes of memory that version 1 may take")
	seconds = flag.Int("hostile.seconds", 12, "how long a group of kinds attacks")
	env     = flag.String("hostile.env", "", "variables of the server, NAME=value, separated by spaces")
)

var server string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "logforge-hostile")
	if err == nil {
		server, err = child.Build("logforge/cmd/server", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func chosen() (kinds []Kind) {
	for _, k := range Kinds {
		for name := range strings.SplitSeq(*only, ",") {
			if name == "*" || name != "" && strings.HasPrefix(k.Name, name) {
				kinds = append(kinds, k)
				break
			}
		}
	}
	return kinds
}

func TestMemory_OfVersion1StaysBelowItsBoundWhateverClientsDo(t *testing.T) {
	kinds := chosen()
	if *long {
		for _, k := range kinds {
			t.Run(k.Name, func(t *testing.T) { attack(t, []Kind{k}, time.Duration(*seconds)*time.Second) })
		}
	}
	t.Run("all together", func(t *testing.T) { attack(t, kinds, time.Duration(*seconds)*time.Second) })
}

// attack runs the kinds against a new server, beside one honest client.
func attack(t *testing.T, kinds []Kind, d time.Duration) {
	dir := t.TempDir()
	addr, err := child.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server, "-addr", addr, "-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics"), "-aggregation-interval", "1s")
	cmd.Env = append(os.Environ(), strings.Fields(*env)...)
	p, err := child.Start(addr, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	if err := p.WaitReady(t.Context(), "/ready"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d+time.Minute)
	defer cancel()
	h := honest{addr: addr}
	go func() { // on a busy machine for longer, until the honest client got through
		for pause(ctx, d); ctx.Err() == nil && h.stored.Load() == 0; {
			pause(ctx, 10*time.Millisecond)
		}
		cancel()
	}()
	var all sync.WaitGroup
	for _, k := range kinds {
		all.Go(func() { k.Run(ctx, addr) })
	}
	all.Go(func() { h.run(ctx) })
	all.Wait()
	now, peak, err := child.Memory(p.Pid())
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("this system does not tell how much memory a process takes: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cpu, _ := child.CPU(p.Pid())
	t.Logf("peak %d MB, at the end %d MB, CPU %.1f s; honest: %d stored, longest %v, %d refused", peak/1e6, now/1e6, cpu.Seconds(), h.stored.Load(), h.longest.Round(time.Millisecond), h.refused)
	if h.stored.Load() == 0 {
		t.Error("the honest client got nothing through")
	}
	if peak > *limit {
		t.Errorf("the server took %d MB", peak/1e6)
	}
	if err := p.Stop(40 * time.Second); err != nil {
		t.Error(err)
	}
	if n := h.found(t, dir); n < int(h.stored.Load()) {
		t.Errorf("%d records of the honest client were acknowledged, %d are in the files", h.stored.Load(), n)
	}
}

// honest is a client that sends a small batch now and then, and sends it again
// when it is told to.
type honest struct {
	addr    string
	stored  atomic.Int64 // batches acknowledged, of one record
	refused int
	longest time.Duration // until a batch was acknowledged
}

func (h *honest) run(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext}}
	for ctx.Err() == nil {
		body := fmt.Sprintf(`{"timestamp":"2026-04-01T00:00:00Z","path":"/honest/%d","userAgent":"honest"}`+"\n", h.stored.Load())
		for began := time.Now(); ctx.Err() == nil; {
			resp, err := client.Post("http://"+h.addr+"/logs", "application/x-ndjson", strings.NewReader(body))
			h.longest = max(h.longest, time.Since(began))
			if err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusAccepted {
					h.stored.Add(1)
					break
				}
			}
			h.refused++
			pause(ctx, 200*time.Millisecond)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (h *honest) found(t *testing.T, dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "logs", "2026-04-01", "00.log.json"))
	if err != nil {
		t.Error(err)
	}
	return bytes.Count(text, []byte("/honest/"))
}
