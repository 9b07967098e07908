package kafka

// Consumers as processes: this test binary, started again with a directory to
// consume into, so that it can be killed at any moment.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
	"logforge/sink/kafka/kafkatest"
)

// long makes the chaos tests take minutes instead of seconds: make chaos.
var (
	long = flag.Bool("chaos.long", false, "the long versions of the chaos tests")
	seed = flag.Uint64("chaos.seed", 0, "seed of the chaos tests; 0 draws one")
)

const (
	// childEnv holds the configuration of a child, as JSON.
	childEnv = "LOGFORGE_TEST_CONSUME"
	// replayEnv is the directory that a child replays instead of consuming.
	replayEnv = "LOGFORGE_TEST_REPLAY"
)

// child is the main function of a child process. It reports false in any other.
func child() (code int, is bool) {
	text := os.Getenv(childEnv)
	if text == "" {
		return 0, false
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if name := os.Getenv("LOGFORGE_TEST_PROFILE"); name != "" {
		f, err := os.Create(name)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			log.Error("profile", "err", err)
			return 1, true
		}
		defer f.Close()
		defer pprof.StopCPUProfile()
	}
	if err := consumeAsChild(text, log); err != nil {
		log.Error("consumer ends", "err", err)
		return 1, true
	}
	return 0, true
}

func consumeAsChild(text string, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGXFSZ) // a file that must not grow is an error of write
	log.Info("begins")
	var cfg config.Config
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	if dir := os.Getenv(replayEnv); dir != "" {
		return replayAsChild(cfg, dir)
	}
	set := metrics.NewSet()
	files, err := hourly.Open(cfg.Storage, sink.Written, log, set)
	if err != nil {
		return err
	}
	c, err := NewConsumer(cfg.Kafka, cfg.Consumer, cfg.Ingestion, files, log, set)
	if err != nil {
		return err
	}
	return errors.Join(c.Run(ctx), files.Close())
}

// dice is where a chaos test's randomness comes from.
func dice(t *testing.T) *rand.Rand {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("to try the same again: -chaos.seed %d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// childProcess is a child at work.
type childProcess struct {
	t    testing.TB
	site *site
	cmd  *exec.Cmd
	out  *bytes.Buffer
	mu   *sync.Mutex // guards out
	done chan struct{}
}

// spawn starts a process on the site.
func (s *site) spawn(t testing.TB, env ...string) *childProcess {
	t.Helper()
	return s.spawnOn(t, nil, env...)
}

// spawnOn starts it on a node of a network.
func (s *site) spawnOn(t testing.TB, on *kafkatest.Node, env ...string) *childProcess {
	t.Helper()
	text, err := json.Marshal(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := &childProcess{t: t, site: s, out: new(bytes.Buffer), mu: new(sync.Mutex), done: make(chan struct{})}
	p.cmd = on.Command(os.Args[0], "-test.run", "none")
	p.cmd.Env = append(append(os.Environ(), childEnv+"="+string(text)), env...)
	p.cmd.Stderr = writerFunc(func(b []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.out.Write(b)
	})
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its state says how it ended
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s, process %d, its last words:\n%s", filepath.Base(filepath.Dir(s.cfg.Storage.LogsDir)), p.cmd.Process.Pid, p.words())
		}
	})
	return p
}

func (p *childProcess) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.out.Bytes()
	return string(b[max(0, len(b)-4000):])
}

func (p *childProcess) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// kill ends it with SIGKILL, also when it is stopped.
func (p *childProcess) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// terminate ends it with SIGTERM and checks that it ends well, and in time.
func (p *childProcess) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second): // server.shutdownTimeout
		p.signal(syscall.SIGQUIT)
		<-p.done
		p.t.Fatalf("half a minute after SIGTERM it still ran:\n%s", p.words())
	}
	if p.words() == "" {
		return // the signal came before the process could listen for it, or do anything
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("after SIGTERM it ended with %d:\n%s", code, p.words())
	}
}

// ended reports whether it has ended by itself.
func (p *childProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// pump fills the stream until the returned function is called. Lines that the
// cluster did not acknowledge, because the broker was killed, may be in the topic
// or not.
func pump(s *stream, pause time.Duration, partitions ...int32) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if err := s.try(context.Background(), 8, 1+i%20, partitions...); err != nil {
				s.t.Logf("filling the topic, and going on with a new client: %v", firstLine(err))
				s.renew()
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
	return func() { cancel(); <-done }
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// settled brings the sites up, none of which may be held by a process, until
// every line of the stream is in their files; then it checks that each is there
// once.
func (s *stream) settled(t testing.TB, sites ...*site) {
	t.Helper()
	var rs []*running
	for _, site := range sites {
		rs = append(rs, site.start(t))
	}
	reached(t, s.total(), rs...)
	for _, r := range rs {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
	s.once(sites...)
}

// pick draws a time of less than most.
func pick(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most)))
}
