package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// onFake is what becomes of a test of the shared broker where there is none.
const onFake = "runs against kfake instead of a real broker"

// startTimeout bounds the start of one broker, the first fetch included.
const startTimeout = 5 * time.Minute

// Broker is one broker, on one address for its whole life.
type Broker struct {
	Addr string // 127.0.0.1:port
	Real bool   // Apache Kafka; otherwise kfake

	port, dir string   // of one that we started
	env       []string // for broker.sh, beside what every broker has
	on        *Node    // where it runs; nil for this machine's own namespace
	pidFile   string
}

// root is the project's directory; script is broker.sh.
var root, script = func() (string, string) {
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	return filepath.Join(dir, "..", "..", ".."), filepath.Join(dir, "broker", "broker.sh")
}()

// shared is what Shared returned first; Main stops it.
var shared struct {
	sync.Mutex
	broker *Broker
	fake   *kfake.Cluster
}

// Main runs a package's tests and then stops the broker that Shared started.
// Use it as
//
//	func TestMain(m *testing.M) { os.Exit(kafkatest.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if b := shared.broker; b != nil && b.dir != "" {
		if err := b.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "kafkatest:", err)
		}
	}
	if shared.fake != nil {
		shared.fake.Close()
	}
	return code
}

// Shared returns the broker that all tests of this run share. A test uses
// topics of its own (see Topic).
func Shared(t testing.TB) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.broker != nil {
		if !shared.broker.Real {
			leftOut(t, missing(), onFake)
		}
		return shared.broker
	}
	port := os.Getenv("KAFKA_PORT")
	if port == "" {
		port = "19092"
	}
	// Somebody else's broker is left alone: it may hold anything, and be of any
	// settings.
	if ours("127.0.0.1:" + port) {
		shared.broker = &Broker{Addr: "127.0.0.1:" + port, Real: true, pidFile: filepath.Join(root, ".kafka", "broker.pid")}
		return shared.broker
	}
	if what := missing(); what != "" {
		leftOut(t, what, onFake)
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		shared.fake, shared.broker = fake, &Broker{Addr: fake.ListenAddrs()[0]}
		return shared.broker
	}
	b, err := start(nil)
	if err != nil {
		t.Fatal(err)
	}
	shared.broker = b
	return b
}

// Own starts a broker for this test alone, and stops it at the test's end.
// properties are further lines for its server.properties, in which @PORT@ stands
// for the broker's port and @CONTROLLER_PORT@ for its controller's.
func Own(t testing.TB, properties ...string) *Broker {
	t.Helper()
	return OwnOn(t, nil, properties...)
}

// OwnOn is Own on a node of a Network; all other nodes reach the broker's Addr.
func OwnOn(t testing.TB, on *Node, properties ...string) *Broker {
	t.Helper()
	if what := missing(); what != "" {
		leftOut(t, what, "left out")
		t.Skip("needs a real broker: ", what)
	}
	b, err := start(on, properties...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(b.dir, "broker.log"))
			t.Logf("broker's log, its end:\n%s", log[max(0, len(log)-4000):])
		}
		if err := b.remove(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Kill ends the broker with SIGKILL.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	b.signal(t, syscall.SIGKILL)
	until(t, "the killed broker is gone", func() bool { return !answers(b.Addr) })
}

// Freeze stops the broker with SIGSTOP: connections stay, nothing answers.
func (b *Broker) Freeze(t testing.TB) { t.Helper(); b.signal(t, syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (b *Broker) Thaw(t testing.TB) { t.Helper(); b.signal(t, syscall.SIGCONT) }

// Stop ends the broker as an administrator does.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	if err := b.run("down"); err != nil {
		t.Fatal(err)
	}
}

// Restart starts a killed or stopped broker again, with its data.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.run("up"); err != nil {
		t.Fatal(err)
	}
}

