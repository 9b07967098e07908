package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"logforge/aggregator"
	"logforge/codec"
	"logforge/config"
	"logforge/server"
	"logforge/sink"
	"logforge/sink/hourly"
	"logforge/sink/kafka"
)

// serve runs the service until a signal or a failure, then stops it.
//
//	version 1                             version 2
//
//	        POST /logs                            POST /logs
//	            │                                     │
//	       ┌────▼─────┐                          ┌────▼─────┐
//	       │  server  │ 4                        │  server  │ 5
//	       └────┬─────┘                          └────┬─────┘
//	            │ codec.Batch                    ┌────▼─────┐        ┌───────┐
//	            │                                │ producer │ 4 ────▶│ Kafka │
//	            │                                └──────────┘        └───┬───┘
//	            │                                ┌──────────┐            │
//	            │                                │ consumer │ 3 ◀────────┘
//	            │                                └────┬─────┘
//	       ┌────▼─────┐   ┌────────────┐         ┌────▼─────┐   ┌────────────┐
//	       │  files   │1─▶│ aggregator │2        │  files   │1─▶│ aggregator │2
//	       └──────────┘   └────────────┘         └──────────┘   └────────────┘
//
// The numbers are the order in which they start. They stop in the opposite one:
// the server takes nothing more and finishes what it has; the producer delivers
// what is buffered; the consumer commits and leaves; the aggregator runs once
// more; the files are synced and closed. kafka.role leaves the left or the
// right way of version 2 out.
func serve(cfg *config.Config, log *slog.Logger, _ []string) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	checkOpenFiles(cfg, log)
	limitMemory(cfg)
	twoAtATime()
	prof, err := startProfiles(cfg.Version, log)
	if err != nil {
		return err
	}
	st := newStages()
	srv, err := start(cfg, log, st)
	if err == nil {
		select {
		case s := <-signals:
			log.Info("stopping", "signal", s.String())
		case err = <-st.failed:
			log.Error("stopping: a part has failed", "err", err)
		}
		err = errors.Join(err, prof.snapshot())
	}
	finished := endAtOnce(signals, cfg.Server.ShutdownTimeout, st, log)
	if srv != nil {
		srv.Drain()
		if err == nil {
			time.Sleep(cfg.Server.DrainDelay) // load balancers look elsewhere meanwhile
		}
	}
	// Whoever can hurry is told to a little before there is no time left.
	hurry, cancel := context.WithTimeout(context.Background(), cfg.Server.ShutdownTimeout*8/10)
	defer cancel()
	err = errors.Join(err, st.stop(hurry), prof.end())
	close(finished)
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// start starts every part of the pipeline in st, the server last. Whatever it
// returns, st holds what has to be stopped.
func start(cfg *config.Config, log *slog.Logger, st *stages) (*server.Server, error) {
	set := metrics.NewSet()
	ingests := cfg.Version == 1 || cfg.Kafka.Role != "consume"
	stores := cfg.Version == 1 || cfg.Kafka.Role != "ingest"
	ack, err := sink.ParseAck(cfg.Ingestion.Ack)
	if err != nil {
		return nil, err
	}

	var into sink.Sink = closedSink{}
	var summaries server.Summaries = noSummaries{}
	var checks []func() error // each nil, or why /ready says no
	if stores {
		filesAck := ack
		if cfg.Version == 2 {
			filesAck = sink.Synced // nobody waits for it: the consumer appends and commits
		}
		files, err := hourly.Open(cfg.Storage, filesAck, log, set)
		if err != nil {
			return nil, err
		}
		st.then("files", func(context.Context) error { return files.Close() })
		st.run("files", func(ctx context.Context) error { return watch(ctx, files) })
		checks = append(checks, files.Ready)
		into = files

		agg, err := aggregator.Open(cfg.Aggregation, cfg.Storage.AnalyticsDir, files, log, set)
		if err != nil {
			return nil, err
		}
		st.then("analytics directory", func(context.Context) error { return agg.Close() })
		st.run("aggregator", agg.Run)
		summaries = agg

		if cfg.Version == 2 {
			into = closedSink{}
			consumer, err := kafka.NewConsumer(cfg.Kafka, cfg.Consumer, cfg.Ingestion, files, log, set)
			if err != nil {
				return nil, err
			}
			st.run("consumer", consumer.Run)
			if !ingests {
				// Where batches come in as well they are safe in Kafka, and a
				// rebalance must not turn every process away at once.
				checks = append(checks, consumer.Ready)
			}
		}
	}
	if ingests && cfg.Version == 2 {
		producer, err := kafka.NewProducer(cfg, ack, log, set)
		if err != nil {
			return nil, err
		}
		st.then("producer", producer.Close)
		checks = append([]func() error{producer.Ready}, checks...) // the first reason is the one given
		into = producer
	}

	ready := func() error {
		for _, check := range checks {
			if err := check(); err != nil {
				return err
			}
		}
		return nil
	}
	srv, err := server.New(cfg, into, ready, summaries, buildOf(cfg), log, set)
	if err != nil {
		return nil, err
	}
	ln, err := listen(cfg.Server.Addr)
	if err != nil {
		return nil, err
	}
	log.Info("listening", "addr", ln.Addr().String(), "version", cfg.Version, "role", role(cfg), "ack", cfg.Ingestion.Ack,
		"logs", cfg.Storage.LogsDir, "analytics", cfg.Storage.AnalyticsDir, "build", buildOf(cfg).Version)
	st.run("server", func(context.Context) error {
		if err := srv.Serve(ln); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	st.then("server", func(ctx context.Context) error {
		err := srv.Shutdown(ctx) // makes Serve return
		_ = ln.Close()           // and so does this, if Serve had not begun yet: a signal can be that early
		return err
	})
	return srv, nil
}

func role(cfg *config.Config) string {
	if cfg.Version == 1 {
		return "both"
	}
	return cfg.Kafka.Role
}

// watch ends when the files have failed: after a failed sync nothing they hold
// can be trusted until they are read again from disk, so the process ends.
func watch(ctx context.Context, files *hourly.Files) error {
	select {
	case <-files.Failed():
		return files.Err()
	case <-ctx.Done():
		return nil
	}
}

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another process listens there; choose another address with -addr or server.addr", err)
	}
	return ln, err
}

