package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"logforge/aggregator"
	"logforge/codec"
	"logforge/config"
	"logforge/server"
	"logforge/sink"
	"logforge/sink/archive"
	"logforge/sink/hourly"
	"logforge/sink/kafka"
)

// service is the running service.
//
//	pipeline 1                            pipeline 2
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
// The archive, where there is one, follows the files as the aggregator does.
//
// The numbers are the order in which the parts start. They stop in the opposite
// one: the server takes nothing more and finishes what it has; the producer
// delivers what is buffered; the consumer commits and leaves; the aggregator
// runs once more; the files are synced and closed. kafka.role leaves the left
// or the right way of pipeline 2 out.
type service struct {
	*program
	stages *stages

	files     *hourly.Files    // nil where the role is ingest
	sink      sink.Sink        // of batches that clients send
	rejects   sink.RejectSink  // of records that are set aside; nil: nowhere
	summaries server.Summaries // for GET /analytics
	checks    []func() error   // each nil, or why /ready says no
	server    *server.Server   // nil until it is made
	reloaders []reloader       // what SIGHUP is passed on to, in this order
}

// ingests reports whether the process takes batches from clients.
func ingests(cfg *config.Config) bool { return cfg.Pipeline == 1 || cfg.Kafka.Role != "consume" }

// stores reports whether the process writes hourly files.
func stores(cfg *config.Config) bool { return cfg.Pipeline == 1 || cfg.Kafka.Role != "ingest" }

// start starts every part of the pipeline, the server last. Whatever it returns,
// the stages hold what has to be stopped.
func (s *service) start() error {
	if _, err := makeDirectories(s.cfg); err != nil {
		return err
	}
	ack, err := sink.ParseAck(s.cfg.Ingestion.Ack)
	if err != nil {
		return err
	}
	s.sink, s.summaries = refusingSink{}, noSummaries{}
	if stores(s.cfg) {
		if err := s.startFiles(ack); err != nil {
			return err
		}
		if s.cfg.Pipeline == 2 {
			if err := s.startConsumer(); err != nil {
				return err
			}
		}
	}
	if ingests(s.cfg) {
		s.sink = s.files
		startSinks := s.startRejected
		if s.cfg.Pipeline == 2 {
			startSinks = s.startProducer
		}
		if err := startSinks(ack); err != nil {
			return err
		}
	}
	return s.startServer()
}