// PID returns the broker's process id.
func (b *Broker) PID() (int, error) {
	text, err := os.ReadFile(b.pidFile)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func (b *Broker) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	pid, err := b.PID()
	if err == nil {
		err = syscall.Kill(pid, sig)
	}
	if err != nil {
		t.Fatalf("signal %v to the broker: %v", sig, err)
	}
}

// start starts a broker on free ports with a data directory of its own.
func start(on *Node, properties ...string) (*Broker, error) {
	reap()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", dirPrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	port, err := FreePorts()
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: on.addr(port), Real: true, port: strconv.Itoa(port), dir: dir, pidFile: filepath.Join(dir, "broker.pid"), on: on}
	lines := strings.Join(append([]string{quickProperties, on.listenOn(port)}, properties...), "\n")
	lines = strings.NewReplacer("@PORT@", b.port, "@CONTROLLER_PORT@", strconv.Itoa(port+1)).Replace(lines)
	b.env = []string{"KAFKA_PROPERTIES=" + lines}
	if err := b.run("up"); err != nil {
		return nil, err
	}
	return b, nil
}

// run calls broker.sh for this broker.
func (b *Broker) run(command string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	inside := b.on.Command(script, command)
	cmd := exec.CommandContext(ctx, inside.Args[0], inside.Args[1:]...)
	cmd.Env = append(os.Environ(), "KAFKA_PORT="+b.port, "KAFKA_DIR="+b.dir,
		// A process that lives for seconds is not worth compiling twice.
		"KAFKA_HEAP=-Xms128m -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
	cmd.Env = append(cmd.Env, b.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("broker.sh %s: %w\n%s", command, err, out)
	}
	return nil
}

// remove ends the broker, whatever state it is in, and its data.
func (b *Broker) remove() error {
	if pid, err := b.PID(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may be frozen
		_ = syscall.Kill(pid, syscall.SIGKILL) // its data goes too
	}
	if err := b.run("down"); err != nil {
		return err
	}
	return os.RemoveAll(b.dir)
}

// quickProperties: a killed broker is let in again only when its session is over,
// 9 s by default, which a test need not wait for.
const quickProperties = "broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500"

const dirPrefix = "logforge-kafka-"

// reap ends the brokers of test processes that died without ending them.
func reap() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), dirPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		b := &Broker{dir: dir, port: "1", pidFile: filepath.Join(dir, "broker.pid")} // nothing of ours is on port 1; the directory decides
		_ = b.remove()
	}
}

// FreePorts returns the first of two neighbouring free ports below the range
// from which the kernel gives ports to outgoing connections.
func FreePorts() (int, error) {
	for range 100 {
		port := 20000 + 2*rand.IntN(5000)
		if bindable(port) && bindable(port+1) {
			return port, nil
		}
	}
	return 0, errors.New("no free ports between 20000 and 30000")
}

func bindable(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

// ours reports whether the broker of make kafka-up answers at addr.
func ours(addr string) bool {
	id, err := os.ReadFile(filepath.Join(root, ".kafka", "cluster.id"))
	if err != nil || !answers(addr) {
		return false
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	md, err := kadm.NewClient(client).BrokerMetadata(ctx)
	return err == nil && md.Cluster == strings.TrimSpace(string(id))
}

func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// missing says what a real broker lacks on this machine, and how to get it.
func missing() string {
	if _, err := exec.LookPath("java"); err != nil {
		return "Java is missing (apt-get install default-jre-headless maven, or brew install openjdk maven)"
	}
	if _, err := os.Stat(filepath.Join(root, ".kafka", "libs")); err == nil {
		return "" // fetched already
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return "Maven is missing (apt-get install maven, or brew install maven)"
	}
	return ""
}

// leftOut says loudly that a test does not meet a real broker, or fails it
// where that must not happen.
func leftOut(t testing.TB, what, instead string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and in CI every test meets a real broker", what)
	}
	line := fmt.Sprintf("%s: %s: %s", t.Name(), instead, what)
	fmt.Fprintln(os.Stderr, "\n*** LEFT OUT ***", line)
	dir := filepath.Join(root, ".kafka")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "left-out"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(f, line)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
