package kafkatest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Network is a router with network namespaces around it, and this machine's own
// namespace as one of them. What the router passes on can be blocked, in each
// direction by itself, and nobody is told: packets vanish, as between two data
// centres.
type Network struct {
	Host   *Node // this machine's own namespace
	router string
	subnet string // 10.x
	nodes  int
}

// Node is a namespace with an address.
type Node struct {
	Addr      string // its IP address
	network   *Network
	namespace string // empty for the host
	device    string // the router's, towards it
}

// networkPrefix begins the names of all namespaces, followed by the process id.
const networkPrefix = "logforge-test-"

// NewNetwork makes a network, removed at the test's end. It needs Linux, root and
// iproute2; the test is left out otherwise.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		leftOut(t, "ip is missing (apt-get install iproute2)", "left out")
		t.Skip("needs ip (apt-get install iproute2)")
	}
	reapNetworks()
	n := &Network{router: fmt.Sprint(networkPrefix, os.Getpid(), "-r", rand.IntN(1000)), subnet: fmt.Sprintf("10.%d", 128+rand.IntN(120))}
	n.namespace(t, n.router)
	n.do(t, "netns", "exec", n.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	n.Host = n.node(t, "")
	n.do(t, "route", "add", n.subnet+".0.0/16", "via", n.subnet+".0.1")
	return n
}

// Node makes a namespace, with a loopback device and a way to all others.
func (n *Network) Node(t testing.TB) *Node {
	t.Helper()
	name := fmt.Sprint(n.router, "-", n.nodes)
	n.namespace(t, name)
	node := n.node(t, name)
	n.do(t, "-n", name, "route", "add", "default", "via", fmt.Sprintf("%s.%d.1", n.subnet, n.nodes-1))
	return node
}

func (n *Network) namespace(t testing.TB, name string) {
	t.Helper()
	n.do(t, "netns", "add", name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
			t.Errorf("ip netns del %s: %v: %s", name, err, out)
		}
	})
	n.do(t, "-n", name, "link", "set", "lo", "up")
}

// node connects a namespace with the router.
func (n *Network) node(t testing.TB, namespace string) *Node {
	t.Helper()
	number := n.nodes
	n.nodes++
	device := fmt.Sprintf("lf%d-%d", os.Getpid()%100000, rand.IntN(100000))
	node := &Node{Addr: fmt.Sprintf("%s.%d.2", n.subnet, number), network: n, namespace: namespace, device: device}
	peer := fmt.Sprintf("lf%dn%d", os.Getpid()%100000, rand.IntN(100000))
	n.do(t, "link", "add", peer, "type", "veth", "peer", "name", device, "netns", n.router)
	in := []string{}
	if namespace != "" {
		n.do(t, "link", "set", peer, "netns", namespace)
		in = []string{"-n", namespace}
	}
	n.do(t, append(in, "addr", "add", node.Addr+"/30", "dev", peer)...)
	n.do(t, append(in, "link", "set", peer, "up")...)
	n.do(t, "-n", n.router, "addr", "add", fmt.Sprintf("%s.%d.1/30", n.subnet, number), "dev", device)
	n.do(t, "-n", n.router, "link", "set", device, "up")
	return node
}

func (n *Network) do(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Command is exec.Command within the namespace. Its process is the command's own.
func (n *Node) Command(name string, args ...string) *exec.Cmd {
	if n == nil || n.namespace == "" {
		return exec.Command(name, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", n.namespace, name}, args...)...)
}

// Deafen drops every packet to the node, until Hear.
func (n *Node) Deafen(t testing.TB) {
	t.Helper()
	n.network.do(t, "-n", n.network.router, "route", "add", "blackhole", n.Addr+"/32")
}

// Hear ends Deafen.
func (n *Node) Hear(t testing.TB) {
	t.Helper()
	n.network.do(t, "-n", n.network.router, "route", "del", "blackhole", n.Addr+"/32")
}

// Mute drops every packet from the node, until Speak.
func (n *Node) Mute(t testing.TB) {
	t.Helper()
	n.network.do(t, "-n", n.network.router, "rule", "add", "from", n.Addr, "blackhole")
}

// Speak ends Mute.
func (n *Node) Speak(t testing.TB) {
	t.Helper()
	n.network.do(t, "-n", n.network.router, "rule", "del", "from", n.Addr, "blackhole")
}

// Isolate drops every packet from and to the node, until Rejoin.
func (n *Node) Isolate(t testing.TB) { t.Helper(); n.Deafen(t); n.Mute(t) }

// Rejoin ends Isolate.
func (n *Node) Rejoin(t testing.TB) { t.Helper(); n.Speak(t); n.Hear(t) }

// Slow lets a node receive only so many kilobits a second, with a queue of 50 ms
// behind which packets are lost; 0 ends it. It reports false where the kernel
// cannot do that.
func (n *Node) Slow(kilobits int) bool {
	args := []string{"-n", n.network.router, "qdisc", "del", "dev", n.device, "root"}
	if kilobits > 0 {
		args = []string{"-n", n.network.router, "qdisc", "add", "dev", n.device, "root", "tbf", "rate", fmt.Sprint(kilobits, "kbit"), "burst", "16kb", "latency", "50ms"}
	}
	return exec.Command("tc", args...).Run() == nil
}

// Flap drops packets in both directions for a moment, again and again, for d:
// a line that loses a third of what it carries.
func (n *Node) Flap(t testing.TB, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		n.Isolate(t)
		time.Sleep(time.Duration(20+rand.IntN(80)) * time.Millisecond)
		n.Rejoin(t)
		time.Sleep(time.Duration(20+rand.IntN(180)) * time.Millisecond)
	}
}

// reapNetworks removes the namespaces of test processes that died.
func reapNetworks() {
	names, _ := filepath.Glob("/run/netns/" + networkPrefix + "*")
	for _, name := range names {
		name = filepath.Base(name)
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, networkPrefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && syscall.Kill(pid, 0) != nil {
			_ = exec.Command("ip", "netns", "del", name).Run() // another process may have been faster
		}
	}
}

// listenOn are the properties of a broker that clients of other nodes reach.
func (n *Node) listenOn(port int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf(`
listeners=PLAINTEXT://127.0.0.1:%[2]d,NET://%[1]s,CONTROLLER://127.0.0.1:%[3]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[2]d,NET://%[1]s
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,NET:PLAINTEXT
inter.broker.listener.name=PLAINTEXT`, n.addr(port), port, port+1)
}

// addr is where clients reach a broker's port.
func (n *Node) addr(port int) string {
	if n == nil {
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	// Kafka wants another port for another listener; those of a namespace are free.
	return fmt.Sprintf("%s:%d", n.Addr, port-10000)
}
