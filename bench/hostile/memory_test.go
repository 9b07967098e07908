package hostile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	"logforge/sink/kafka/kafkatest"
)

var (
	long    = flag.Bool("hostile.long", false, "each kind of client alone, and all of them together for longer")
	only    = flag.String("hostile.only", "*", "names of kinds, separated by commas: a beginning is enough")
	limit   = flag.Int64("hostile.limit", 0, "bytes of memory that the server may take; 0 means 150 MB in version 1 and 300 MB in version 2")
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
	code := kafkatest.Main(m)
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
	attackAll(t, func(*testing.T) version { return version{limit: 150_000_000} })
}

func TestMemory_OfVersion2StaysBelowItsBoundWhateverClientsDo(t *testing.T) {
	broker := kafkatest.Shared(t)
	attackAll(t, func(t *testing.T) version {
		topic := broker.Topic(t, 10)
		return version{limit: 300_000_000, flags: []string{"-pipeline", "2", "-brokers", broker.Addr, "-topic", topic, "-group", topic}}
	})
}

// version is one form of the server: how it is started, and what it may take.
type version struct {
	flags []string
	limit int64 // bytes of memory
}

// attackAll runs all chosen kinds against servers of the version that of returns.
func attackAll(t *testing.T, of func(*testing.T) version) {
	kinds, d := chosen(), time.Duration(*seconds)*time.Second
	if *long {
		for _, k := range kinds {
			t.Run(k.Name, func(t *testing.T) { attack(t, of(t), []Kind{k}, d) })
		}
	}
	t.Run("all together", func(t *testing.T) { attack(t, of(t), kinds, d) })
}

// attack runs the kinds against a new server, beside one honest client and one
// operator.
func attack(t *testing.T, v version, kinds []Kind, d time.Duration) {
	dir := t.TempDir()
	addr, err := child.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(server, append([]string{"-addr", addr, "-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics"), "-aggregation-interval", "1s"}, v.flags...)...)
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
	h, o := honest{addr: addr}, operator{addr: addr}
	go func() { // on a busy machine for longer, until the honest client got through
		for pause(ctx, d); ctx.Err() == nil && (h.stored.Load() == 0 || o.got.Load() == 0); {
			pause(ctx, 10*time.Millisecond)
		}
		cancel()
	}()
	var all sync.WaitGroup
	for _, k := range kinds {
		all.Go(func() { k.Run(ctx, addr) })
	}
	all.Go(func() { h.run(ctx) })
	all.Go(func() { o.run(ctx) })
	all.Wait()
	// Version 2 consumes what it has been sent, the honest client's records among it.
	for end := time.Now().Add(5 * time.Minute); h.found(dir) < int(h.stored.Load()) && time.Now().Before(end); {
		pause(t.Context(), 100*time.Millisecond)
	}
	now, peak, err := child.Memory(p.Pid())
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("this system does not tell how much memory a process takes: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cpu, _ := child.CPU(p.Pid())
	t.Logf("peak %d MB, at the end %d MB, CPU %.1f s", peak/1e6, now/1e6, cpu.Seconds())
	t.Logf("honest client: %d stored, longest %v, %d refused: %v; operator: %d scrapes, longest %v, %d refused: %v",
		h.stored.Load(), h.longest.Round(time.Millisecond), h.refused, h.last, o.got.Load(), o.longest.Round(time.Millisecond), o.refused, o.last)
	if h.stored.Load() == 0 {
		t.Error("the honest client got nothing through")
	}
	if o.got.Load() == 0 {
		t.Error("the operator got no metrics")
	}
	if most := cmp.Or(*limit, v.limit); peak > most {
		t.Errorf("the server took %d MB of %d", peak/1e6, most/1e6)
	}
	if err := p.Stop(40 * time.Second); err != nil {
		t.Error(err)
	}
	if n := h.found(dir); n < int(h.stored.Load()) {
		t.Errorf("%d records of the honest client were acknowledged, %d are in the files", h.stored.Load(), n)
	}
}

// honest is a client that sends a small batch now and then, and sends it again
// when it is told to.
type honest struct {
	addr    string
	stored  atomic.Int64 // batches acknowledged, of one record
	refused int
	last    any           // what came instead of the last acknowledgement
	longest time.Duration // until a batch was acknowledged
}

func (h *honest) run(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext}}
	for ctx.Err() == nil {
		body := fmt.Sprintf(`{"timestamp":"2026-04-01T00:00:00Z","path":"/honest/%d","userAgent":"honest"}`+"\n", h.stored.Load())
		for began := time.Now(); ctx.Err() == nil; {
			resp, err := client.Post("http://"+h.addr+"/logs", "application/x-ndjson", strings.NewReader(body))
			h.longest = max(h.longest, time.Since(began))
			if h.last = err; err == nil {
				h.last = resp.Status
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

// found returns how many of its records are in the files.
func (h *honest) found(dir string) int {
	text, _ := os.ReadFile(filepath.Join(dir, "logs", "2026-04-01", "00.log.json")) // not yet there: none
	return bytes.Count(text, []byte("/honest/"))
}

// operator looks at the server now and then, as Prometheus and a load balancer do.
type operator struct {
	addr    string
	got     atomic.Int64 // answers of 200
	refused int
	last    any           // what came instead of the last refused one
	longest time.Duration // until there was one
}

func (o *operator) run(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		target := "http://" + o.addr + []string{"/metrics", "/ready"}[n%2]
		for began := time.Now(); ctx.Err() == nil; pause(ctx, 200*time.Millisecond) {
			status, err := get(client, target)
			o.longest = max(o.longest, time.Since(began))
			if err == nil && status == http.StatusOK {
				o.got.Add(1)
				break
			}
			if o.last = err; err == nil {
				o.last = fmt.Sprint(target, " answered ", status)
			}
			o.refused++
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// get reads one answer to its end and returns its status.
func get(client *http.Client, url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