// endAtOnce ends the process without ceremony on a second signal or when the
// stop takes too long. Nothing acknowledged is lost by that: it is what a crash
// does. Closing the channel it returns calls it off.
func endAtOnce(signals <-chan os.Signal, timeout time.Duration, st *stages, log *slog.Logger) chan<- struct{} {
	finished := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			log.Error("second signal: ending at once", "signal", s.String(), "stopping", st.stopping.Load())
		case <-time.After(timeout):
			log.Error("the stop took longer than server.shutdownTimeout: ending at once", "timeout", timeout, "stopping", st.stopping.Load())
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // what it waits for; there should be nothing
		case <-finished:
			return
		}
		os.Exit(1)
	}()
	return finished
}

// checkOpenFiles warns when the process may not hold as many files and
// connections as the settings allow. (The Go runtime has already raised the
// soft limit to the hard one.)
func checkOpenFiles(cfg *config.Config, log *slog.Logger) {
	const others = 64 // directories, journal, log, Kafka connections
	want := uint64(cfg.Storage.MaxOpenFiles + cfg.Server.MaxConnections + others)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur >= want {
		return
	}
	log.Warn("the limit of open files is below storage.maxOpenFiles + server.maxConnections: raise it (ulimit -n, LimitNOFILE) or lower these",
		"limit", limit.Cur, "want", want)
}

// closedSink is the sink of a process that only consumes.
type closedSink struct{}

func (closedSink) Write(context.Context, *codec.Batch, sink.Ack) error {
	return fmt.Errorf("kafka.role is consume, this process takes no batches: %w", sink.ErrClosed)
}

// noSummaries is what a process that only ingests knows of summaries.
type noSummaries struct{}

func (noSummaries) AppendHour(_ context.Context, dst []byte, _ codec.Hour, _ int) ([]byte, error) {
	return dst, fs.ErrNotExist
}

func (noSummaries) AppendRange(_ context.Context, dst []byte, _, _ codec.Hour, _ int) ([]byte, error) {
	return dst, fs.ErrNotExist
}

func (noSummaries) Span() (first, recent, last codec.Hour, ok bool, err error) {
	return 0, 0, 0, false, nil
}