// startFiles opens the hourly files and starts what follows them: the aggregator,
// and the archive where there is one.
func (s *service) startFiles(ack sink.Ack) error {
	if s.cfg.Pipeline == 2 {
		ack = sink.Synced // not used: the consumer appends and commits
	}
	files, err := hourly.Open(s.cfg.Storage, ack, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	s.files = files
	s.stages.then("files", func(context.Context) error { return files.Close() })
	s.stages.run("files", func(ctx context.Context) error { return watch(ctx, files) })
	s.checks = append(s.checks, files.Ready)
	if tx, pending := files.Pending(); pending && s.cfg.Pipeline == 1 {
		return fmt.Errorf("logs directory %s: transaction %s of pipeline 2 is not decided yet, and pipeline 1 cannot ask Kafka: start pipeline 2 on this directory once (-pipeline 2), until /ready says ready; its records stay in Kafka until then", s.cfg.Storage.LogsDir, tx.ID)
	}

	agg, err := aggregator.Open(s.cfg.Aggregation, s.cfg.Storage.AnalyticsDir, files, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	s.stages.then("analytics directory", func(context.Context) error { return agg.Close() })
	s.stages.run("aggregator", agg.Run)
	s.summaries = agg

	arch, err := archive.New(s.cfg.Archive, s.cfg.Storage, files, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	if arch != nil {
		s.stages.run("archive", arch.Run)
	}
	if s.cfg.Storage.CompressAfter > 0 {
		s.stages.run("compression", files.Compress)
	}
	if s.cfg.Storage.MaxAge > 0 || s.cfg.Storage.MaxBytes > 0 {
		s.stages.run("retention", func(ctx context.Context) error { return files.Retain(ctx, s.retention(agg, arch)) })
	}
	return nil
}

// retention says which hours may be removed: those that every destination of the
// archive has and the summaries account for. arch is nil where there is none.
func (s *service) retention(agg *aggregator.Aggregator, arch *archive.Archive) hourly.Retention {
	r := hourly.Retention{MayRemove: func(e hourly.Extent) bool { return arch.Covers(e) && agg.Covers(e) }}
	if arch != nil {
		r.KeepWritten = s.cfg.Archive.KeepLocal
	}
	return r
}

// startRejected opens the files of the records that are set aside.
func (s *service) startRejected(ack sink.Ack) error {
	rejected, err := hourly.OpenRejected(s.cfg.Storage, int64(s.cfg.Ingestion.MaxRejectedBytes), ack, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	s.stages.then("rejected records", func(context.Context) error { return rejected.Close() })
	s.checks = append(s.checks, rejected.Ready)
	s.rejects = rejected
	return nil
}

// startConsumer starts what brings records from Kafka into the files.
func (s *service) startConsumer() error {
	consumer, err := kafka.NewConsumer(s.cfg.Kafka, s.cfg.Consumer, s.cfg.Ingestion, s.files, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	if !ingests(s.cfg) {
		s.stages.run("consumer", consumer.Run)
		s.checks = append(s.checks, consumer.Ready)
		return nil
	}
	// Where batches come in as well they are safe in Kafka. Neither a rebalance
	// nor an error that ends the consumer for good may turn every process away at
	// once: /ready names it, and says ready.
	s.stages.run("consumer", func(ctx context.Context) error {
		err := consumer.Run(ctx)
		if err != nil && s.files.Err() == nil {
			s.log.Error("consuming has stopped for good, and needs somebody; batches are taken on", "err", err)
			<-ctx.Done()
		}
		return err
	})
	s.checks = append(s.checks, func() error {
		if err := consumer.Stalled(); err != nil {
			return fmt.Errorf("%w: %w", sink.ErrDegraded, err)
		}
		return nil
	})
	return nil
}

// startProducer makes Kafka the sink of batches.
func (s *service) startProducer(ack sink.Ack) error {
	s.cfg.Kafka.ReplayCommand = s.replayCommand()
	producer, err := kafka.NewProducer(s.cfg, ack, s.log.Logger, s.set)
	if err != nil {
		return err
	}
	s.stages.then("producer", producer.Close)
	s.checks = append([]func() error{producer.Ready}, s.checks...) // the first reason is the one given
	s.sink = producer
	s.rejects = producer
	return nil
}

// startServer listens and serves. From here on clients see the service.
func (s *service) startServer() error {
	srv, err := newServer(s.program, s.sink, s.ready, s.summaries)
	if err != nil {
		return err
	}
	srv.SetRejectSink(s.rejects)
	ln, err := listen(s.cfg.Server.Addr)
	if err != nil {
		return err
	}
	s.server, s.reloaders = srv, append(s.reloaders, srv)
	attrs := []any{"addr", ln.Addr().String(), "pipeline", s.cfg.Pipeline, "ack", s.cfg.Ingestion.Ack,
		"logs", s.cfg.Storage.LogsDir, "analytics", s.cfg.Storage.AnalyticsDir, "build", buildOf(s.cfg).Version}
	if s.cfg.Pipeline == 2 {
		attrs = append(attrs, "role", s.cfg.Kafka.Role)
	}
	s.log.Info("listening", attrs...)
	if auth := s.cfg.Auth; auth.Enabled {
		s.log.Info("API keys are asked for", "header", auth.HeaderName, "keys", len(auth.Keys), "names", keyNames(auth.Keys))
	}
	s.stages.run("server", func(context.Context) error {
		if err := srv.Serve(ln); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	s.stages.then("server", func(ctx context.Context) error {
		err := srv.Shutdown(ctx) // makes Serve return
		_ = ln.Close()           // and so does this, if Serve had not begun yet: a signal can be that early
		return err
	})
	return nil
}

// newServer makes the server; it serves nothing yet. -check-config makes one,
// too, to find what it refuses.
func newServer(p *program, to sink.Sink, ready func() error, summaries server.Summaries) (*server.Server, error) {
	return server.New(p.cfg, to, ready, summaries, buildOf(p.cfg), p.log.Logger, p.set)
}

// ready returns nil, or why a batch sent now would not be stored, or else which
// part behind it has stopped (sink.ErrDegraded).
func (s *service) ready() error {
	var degraded error
	for _, check := range s.checks {
		err := check()
		if err != nil && !errors.Is(err, sink.ErrDegraded) {
			return err
		}
		degraded = cmp.Or(degraded, err)
	}
	return degraded
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

// refusingSink is the sink of a process that only consumes.
type refusingSink struct{}

func (refusingSink) Write(context.Context, *codec.Batch, sink.Ack) error {
	return fmt.Errorf("kafka.role is consume, this process takes no batches: %w", sink.ErrClosed)
}

// noSummaries is what a process that only ingests knows of summaries.
type noSummaries struct{}

func (noSummaries) AppendHour(_ context.Context, dst []byte, _ codec.Hour, _ int) ([]byte, error) {
	return dst, fs.ErrNotExist
}

func (noSummaries) AppendRange(_ context.Context, dst []byte, _, _ codec.Hour, _, _ int) ([]byte, error) {
	return dst, fs.ErrNotExist
}

func (noSummaries) Span(context.Context) (codec.Span, error) { return codec.Span{}, nil }
