package kafka

// The Consumer: from the topic into the files, each record once. It lives
// through a series of sessions, each a client that joins the group, consumes in
// transactions (commit.go), and ends with the process, or with the first thing
// that went wrong; the next one starts from what the group has committed.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/codec"
	"logforge/config"
	"logforge/sink"
	"logforge/sink/hourly"
)

// Why a Consumer stops for good. Anything else it survives: it rolls back and
// joins again.
var (
	// ErrGap: the group's offsets do not fit the topic, or what this directory
	// holds, so records were lost or would come twice.
	ErrGap = errors.New("gap in the topic")
	// ErrFenced: another process uses the same group instance id, which is kept
	// in the logs directory: the directory was copied.
	ErrFenced = errors.New("another consumer has taken this one's place")
)

// What Ready says before the group has been joined, and after Run.
var (
	errJoining = errors.New("joining the consumer group")
	errStopped = errors.New("stopped")
)

// Consumer takes the topic's records into files. See the package comment for
// what it promises.
type Consumer struct {
	cfg      config.Kafka
	flush    config.Consumer
	limits   codec.Limits
	files    *hourly.Files
	instance string // group instance id: this directory's place in the group

	inflation *inflation

	// Seams for tests.
	commitTimeout time.Duration
	request       func(ctx context.Context, b *kgo.Broker, req kmsg.Request) (kmsg.Response, error)

	log *slog.Logger
	set *metrics.Set

	mu     sync.Mutex
	client *client  // of the session; nil between two
	ready  error    // why nothing is consumed; nil while it is
	held   []extent // the ends of this directory's part of each partition
	heldID topicID  // within this topic

	errs          *metrics.Counter
	sessions      *metrics.Counter
	gaps          *metrics.Counter
	records       *metrics.Counter
	bytes         *metrics.Counter
	deadLetters   *metrics.Counter
	commits       [split + 1]*metrics.Counter
	resolved      [dropped + 1]*metrics.Counter
	commitSeconds *metrics.PrometheusHistogram
}

// NewConsumer returns a Consumer of cfg's topic into files. It does not connect
// before Run.
func NewConsumer(cfg config.Kafka, flush config.Consumer, in config.Ingestion, files *hourly.Files, log *slog.Logger, set *metrics.Set) (*Consumer, error) {
	if _, err := clientOptions(cfg, log); err != nil {
		return nil, err
	}
	instance, err := files.Instance()
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		cfg: cfg, flush: flush,
		limits: codec.Limits{RecordBytes: int(in.MaxRecordBytes), SentBytes: codec.SentPerStored * int(in.MaxRecordBytes), Depth: in.MaxDepth},
		files:  files, instance: instance, log: log, set: set,
		inflation: &inflation{most: maxInflated},
		ready:     errJoining, commitTimeout: commitTimeout,
		request: func(ctx context.Context, b *kgo.Broker, req kmsg.Request) (kmsg.Response, error) {
			return b.Request(ctx, req)
		},

		errs:          set.NewCounter("kafka_consumer_errors_total"),
		sessions:      set.NewCounter("logforge_kafka_consumer_sessions_total"),
		gaps:          set.NewCounter("logforge_kafka_gaps_total"),
		records:       set.NewCounter("logforge_kafka_consumed_records_total"),
		bytes:         set.NewCounter("logforge_kafka_consumed_bytes_total"),
		deadLetters:   set.NewCounter("logforge_kafka_dead_letter_topic_records_total"),
		commitSeconds: set.NewPrometheusHistogramExt("logforge_kafka_commit_duration_seconds", []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}),
	}
	for o := range c.commits {
		c.commits[o] = set.NewCounter(fmt.Sprintf("logforge_kafka_commits_total{result=%q}", outcome(o)))
	}
	for v := range c.resolved {
		c.resolved[v] = set.NewCounter(fmt.Sprintf("logforge_kafka_resolved_total{verdict=%q}", verdict(v)))
	}
	if err := c.remember(); err != nil {
		return nil, err
	}
	return c, nil
}

