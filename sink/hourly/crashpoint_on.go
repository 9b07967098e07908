//go:build crashpoints

package hourly

import (
	"os"

	"golang.org/x/sys/unix"
)

// crashPoint ends the process as kill -9 does when LOGFORGE_CRASH_AT names it.
func crashPoint(name string) {
	if os.Getenv("LOGFORGE_CRASH_AT") == name {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {} // until the signal arrives
	}
}
