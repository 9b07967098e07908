package corpus

import (
	"math/rand/v2"
	"time"
)

// Record is one log record as a client means it.
type Record struct {
	Time      time.Time // UTC
	Path      string
	UserAgent string
}

// Start is the instant of the first record that Records draws.
var Start = time.Date(2026, 2, 9, 15, 0, 0, 0, time.UTC)

// Skew of the two Zipf laws, and how many different values there are.
const (
	paths       = 5000
	pathSkew    = 1.1
	agents      = 600
	agentSkew   = 1.2
	zipfShift   = 4 // keeps the first rank from being in more than every tenth record
	rareText    = 100
	rareEscape  = 200
	rareControl = 1000
)

// Records draws n records whose timestamps rise from Start over the given
// number of hours (at least 1), in whole seconds. The same arguments give the
// same records, on every machine.
func Records(seed uint64, n, hours int) []Record {
	words := rand.New(rand.NewPCG(1, 1)) // the vocabulary is the same for every seed
	pathOf, agentOf := makePaths(words, paths), makeAgents(words, agents)

	r := rand.New(rand.NewPCG(seed, 0x6c6f67))
	pathRank := rand.NewZipf(r, pathSkew, zipfShift, paths-1)
	agentRank := rand.NewZipf(r, agentSkew, zipfShift, agents-1)

	recs := make([]Record, n)
	span := int64(max(hours, 1)) * 3600
	for i := range recs {
		recs[i] = Record{
			Time:      Start.Add(time.Duration(int64(i)*span/int64(n)) * time.Second),
			Path:      pathOf[pathRank.Uint64()],
			UserAgent: agentOf[agentRank.Uint64()],
		}
		odd(r, &recs[i])
	}
	return recs
}

// odd makes a few records awkward, the way real logs are.
func odd(r *rand.Rand, rec *Record) {
	if r.IntN(rareText) == 0 {
		rec.Path += pick(r, "/Überblick", "/检索?q=日志", "/поиск", "/café/été", "/😀", "?name=Zoë")
	}
	if r.IntN(rareEscape) == 0 {
		rec.UserAgent += pick(r, ` "quoted"`, ` C:\Program Files\agent`, ` \"`, `; "`)
	}
	if r.IntN(rareControl) == 0 {
		rec.UserAgent += pick(r, "\tx", "\nX-Injected: 1", "\r\n", "\x1b[31m", "\x01", "\x7f")
	}
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
