package kafka

// What every client of the cluster has in common, the producer's and the
// consumer's: how to connect, where its log and its metrics go, and whether
// the cluster can be reached at all.

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kslog"

	"logforge/config"
	"logforge/config/logging"
	"logforge/sink"
)

const (
	// probeInterval is how often the cluster is asked whether it is there: one
	// small metadata request.
	probeInterval = time.Second
	// probeAgain is how soon it is asked again when it is away.
	probeAgain = 200 * time.Millisecond
	// probeTimeout is how long it may take to answer, retries included; and so
	// how long a cluster can be gone before kafka_up says so.
	probeTimeout = 2 * time.Second
	dialTimeout  = 3 * time.Second
)

// settingsInterval is how often the topic's settings are read again.
const settingsInterval = 30 * time.Second

// refusalShown is how long Ready names a refusal after which nothing was sent:
// whether it would be refused again is not known.
const refusalShown = 10 * time.Second

// errNotProbed is what Ready reports until the first probe.
var errNotProbed = errors.New("not reached yet")

// client is a franz-go client that knows whether its cluster can be reached.
// It asks once a second, and at once when a connection fails; when the first
// answer comes it creates the topics that are missing. It can be made while the
// cluster is away, and becomes ready later.
type client struct {
	*kgo.Client
	cfg   config.Kafka
	log   *slog.Logger
	hooks *hooks

	usable atomic.Bool // Ready is nil
	mu     sync.Mutex
	down   error // what the last probe said
	stall  error // what stalled was told last
	// What refused was told last. It does not make the client unusable.
	lastRefusal atomic.Pointer[refusal]
	changed     chan struct{} // closed, and replaced, when usable changes

	// What the probes know. Used by watch only.
	needs   topicNeeds
	ensured bool // the topics are there
	warned  bool // that the settings cannot be read
	topic   topicState
	read    time.Time // when its settings were read; zero when they have to be

	reread atomic.Bool // asks for the settings to be read now
	stop   context.CancelFunc
	done   chan struct{} // closed when watch has ended
}

// newClient connects to cfg's cluster with the options common to all clients,
// and with more. The caller closes it with close.
func newClient(cfg config.Kafka, needs topicNeeds, log *slog.Logger, set *metrics.Set, more ...kgo.Opt) (*client, error) {
	h := newHooks(set)
	opts, err := clientOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	kc, err := kgo.NewClient(append(append(opts, kgo.WithHooks(h)), more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &client{
		Client: kc, cfg: cfg, log: log, hooks: h, needs: needs,
		down: errNotProbed, changed: make(chan struct{}),
		stop: stop, done: make(chan struct{}),
	}
	go c.watch(ctx)
	return c, nil
}

// close ends the watching, leaves the group if there is one, and closes the
// connections. What is still buffered fails.
func (c *client) close() {
	c.stop()
	<-c.done
	c.Client.Close()
}

// Ready returns nil when the cluster can be used, otherwise why not (wrapping
// sink.ErrUnavailable).
func (c *client) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := cmp.Or(c.down, c.stall, c.refusal())
	if err == nil || errors.Is(err, sink.ErrRefused) {
		return err
	}
	return fmt.Errorf("%w: %w", sink.ErrUnavailable, err)
}

// refusal is an answer of the cluster that lasts until a person acts.
type refusal struct {
	err error
	at  time.Time
}

// refused takes note that the cluster has refused what was sent, or with nil
// that it has taken something. Batches are still sent: there is no other way to
// learn that the cause was removed.
func (c *client) refused(err error) {
	switch {
	case err != nil:
		c.lastRefusal.Store(&refusal{err, time.Now()})
	case c.lastRefusal.Load() != nil:
		c.lastRefusal.Store(nil)
	}
}

// refusal returns what was refused in the last moments, or nil.
func (c *client) refusal() error {
	if r := c.lastRefusal.Load(); r != nil && time.Since(r.at) < refusalShown {
		return r.err
	}
	return nil
}

// await returns nil as soon as the cluster can be used, or what Ready says
// once ctx has ended.
func (c *client) await(ctx context.Context) error {
	for {
		changed := c.change()
		if c.usable.Load() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return c.Ready()
		}
	}
}

// change returns a channel that is closed when Ready changes between nil and
// not.
func (c *client) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// stalled takes note of why the cluster cannot be used although it answers
// probes, or with nil that it can.
func (c *client) stalled(err error) { _ = c.update(&c.stall, err) } // what it was does not matter here

// update sets one of the two reasons, and returns what it was.
func (c *client) update(reason *error, err error) (was error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, *reason = *reason, err
	if usable := c.down == nil && c.stall == nil; usable != c.usable.Load() {
		c.usable.Store(usable)
		close(c.changed)
		c.changed = make(chan struct{})
	}
	return was
}

// watch probes the cluster until ctx ends.
func (c *client) watch(ctx context.Context) {
	defer close(c.done)
	for {
		c.probed(c.probe(ctx))
		wait, doubt := probeInterval, c.hooks.doubt
		if c.Ready() != nil {
			wait, doubt = probeAgain, nil // its failing connections say nothing new
		}
		select {
		case <-time.After(wait):
		case <-doubt:
		case <-ctx.Done():
			return
		}
	}
}

