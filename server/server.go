package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/fasthttp/router"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"logforge/codec"
	"logforge/config"
	"logforge/server/dialect"
	"logforge/server/peers"
	"logforge/sink"
)

// Server answers HTTP. New makes one, Serve runs it, Shutdown ends it.
type Server struct {
	cfg       config.Server
	sink      sink.Sink
	ready     func() error
	summaries Summaries // of all instances
	local     Summaries // of this one
	instance  string    // what GET /analytics calls this process
	build     Build
	log       *slog.Logger
	set       *metrics.Set

	dashboard *dashboard // nil: off

	http   *fasthttp.Server
	byPath *router.Router             // finds an endpoint without going through it
	routes map[string][]string        // paths by method, for the test of openapi.json
	tls    atomic.Pointer[tls.Config] // nil: plain HTTP; replaced by Reload
	conns  *connections
	keys   atomic.Pointer[keyring] // replaced by Reload
	count  *counters
	zstd   *zstd.Decoder

	rejects   sink.RejectSink // nil: nowhere
	asideLog  *asideLog
	once      *onceLog
	setsAside bool         // POST /logs sets invalid records aside unless it is asked not to
	strict    *codec.Rules // of POST /logs
	shippers  *codec.Rules // of the endpoints for shippers
	fields    dialect.FieldSet
	named     ruleCache // of those with names of their own

	acks       []sink.Ack    // what ?ack= may ask for
	limits     codec.Limits  // of one batch
	maxBody    int           // bytes, as sent and inflated
	retryAfter string        // whole seconds
	bytes      room          // server.maxInFlightBytes
	slots      room          // server.maxConcurrency
	answers    room          // bytes of answers that are not sent yet; they are in bytes, too
	putting    room          // places for putting answers together
	scrapes    chan struct{} // holds one for each answer of /metrics that takes nothing of bytes
	heavy      room          // places for bodies that become unusually large when inflated
	deadlines  deadlines
	end        context.CancelFunc // ends the wait of every request for its sink
	draining   atomic.Bool
	noIngest   error          // why no batch is taken here, by kafka.role
	noReports  error          // why there are no summaries here
	starting   sync.Mutex     // of the goroutine of conns.watch, against Shutdown
	watching   sync.WaitGroup // the goroutine of conns.watch
}

// New returns a server that stores batches in sink and answers /ready by ready
// (nil, or why a batch sent now would not be stored). It registers its metrics
// in set and serves all of set. An error names the setting or the file at fault.
func New(cfg *config.Config, to sink.Sink, ready func() error, summaries Summaries, build Build, log *slog.Logger, set *metrics.Set) (*Server, error) {
	s := &Server{
		cfg:       cfg.Server,
		sink:      to,
		ready:     ready,
		summaries: summaries,
		local:     summaries,
		instance:  rand.Text(),
		build:     build,
		log:       log,
		set:       set,
		acks:      acksOf(cfg),
		limits: codec.Limits{
			Records:     cfg.Ingestion.MaxBatchRecords,
			RecordBytes: int(cfg.Ingestion.MaxRecordBytes),
			SentBytes:   codec.SentPerStored * int(cfg.Ingestion.MaxRecordBytes),
			Depth:       cfg.Ingestion.MaxDepth,
			Hours:       cfg.Ingestion.MaxBatchHours,
			MaxAge:      cfg.Ingestion.MaxAge,
			MaxFuture:   cfg.Ingestion.MaxFuture,
		},
		maxBody:    int(cfg.Server.MaxBodyBytes),
		retryAfter: strconv.Itoa(int((cfg.Server.RetryAfter + time.Second - 1) / time.Second)),
		bytes:      room{limit: int64(cfg.Server.MaxInFlightBytes)},
		slots:      room{limit: int64(cfg.Server.MaxConcurrency)},
		answers:    room{limit: int64(cfg.Server.MaxInFlightBytes) / 2},
		scrapes:    make(chan struct{}, forOperators),
		putting:    room{limit: putters},
		heavy:      room{limit: int64(max(1, runtime.GOMAXPROCS(0)/2))},
	}
	// One body of the largest size has to get through: as sent and inflated, or
	// inflated and decoded, with a smaller buffer it grew out of.
	if least := 3 * roundUp(s.maxBody); s.bytes.limit < int64(least) {
		return nil, fmt.Errorf("server.maxInFlightBytes is %s, too small for server.maxBodyBytes %s: at least %s is needed",
			cfg.Server.MaxInFlightBytes, cfg.Server.MaxBodyBytes, config.Bytes(least))
	}
	s.keys.Store(newKeyring(cfg.Auth, set))
	if cfg.Pipeline == 2 {
		switch cfg.Kafka.Role {
		case "consume":
			s.noIngest = errNoIngest
		case "ingest":
			if len(cfg.Analytics.Peers) == 0 {
				s.noReports = errNoReports
			}
		}
	}
	t, err := newTLS(cfg.Server.TLS)
	if err != nil {
		return nil, err
	}
	s.tls.Store(t)
	if s.zstd, err = newUnzstd(); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	s.deadlines.timeout, s.deadlines.start = cfg.Server.RequestTimeout, time.Now()
	s.deadlines.base, s.end = context.WithCancel(context.Background())
	s.count = newCounters(set)
	s.asideLog = newAsideLog(set)
	s.once = newOnceLog()
	s.setsAside = cfg.Ingestion.Invalid == "set-aside"
	if err := s.makeRules(cfg); err != nil {
		return nil, err
	}
	s.conns = s.newConnections()
	if len(cfg.Analytics.Peers) > 0 {
		if s.summaries, err = peers.New(cfg.Analytics, cfg.Auth.HeaderName, s.instance, summaries, log, set); err != nil {
			return nil, err
		}
	}
	if cfg.Server.Dashboard {
		if s.dashboard, err = newDashboard(cfg, build, s.getMetrics, s.summaries); err != nil {
			return nil, err
		}
	}
	s.http = s.newHTTP()
	s.describe(time.Now())
	return s, nil
}

