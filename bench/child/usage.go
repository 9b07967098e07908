package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat; Linux shows user space
// a hundredth of a second on every architecture.
const clockTick = 10 * time.Millisecond

// CPU returns the processor time, user and system, that the process with this
// id has taken so far, all threads together. It needs /proc (Linux).
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the command in parentheses and may hold spaces; state
	// is the third field, utime the 14th, stime the 15th (proc(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: odd stat line %q", pid, stat)
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("process %d: odd stat line %q", pid, stat)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// Memory returns the resident set of the process in bytes: now, and the most
// it has ever been. It needs /proc (Linux).
func Memory(pid int) (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch name {
		case "VmRSS":
			now, err = strconv.ParseInt(kib, 10, 64)
		case "VmHWM":
			peak, err = strconv.ParseInt(kib, 10, 64)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("process %d: odd status line %q", pid, line)
		}
	}
	return now << 10, peak << 10, nil
}
