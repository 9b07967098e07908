package hourly

// How much room there is where the logs are, for those who want to know before
// it is full.

import (
	"math"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"logforge/config/metric"
)

// space returns how many bytes may still be taken on the file system that holds dir,
// and how many it has.
func space(dir string) (free, size uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// freeBytes is the first of them; a very large number where it cannot be asked, so
// that it is found out by writing.
func freeBytes(dir string) uint64 {
	free, _, err := space(dir)
	if err != nil {
		return 1 << 62
	}
	return free
}

// registerSpace makes the gauges of the file system that holds dir. What could
// not be asked is NaN, which no alert takes for a full disk.
func registerSpace(set *metrics.Set, dir string) {
	orNaN := func(bytes uint64, err error) float64 {
		if err != nil {
			return math.NaN()
		}
		return float64(bytes)
	}
	metric.Gauge(set, "logforge_disk_free_bytes", "Bytes this process may still take on the file system of storage.logsDir.", func() float64 {
		free, _, err := space(dir)
		return orNaN(free, err)
	})
	metric.Gauge(set, "logforge_disk_size_bytes", "Size of the file system of storage.logsDir.", func() float64 {
		_, size, err := space(dir)
		return orNaN(size, err)
	})
}
