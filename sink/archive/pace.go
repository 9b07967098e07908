package archive

import (
	"io"
	"time"
)

// While a part is hashed and compressed, clients wait for the same processors.
// So the archive pauses between pieces: it takes an eighth of one processor, and
// more the more is waiting, up to the whole of one when it is unpausedParts.
const (
	restPerWork   = 7.0 // of pauses for each second of work
	unpausedParts = 20  // of archive.partBytes
	// pacedFrom is the size of the smallest part with pauses: a smaller one is
	// done before anybody notices.
	pacedFrom = 1 << 20
	// Pauses shorter than shortestRest are added up: after each the processor's
	// caches have to be filled again. longestRest bounds them, so that no part is
	// late because of them.
	shortestRest = 20 * time.Millisecond
	longestRest  = 100 * time.Millisecond
)

// rest returns how long to pause for each second of work while so many bytes are
// waiting.
func rest(pending, partBytes int64) float64 {
	return max(0, restPerWork*(1-float64(pending)/float64(unpausedParts*partBytes)))
}

// paced is a stream of lines with pauses between the reads.
type paced struct {
	io.ReadCloser
	rest  float64 // for each second between two reads
	began time.Time
	owed  time.Duration
}

func (p *paced) Read(b []byte) (int, error) {
	if !p.began.IsZero() {
		p.owed += min(longestRest, time.Duration(p.rest*float64(time.Since(p.began))))
	}
	if p.owed >= shortestRest {
		time.Sleep(p.owed)
		p.owed = 0
	}
	p.began = time.Now()
	return p.ReadCloser.Read(b)
}
