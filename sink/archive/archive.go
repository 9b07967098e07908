package archive

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/codec"
	"logforge/config"
	"logforge/sink/hourly"
)

// Files is what the archive asks of the hourly files.
type Files interface {
	// Extents returns every hour that has a file, in ascending order.
	Extents() []hourly.Extent
	// Reader reads the bytes [from, e.Length) of e's generation. The error is
	// hourly.ErrGone, also of a later Read, when that is no longer there.
	Reader(e hourly.Extent, from int64) (io.ReadCloser, error)
	// Sync returns when everything that Extents has shown is on disk.
	Sync() error
	// Keep marks an hour as one whose local file must not be removed.
	Keep(h codec.Hour) error
	// Instance returns the name of the logs directory.
	Instance() (string, error)
}

// Destination is a place that parts are copied to. Its methods may be called at
// the same time.
type Destination interface {
	// Name is the destination's label in metrics and messages: s3, postgres.
	Name() string
	// Parts returns the parts of a node that are stored, or those of all nodes if
	// node is empty, of the hours from first to last, in any order.
	Parts(ctx context.Context, node string, first, last codec.Hour) ([]Stored, error)
	// Store stores a part whole, or has no effect. Where the same part is stored
	// already that is a success; where there is another one in its place the
	// error is one of errDamaged. open opens the lines of the part and may be
	// called again; the caller's lines must end in io.EOF. After any other
	// error the part may be there or not.
	Store(ctx context.Context, p Part, open func() (io.ReadCloser, error)) error
	// Close lets go of connections.
	Close()
}

// Archive copies the hourly files to every destination that is configured.
type Archive struct {
	followers []*follower
	summaries *summaryCopier // nil if summaries are not copied
}

// New returns the archive of the files, or nil if no destination is configured.
// It does not wait for a destination: see Run.
func New(cfg config.Archive, st config.Storage, files Files, log *slog.Logger, set *metrics.Set) (*Archive, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	node, err := files.Instance()
	if err != nil {
		return nil, err
	}
	a := &Archive{}
	add := func(d Destination, rule partRule) *follower {
		f := newFollower(d, rule, files, node, filepath.Join(st.LogsDir, ".archive-"+d.Name()), log, set)
		a.followers = append(a.followers, f)
		return f
	}
	if cfg.S3.Bucket != "" {
		bucket, err := newS3(cfg.S3, log, set)
		if err != nil {
			return nil, err
		}
		f := add(bucket, partRule{after: cfg.After, bytes: int64(cfg.PartBytes), look: min(max(cfg.After/10, 20*time.Millisecond), 5*time.Second), parallel: 4})
		if cfg.S3.SummariesPrefix != "" {
			a.summaries = newSummaryCopier(bucket, cfg.S3.SummariesPrefix, st.AnalyticsDir, node, min(max(cfg.After/10, 50*time.Millisecond), 30*time.Second), f)
		}
	}
	if cfg.Postgres.Enabled() {
		database := newPostgres(cfg.Postgres, node, log, set)
		database.keep = files.Keep
		add(database, partRule{after: cfg.Postgres.Interval / 2, bytes: int64(cfg.PartBytes), look: cfg.Postgres.Interval / 2, parallel: 1, growing: true})
	}
	return a, nil
}

// Run copies parts until ctx ends. What a destination refuses is tried again,
// for ever.
func (a *Archive) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, f := range a.followers {
		all.Go(func() { f.run(ctx) })
	}
	if a.summaries != nil {
		all.Go(func() { a.summaries.run(ctx) })
	}
	all.Wait()
	return nil
}

// Status says how far one destination is.
type Status struct {
	Destination   string
	PendingBytes  int64         // committed, and not yet stored there
	OldestPending time.Duration // how long the oldest of them has been waiting
	Behind        bool          // longer than it takes when nothing is wrong
	Error         string        // of the last attempt; empty once one has succeeded
	Reason        string        // of Error, in one word: one of reasons
	Since         time.Time     // of Error: when attempts began to fail
	Parts         uint64        // stored since the start
}

// Status returns how far each destination is.
func (a *Archive) Status() []Status {
	if a == nil {
		return nil
	}
	var all []Status
	for _, f := range a.followers {
		all = append(all, f.status())
	}
	return all
}

// Covers reports whether every destination has the whole of e, as far as it was
// asked within the last two hours, except for records that it does not take at
// all: the hours of those are marked by Files.Keep.
func (a *Archive) Covers(e hourly.Extent) bool {
	if a == nil {
		return true
	}
	for _, f := range a.followers {
		if !f.covers(e) {
			return false
		}
	}
	return true
}
