package kafka

// The Consumer: from the topic into the files, each record once. It goes
// through a series of sessions, each a client that joins the group, consumes in
// transactions (commit.go), and ends with the process, or with the first thing
// that went wrong; the next one starts from what the group has committed.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"logforge/codec"
	"logforge/config"
	"logforge/config/metric"
	"logforge/sink"
	"logforge/sink/hourly"
)

// Why a Consumer stops for good. After any other error it rolls back and joins
// again.
var (
	// ErrGap: the group's offsets do not fit the topic, or what this directory
	// holds, so records were lost or would come twice.
	ErrGap = errors.New("gap in the topic")
	// ErrFenced: another process uses the same group instance id, which is kept
	// in the logs directory: the directory was copied.
	ErrFenced = errors.New("another consumer has taken this one's place")
)

// ErrElsewhere says that the logs directory holds records of another topic or
// cluster, or consumed by another group. It is returned by NewConsumer, and by Run once the cluster is known.
var ErrElsewhere = errors.New("this logs directory belongs elsewhere")

// What Ready says before the group has been joined, and after Run.
var (
	errJoining = errors.New("joining the consumer group")
	errStopped = errors.New("stopped")
)

// Consumer takes the topic's records into files. See the package comment for
// what it promises.
type Consumer struct {
	stopped atomic.Bool // for good
	// fencedJoins counts sessions in a row that were fenced while they joined.
	fencedJoins atomic.Int32
	cfg         config.Kafka
	flush       config.Consumer
	limits      codec.Limits
	files       *hourly.Files
	instance    string // group instance id: this directory's place in the group

	maxInflated int // bytes of record batches in memory, inflated
	deadLimit   int // dead letters of one transaction; belongs to Run

	// Seams for tests.
	commitTimeout time.Duration
	request       func(ctx context.Context, b *kgo.Broker, req kmsg.Request) (kmsg.Response, error)

	log *slog.Logger
	set *metrics.Set

	mu           sync.Mutex
	current      *session  // nil between two
	ready        error     // why nothing is consumed; nil while it is
	unreadySince time.Time // when ready was last set from nil
	stored       []extent  // the ends of this directory's part of each partition
	storedID     topicID   // within this topic
	// clusterID is the cluster that stored is of; empty while it is not known.
	clusterID string
	// seen is the topic of the last session that had partitions, and whether it
	// had consumed all of them to the end that it knew.
	seen      topicID
	seenAll   bool
	renewedTo topicID // the topic that came in the place of seen without a gap

	errs        *metrics.Counter
	sessions    *metrics.Counter
	gaps        *metrics.Counter
	missed      *metrics.Counter
	records     *metrics.Counter
	bytes       *metrics.Counter
	deadLetters *metrics.Counter

	deadLetterErrors *metrics.Counter
	inflationFull    *metrics.Counter
	commits          [split + 1]*metrics.Counter
	resolved         [dropped + 1]*metrics.Counter
	commitSeconds    *metrics.PrometheusHistogram
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
		// No limits: what any producer could have had accepted, whatever its
		// limits were, has to be stored. What is fetched is bounded by maxInflated.
		limits: codec.Limits{},
		files:  files, instance: instance, log: log, set: set,
		maxInflated: int(flush.MaxInflatedBytes), deadLimit: maxDead,
		ready: errJoining, unreadySince: time.Now(), commitTimeout: commitTimeout,
		request: func(ctx context.Context, b *kgo.Broker, req kmsg.Request) (kmsg.Response, error) {
			return b.Request(ctx, req)
		},

		errs:        metric.Counter(set, "kafka_consumer_errors_total", "Errors of the consumer."),
		sessions:    metric.Counter(set, "logforge_kafka_consumer_sessions_total", "Times the consumer joined its group."),
		gaps:        metric.Counter(set, "logforge_kafka_gaps_total", "Partitions found to begin after the committed offset."),
		missed:      metric.Counter(set, "logforge_kafka_gap_records_total", "Kafka records that were removed from the topic before they were consumed, by their offsets."),
		records:     metric.Counter(set, "logforge_kafka_consumed_records_total", "Kafka records consumed."),
		bytes:       metric.Counter(set, "logforge_kafka_consumed_bytes_total", "Bytes of Kafka records consumed."),
		deadLetters: metric.Counter(set, "logforge_kafka_dead_letter_topic_records_total", "Kafka records that did not parse and went to the dead-letter topic."),

		deadLetterErrors: metric.Counter(set, "logforge_kafka_dead_letter_topic_errors_total", "Attempts to write to the dead-letter topic that failed; they are repeated."),
		inflationFull:    metric.Counter(set, "logforge_kafka_inflation_waits_total", "Fetched record batches that had to wait for room in consumer.maxInflatedBytes."),
		commitSeconds:    metric.Histogram(set, "logforge_kafka_commit_duration_seconds", "Duration of one commit: sync of the files, journal, offsets to Kafka.", .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10),
	}
	metric.Gauge(set, "logforge_kafka_consumer_stopped", "1 while the consumer has stopped until a person acts, otherwise 0; /ready and the log say why.", func() float64 {
		if c.stopped.Load() {
			return 1
		}
		return 0
	})
	for o := range c.commits {
		c.commits[o] = metric.Counter(set, fmt.Sprintf("logforge_kafka_commits_total{result=%q}", outcome(o)), "Commits of the consumer, by result.")
	}
	for v := range c.resolved {
		c.resolved[v] = metric.Counter(set, fmt.Sprintf("logforge_kafka_resolved_total{verdict=%q}", verdict(v)), "Transactions left in doubt by a crash, by what they turned out to be.")
	}
	if err := c.remember(); err != nil {
		return nil, err
	}
	return c, nil
}

