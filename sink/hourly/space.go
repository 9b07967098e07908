package hourly

// How much room there is where the logs are, for those who want to know before
// it is full.

import (
	"math"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"logforge/config/metric"
)

// registerSpace makes the gauges of the file system that holds dir. What could
// not be asked is NaN, which no alert takes for a full disk.
func registerSpace(set *metrics.Set, dir string) {
	bytes := func(blocks func(*unix.Statfs_t) uint64) func() float64 {
		return func() float64 {
			var st unix.Statfs_t
			if err := unix.Statfs(dir, &st); err != nil {
				return math.NaN()
			}
			return float64(blocks(&st)) * float64(st.Bsize)
		}
	}
	metric.Gauge(set, "logforge_disk_free_bytes", "Bytes this process may still take on the file system of storage.logsDir.", bytes(func(st *unix.Statfs_t) uint64 { return st.Bavail }))
	metric.Gauge(set, "logforge_disk_size_bytes", "Size of the file system of storage.logsDir.", bytes(func(st *unix.Statfs_t) uint64 { return st.Blocks }))
}
