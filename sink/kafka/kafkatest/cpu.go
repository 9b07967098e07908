package kafkatest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU returns the processor time the broker's process has used, for
// benchmarks. It reads /proc, and so it is an error on other systems than
// Linux, for kfake, and for a broker that broker.sh did not start.
func (b *Broker) CPU() (time.Duration, error) {
	pid, err := b.PID()
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): the name is in parentheses and may hold anything;
	// utime and stime are the 14th and 15th field, in ticks of 10 ms.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected %s", stat)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err
}