// remember reads what the journal says of the transaction that was decided last,
// and of the one that is not decided, if there is one.
func (c *Consumer) remember() error {
	var ps []*position
	for _, b := range [][]byte{c.files.Position(), c.pendingPosition()} {
		if b == nil {
			continue
		}
		p, err := decodePosition(b)
		if err != nil {
			return fmt.Errorf("logs directory: the journal's last %w", err)
		}
		if p.Group != c.cfg.GroupID || p.Topic != c.cfg.Topic {
			return c.elsewhere(p, "")
		}
		ps = append(ps, p)
	}
	for _, p := range ps {
		c.clusterID = cmp.Or(p.Cluster, c.clusterID)
	}
	if c.files.Position() != nil {
		c.setStored(ps[0].storedAfter(), ps[0].TopicID)
	}
	return nil
}

func (c *Consumer) pendingPosition() []byte {
	tx, _ := c.files.Pending()
	return tx.Position
}

// elsewhere says that this directory holds what was consumed as p, and that it is
// configured, or connected to cluster, to consume something else.
func (c *Consumer) elsewhere(p *position, cluster string) error {
	now := fmt.Sprintf("group %s, topic %s", c.cfg.GroupID, c.cfg.Topic)
	if cluster != "" {
		now += ", cluster " + cluster
	}
	return fmt.Errorf("%w: it holds what group %s has consumed of topic %s%s, and is to be used for %s: records would be stored twice, or mixed. "+
		"Set kafka.groupID, kafka.topic and kafka.brokers back, or give the other group a storage.logsDir of its own",
		ErrElsewhere, p.Group, p.Topic, ofCluster(p.Cluster), now)
}

func ofCluster(id string) string {
	if id == "" {
		return ""
	}
	return " of cluster " + id
}

// onCluster takes note of the cluster that was met. It is ErrElsewhere when this
// directory holds what was consumed from another one.
func (c *Consumer) onCluster(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clusterID != "" && id != "" && c.clusterID != id {
		return c.elsewhere(&position{Group: c.cfg.GroupID, Topic: c.cfg.Topic, Cluster: c.clusterID}, id)
	}
	c.clusterID = cmp.Or(id, c.clusterID)
	return nil
}