// remember reads what the journal says of the last transaction that was decided.
func (c *Consumer) remember() error {
	b := c.files.Position()
	if b == nil {
		return nil
	}
	p, err := decodePosition(b)
	if err != nil {
		return fmt.Errorf("logs directory: the journal's last %w", err)
	}
	if p.group == c.cfg.GroupID && p.topic == c.cfg.Topic {
		c.hold(p.after(), p.topicID)
	}
	return nil
}

// holds returns how far this directory's files reach, and in which topic. The
// extents are not to be changed.
func (c *Consumer) holds() ([]extent, topicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held, c.heldID
}

func (c *Consumer) hold(held []extent, id topicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held, c.heldID = held, id
}

// Run consumes until ctx ends: it then commits what it has polled, leaves the
// group and returns nil. It returns an error only for what no new try would
// change: ErrGap, ErrFenced, ErrUndecidable, or files that have failed.
func (c *Consumer) Run(ctx context.Context) error {
	fails := 0
	for {
		before := c.commits[applied].Get()
		err := c.session(ctx)
		if err == nil {
			c.setReady(errStopped)
			return nil
		}
		c.setReady(err)
		if failed := c.files.Err(); failed != nil {
			return failed
		}
		if final(err) {
			return err
		}
		c.errs.Inc()
		if ctx.Err() != nil {
			c.log.Warn("the last commit failed; the next start finds out what became of it", "group", c.cfg.GroupID, "err", err)
			return nil
		}
		c.log.Warn("consuming was interrupted; joining the group again", "group", c.cfg.GroupID, "err", err)
		if c.commits[applied].Get() > before && !errors.Is(err, errFetch) {
			fails = 0 // it did work
		}
		fails++
		if !c.pause(ctx, err, backoff(fails)) {
			return nil
		}
	}
}

// pause waits before the next session: for d, and after that for room on a full
// disk. It reports false when ctx has ended.
func (c *Consumer) pause(ctx context.Context, why error, d time.Duration) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
		}
		if !errors.Is(why, sink.ErrDiskFull) || !errors.Is(c.files.Ready(), sink.ErrDiskFull) {
			return true
		}
		d = time.Second
	}
}

// final reports whether a session that ended with err is the last one.
func final(err error) bool {
	return errors.Is(err, ErrGap) || errors.Is(err, ErrFenced) || errors.Is(err, ErrUndecidable)
}

// Ready returns nil while records are consumed, or why they are not.
func (c *Consumer) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready != nil {
		return fmt.Errorf("consumer: %w", c.ready)
	}
	if c.client != nil {
		return c.client.Ready()
	}
	return nil
}

func (c *Consumer) setClient(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client = cl
}

func (c *Consumer) setReady(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = err
}

// fenced makes ErrFenced of err where it is that.
func (c *Consumer) fenced(err error) error {
	if !errors.Is(err, kerr.FencedInstanceID) {
		return err
	}
	return fmt.Errorf("%w: group %s, instance %s: was this logs directory copied? "+
		"Remove .instance from the copy before it is started; a copy holds records that the original holds too (%w)",
		ErrFenced, c.cfg.GroupID, c.instance, err)
}

// lag is how far behind the end of a partition its consumer is.
type lag struct {
	end, next atomic.Int64
}

// showLag makes the gauge of a partition that has been assigned.
func (c *Consumer) showLag(partition int32, l *lag) {
	c.hideLag(partition)
	c.set.NewGauge(lagName(partition), func() float64 {
		return float64(max(0, l.end.Load()-l.next.Load()))
	})
}

// hideLag removes it: the partition is somebody else's.
func (c *Consumer) hideLag(partition int32) { c.set.UnregisterMetric(lagName(partition)) }

func lagName(partition int32) string {
	return `logforge_kafka_consumer_lag{partition="` + strconv.Itoa(int(partition)) + `"}`
}
