//go:build crashpoints

package kafka

// Ends the process as kill -9 does, at a named step of the protocol:
// LOGFORGE_CRASH_AT=name, or name:n for the n-th time it is reached. The names
// are in the order of the protocol: polled, appended, (synced, within
// hourly.Files), prepared, sent, answered, decided; and in recovery: resolving,
// resolved, recovered.

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"
)

var (
	crashAt, crashNumber = func() (string, int64) {
		name, number, counted := strings.Cut(os.Getenv("LOGFORGE_CRASH_AT"), ":")
		if !counted {
			return name, 1
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			panic("LOGFORGE_CRASH_AT: " + err.Error())
		}
		return name, n
	}()
	crashReached atomic.Int64
)

func crashPoint(name string) {
	if name == crashAt && crashReached.Add(1) == crashNumber {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // until the signal arrives
	}
}

// sentHook is the step between the commit and its answer.
type sentHook struct{}

func (sentHook) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == kmsg.OffsetCommit.Int16() && err == nil {
		crashPoint("sent")
	}
}

var _ kgo.HookBrokerWrite = sentHook{}

func crashOptions() []kgo.Opt { return []kgo.Opt{kgo.WithHooks(sentHook{})} }