func (c *Consumer) cluster() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clusterID
}

// storedExtents returns how far this directory's files reach, and in which topic. The
// extents are not to be changed.
func (c *Consumer) storedExtents() ([]extent, topicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stored, c.storedID
}

func (c *Consumer) setStored(stored []extent, id topicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored, c.storedID = stored, id
}

// see takes note of how far a session got: all says that it had consumed every
// partition that it had of topic id, to the end that it knew.
func (c *Consumer) see(id topicID, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.seenAll = id, all
}

// allConsumed reports whether nothing is known of the topic with that id that
// was not consumed.
func (c *Consumer) allConsumed(id topicID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen == id && c.seenAll
}

// renew takes note that the topic was made again, without a gap.
func (c *Consumer) renew(to topicID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renewedTo = to
}

// renewed reports whether the topic with that id came in the place of one of
// which nothing is missed.
func (c *Consumer) renewed(id topicID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renewedTo == id && id != (topicID{})
}

// Run consumes until ctx ends: it then commits what it has polled, leaves the
// group and returns nil. It returns an error only for what no new try would
// change: ErrGap, ErrFenced, ErrElsewhere, ErrUndecidable, or files that have
// failed.
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
			c.stopped.Store(true)
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

// pause waits before the next session: for d, and after that for files that can
// be written again. It reports false when ctx has ended.
func (c *Consumer) pause(ctx context.Context, why error, d time.Duration) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
		}
		if !isStorage(why) || !isStorage(c.files.Ready()) {
			return true
		}
		d = time.Second
	}
}

// isStorage reports whether err is that the files cannot be written for now.
func isStorage(err error) bool {
	return errors.Is(err, sink.ErrDiskFull) || errors.Is(err, sink.ErrStorage)
}

// final reports whether a session that ended with err is the last one.
func final(err error) bool {
	return errors.Is(err, ErrGap) || errors.Is(err, ErrFenced) || errors.Is(err, ErrElsewhere) || errors.Is(err, ErrUndecidable)
}

// Ready returns nil while records are consumed, or why they are not.
func (c *Consumer) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready != nil {
		return fmt.Errorf("consumer: %w", c.ready)
	}
	if c.current == nil {
		return nil
	}
	// That records are consumed says more than a probe that has not ended yet.
	if err := c.current.cl.Ready(); !errors.Is(err, errNotProbed) {
		return err
	}
	return nil
}

// stalledAfter is how long nothing may be consumed before Stalled says so: a
// rebalance, or a broker that restarts, is over by then.
const stalledAfter = 15 * time.Second

// Stalled returns why nothing has been consumed for some time, or will not be
// again until a person acts; nil otherwise.
func (c *Consumer) Stalled() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready != nil && (c.stopped.Load() || time.Since(c.unreadySince) > stalledAfter) {
		return fmt.Errorf("consumer: %w", c.ready)
	}
	return nil
}

func (c *Consumer) setCurrent(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
}

func (c *Consumer) setReady(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ready == nil {
		c.unreadySince = time.Now()
	}
	c.ready = err
}

// fencedError is what ends the consumer when its place was taken.
func (c *Consumer) fencedError(err error) error {
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
	metric.Gauge(c.set, lagName(partition), "Kafka records between the end of a partition and what this process has consumed of it.", func() float64 {
		return float64(max(0, l.end.Load()-l.next.Load()))
	})
}

// hideLag removes the gauge of a partition that is no longer assigned here.
func (c *Consumer) hideLag(partition int32) { c.set.UnregisterMetric(lagName(partition)) }

func lagName(partition int32) string {
	return `logforge_kafka_consumer_lag{partition="` + strconv.Itoa(int(partition)) + `"}`
}
