// Package child runs a server as a child process and looks at it from outside:
// whether it answers, what CPU time and memory it has taken, what it does when
// it is killed. Proofs and comparisons use it, because neither a crash nor
// the cost of a process can be measured from within it.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a running child.
type Process struct {
	Addr string // host:port it listens on

	cmd    *exec.Cmd
	output bytes.Buffer // its stdout and stderr; read only after exited is closed
	exited chan struct{}
	err    error // of Wait; read only after exited is closed
}

// FreeAddr returns an address on the loopback interface on which nothing listens
// at this moment. Its port is below the range from which the kernel gives ports
// to outgoing connections: one of those could take it before the child listens.
func FreeAddr() (string, error) {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(10000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", errors.New("no free port between 10000 and 20000 on 127.0.0.1")
}

// Build compiles a package of this module into dir and returns the program's path.
func Build(pkg, dir string) (string, error) {
	bin := filepath.Join(dir, filepath.Base(pkg))
	if out, err := exec.Command("go", "build", "-o", bin, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

// Start starts a command that will listen on addr, and returns at once.
func Start(addr string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Addr: addr, cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// WaitReady waits until the child answers 200 at that path, or, if path is
// empty, until it accepts connections.
func (p *Process) WaitReady(ctx context.Context, path string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.answers(path)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return fmt.Errorf("child ended before it was ready: %s\n%s", p.cmd.ProcessState, p.output.Bytes())
		case <-ctx.Done():
			return fmt.Errorf("child not ready: %w", err)
		}
	}
}

func (p *Process) answers(path string) error {
	if path == "" {
		c, err := net.DialTimeout("tcp", p.Addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + p.Addr + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only the status matters
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed once the child is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the child with SIGKILL, waits for it, and returns its output.
func (p *Process) Kill() string {
	_ = p.cmd.Process.Signal(os.Kill) // an error means that it is gone already
	<-p.exited
	return p.output.String()
}

// Stop asks the child to end with SIGTERM and waits. A child that fails,
// or does not end in time, is an error with its output.
func (p *Process) Stop(within time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop child: %w", err)
	}
	select {
	case <-p.exited:
	case <-time.After(within):
		return fmt.Errorf("child still runs %v after SIGTERM:\n%s", within, p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("child ended with %w:\n%s", p.err, p.output.Bytes())
	}
	return nil
}