// probe asks any broker for the topic. An error says why the cluster cannot be
// used.
func (c *client) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	admin := kadm.NewClient(c.Client)
	if !c.ensured {
		if err := ensureTopics(ctx, admin, c.cfg, c.log); err != nil {
			return named(err)
		}
		c.ensured = true
	}
	md, err := admin.Metadata(kadm.WithAuthorizedOps(ctx), c.cfg.Topic)
	if err != nil {
		return named(err)
	}
	topic := md.Topics[c.cfg.Topic]
	if topic.Err != nil {
		return named(fmt.Errorf("topic %s: %w", c.cfg.Topic, topic.Err))
	}
	if asked := c.reread.Swap(false); asked || topicID(topic.ID) != c.topic.id || len(topic.Partitions) != c.topic.partitions || time.Since(c.read) > settingsInterval {
		c.read = time.Time{} // again at the next probe, unless it all goes well
		state, err := c.describeTopic(ctx, admin, md)
		if err != nil {
			if asked {
				c.reread.Store(true)
			}
			return err
		}
		if c.topic.id != state.id && state.partitions < c.cfg.Partitions {
			c.log.Warn("the topic has fewer partitions than kafka.partitions: as many consumers can work at a time; partitions can be added while everything runs",
				"topic", c.cfg.Topic, "partitions", state.partitions, "kafka.partitions", c.cfg.Partitions)
		}
		if c.topic.id == state.id && c.topic.partitions != state.partitions {
			c.log.Info("the topic has another number of partitions", "topic", c.cfg.Topic, "was", c.topic.partitions, "is", state.partitions)
			c.ForceMetadataRefresh() // the client would see it within five minutes
		}
		c.topic, c.read = state, time.Now()
		if c.needs.read != nil {
			c.needs.read(state)
		}
	}
	inSync := 1
	if c.needs.inSync {
		inSync = c.topic.settings.minInSync
	}
	for _, p := range topic.Partitions {
		if p.Err == nil && p.Leader >= 0 && len(p.ISR) >= inSync {
			return nil
		}
	}
	return fmt.Errorf("topic %s: none of its %d partitions has a leader and %d replicas in sync", c.cfg.Topic, len(topic.Partitions), inSync)
}

// named adds to an error of the cluster what there is to do about it.
func named(err error) error {
	group, known := groupOfError(err)
	switch {
	case !known:
		return err
	case group.class == refusing:
		return fmt.Errorf("%w: %w (%s)", sink.ErrRefused, err, group.remedy)
	}
	return fmt.Errorf("%w (%s)", err, group.remedy)
}

// probed takes note of what a probe said.
func (c *client) probed(err error) {
	if errors.Is(err, context.Canceled) {
		return // closing; says nothing about the cluster
	}
	was := c.update(&c.down, err)
	switch {
	case err != nil:
		c.hooks.up.Set(0)
		c.log.Warn("kafka cannot be used", "brokers", c.cfg.Brokers, "err", err)
	case was != nil:
		c.hooks.up.Set(1)
		c.log.Info("kafka is there", "brokers", c.cfg.Brokers, "topic", c.cfg.Topic)
	}
}

// clientOptions returns the options that every client of cfg's cluster shares:
// brokers, encryption, authentication, time-outs, log.
func clientOptions(cfg config.Kafka, log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID("logforge"),
		kgo.WithLogger(kslog.New(slog.New(logging.Quiet(log.Handler())))),
		kgo.DisableClientMetrics(),
		// The defaults (10 s, back-off up to 5 s, metadata at most every 5 s)
		// would leave a producer idle for seconds after the broker is back.
		kgo.RequestTimeoutOverhead(5 * time.Second),
		kgo.RetryBackoffFn(backoff),
		kgo.MetadataMinAge(250 * time.Millisecond),
		// A broker that dies right after it took a connection is no reason to
		// fail for good, as franz-go does otherwise because missing SASL looks
		// the same; what was enqueued would then become dead letters.
		kgo.AlwaysRetryEOF(),
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	if cfg.TLS.Enabled {
		tc, err := tlsConfig(cfg.TLS)
		if err != nil {
			return nil, err
		}
		td := &tls.Dialer{NetDialer: dialer, Config: tc}
		opts = append(opts, kgo.Dialer(td.DialContext))
	} else {
		opts = append(opts, kgo.Dialer(dialer.DialContext))
	}
	switch s := cfg.SASL; s.Mechanism {
	case "":
	case "PLAIN":
		opts = append(opts, kgo.SASL(plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: s.Username, Pass: s.CurrentPassword()}, nil
		})))
	case "SCRAM-SHA-256":
		opts = append(opts, kgo.SASL(scram.Sha256(func(context.Context) (scram.Auth, error) {
			return scram.Auth{User: s.Username, Pass: s.CurrentPassword()}, nil
		})))
	case "SCRAM-SHA-512":
		opts = append(opts, kgo.SASL(scram.Sha512(func(context.Context) (scram.Auth, error) {
			return scram.Auth{User: s.Username, Pass: s.CurrentPassword()}, nil
		})))
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", s.Mechanism)
	}
	return opts, nil
}

// backoff is the wait before try number fails+1: 50 ms, doubling up to 1 s.
func backoff(fails int) time.Duration {
	return min(time.Second, 50*time.Millisecond<<min(max(fails-1, 0), 5))
}

func tlsConfig(cfg config.KafkaTLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.caFile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kafka.tls.caFile: no PEM certificate in %s", cfg.CAFile)
		}
	}
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("kafka.tls.certFile and keyFile: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}