// SetRejectSink says where records that are set aside go. It is called before
// Serve; without it a batch with such a record is refused.
func (s *Server) SetRejectSink(to sink.RejectSink) { s.rejects = to }

// acksOf lists what ?ack= may ask of the pipeline. The sink has the last word
// (sink.ErrAck); this one can be given before the body is read.
func acksOf(cfg *config.Config) []sink.Ack {
	switch {
	case cfg.Pipeline == 1:
		return []sink.Ack{sink.Written, sink.Synced}
	case !cfg.Kafka.RequireAllAcks:
		return []sink.Ack{sink.Enqueued}
	}
	return []sink.Ack{sink.Replicated, sink.Enqueued}
}

func (s *Server) newConnections() *connections {
	c := &connections{
		max:       s.cfg.MaxConnections,
		maxPerIP:  s.cfg.MaxConnectionsPerIP,
		tls:       &s.tls,
		log:       s.log,
		bytes:     &s.bytes,
		refused:   s.count.refusedConns.Inc,
		evicted:   s.count.closedConns.Inc,
		most:      mostConnections(s.bytes.limit),
		lingering: make(chan struct{}, maxLingering),
		open:      map[*conn]struct{}{},
		perIP:     map[netip.Prefix]int{},
		limits: phaseLimits{
			opening:   s.cfg.ReadTimeout,
			arriving:  s.cfg.ReadTimeout,
			answering: s.cfg.WriteTimeout,
			idle:      s.cfg.IdleTimeout,
		},
	}
	if s.tls.Load() == nil { // with TLS nothing can be answered before the handshake
		var ctx fasthttp.RequestCtx
		s.sendProblem(&ctx, s.problemOf(errConns))
		ctx.SetConnectionClose()
		c.refusal = []byte(ctx.Response.String())
	}
	return c
}

func (s *Server) newHTTP() *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        s.handler(),
		ErrorHandler:   s.refuse,
		ExpectHandler:  s.expect,
		HeaderReceived: inspectHeader,
		Logger:         printer{s.log},

		ConnState: track, // instead of its time-outs: see timeouts.go

		// The body is left to readBody, but for the one byte that fasthttp insists
		// on: the rest goes from the socket straight into our buffer.
		StreamRequestBody:            true,
		MaxRequestBodySize:           1,
		DisablePreParseMultipartForm: true,

		// The header is parsed within the read buffer, which so limits it.
		ReadBufferSize:    int(s.cfg.MaxHeaderBytes),
		ReduceMemoryUsage: true,

		// Ours (listen.go) strikes first; a connection frees its worker a moment
		// after its place.
		Concurrency: 2*s.cfg.MaxConnections + 64,

		CloseOnShutdown:       true,
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		SecureErrorLogMessage: true, // no client's bytes in our log
	}
}

// Serve answers connections of ln until Shutdown, then returns nil; or the error
// for which no more can be accepted.
func (s *Server) Serve(ln net.Listener) error {
	s.starting.Lock()
	if s.deadlines.base.Err() == nil {
		s.watching.Go(func() { s.conns.watch(s.deadlines.base) })
	}
	s.starting.Unlock()
	if err := s.http.Serve(&listener{Listener: ln, connections: s.conns}); err != nil {
		return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Drain makes /ready say 503, for load balancers to look elsewhere. Requests are
// served as before.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops accepting, lets requests under way finish, and closes idle
// connections. A request that has not arrived after half of
// server.shutdownTimeout is given up. When ctx ends first, requests that wait for
// the sink are answered 503 and Shutdown returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	defer func() {
		s.starting.Lock() // Serve may be called only now; it then starts nothing
		s.end()
		s.starting.Unlock()
		s.watching.Wait()
		if view, ok := s.summaries.(*peers.View); ok {
			view.Close()
		}
	}()
	halfTime := time.AfterFunc(s.cfg.ShutdownTimeout/2, s.conns.expireArriving)
	defer halfTime.Stop()
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("shutdown of the HTTP server: %w", err)
	}
	return nil
}

// printer takes fasthttp's messages: about single connections, for debugging.
type printer struct{ log *slog.Logger }

func (p printer) Printf(format string, args ...any) {
	p.log.Debug("fasthttp: " + fmt.Sprintf(format, args...))
}
