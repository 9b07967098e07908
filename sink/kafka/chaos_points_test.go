//go:build crashpoints

package kafka

// One crash at each step of the protocol, and of the recovery after it.

import (
	"syscall"
	"testing"
	"time"

	"logforge/sink/kafka/kafkatest"
)

func TestChaosACrashAtEachStep(t *testing.T) {
	broker := kafkatest.Shared(t)
	f := func(points ...string) {
		t.Helper()
		name := points[0]
		for _, p := range points[1:] {
			name += ", then " + p
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, site := newStreamAndSite(t, broker, 4)
			s.put(40, 5, 0, 1, 2, 3)
			stop := pump(s, 5*time.Millisecond, 0, 1, 2, 3)
			for _, point := range points {
				p := site.spawn(t, "LOGFORGE_CRASH_AT="+point)
				select {
				case <-p.done:
				case <-time.After(30 * time.Second):
					t.Fatalf("never came to %s:\n%s", point, p.words())
				}
				if ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
					t.Fatalf("ended at %s with %v:\n%s", point, p.cmd.ProcessState, p.words())
				}
			}
			stop()
			s.settled(t, site)
		})
	}
	// The first commit of a partition only says where it begins, and is sent
	// before anything is prepared.
	for _, step := range []string{
		"polled", "polled:3", "appended", "appended:3", "synced", "prepared", "prepared:3",
		"sent", "sent:2", "sent:3", "answered", "answered:3", "decided", "decided:3",
	} {
		f(step)
	}
	for _, step := range []string{"prepared", "sent:2", "answered"} {
		for _, recovery := range []string{"resolving", "resolved", "recovered"} {
			f(step, recovery)
		}
		f(step, "resolved", "resolving", "polled")
		f(step, "recovered", step, "resolved", step)
	}
}
