package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"time"
)

// serve runs the service until a signal or a failure, then stops it. start.go
// has the parts and their order, signals.go what each signal does.
func serve(p *program) error {
	if err := checkParts(p); err != nil {
		return fmt.Errorf("%w: %w", errWrong, err)
	}
	ended := make(chan struct{})
	defer close(ended)
	sig := handleSignals(p.log, ended)
	limitMemory(p.cfg)
	useTwoThreads()
	fitOpenFiles(p.cfg, openFilesLimit(), p.log.Logger)
	prof, err := startProfiles(p.cfg.Pipeline, p.log.Logger)
	if err != nil {
		return err
	}

	s := &service{program: p, stages: newStages()}
	stopping, finished := make(chan struct{}), make(chan struct{})
	s.limitStop(sig.stop, stopping, finished)
	if err = s.start(); err == nil {
		err = s.wait(sig)
		err = errors.Join(err, prof.snapshot())
	}
	close(stopping)
	if s.server != nil {
		s.server.Drain()
		if err == nil {
			select { // load balancers look elsewhere meanwhile
			case <-time.After(p.cfg.Server.DrainDelay):
			case <-sig.hurry.Done():
			}
		}
	}
	// Parts that can interrupt their work do so when a fifth of the time is left.
	ctx, cancel := context.WithTimeout(sig.hurry, p.cfg.Server.ShutdownTimeout*8/10)
	defer cancel()
	err = errors.Join(err, s.stages.stop(ctx), prof.end())
	close(finished)
	if sig.hurry.Err() != nil {
		err = errors.Join(err, errHurried)
	}
	if err == nil {
		p.log.Info("stopped")
	}
	return err
}

var errHurried = errors.New("ended by a second signal")

// wait returns when the service is to stop: nil because of a signal, or the
// error of the part that has failed. Until then it reloads when told to.
func (s *service) wait(sig *signals) error {
	for {
		select {
		case <-sig.stop:
			return nil
		case err := <-s.stages.failed:
			s.log.Error("stopping: a part has failed", "err", err)
			return err
		case <-sig.reload:
			s.reload()
		}
	}
}

// limitStop ends the process when the stop takes longer than
// server.shutdownTimeout, from a signal on (which may come while the start goes
// on) or from stopping on, and finished is not closed by then. That is what a
// crash does: what was written, synced or replicated stays, what was only
// enqueued is lost.
func (s *service) limitStop(signalled, stopping, finished <-chan struct{}) {
	timeout := s.cfg.Server.ShutdownTimeout
	go func() {
		select {
		case <-signalled:
		case <-stopping:
		}
		select {
		case <-time.After(timeout):
			s.log.Error("the stop took longer than server.shutdownTimeout: ending at once", "timeout", timeout, "stopping", s.stages.stopping.Load())
			_ = pprof.Lookup("goroutine").WriteTo(s.log.writer, 1) // what it waits for; there should be nothing
			s.log.exit(1)
		case <-finished:
		}
	}()
}

// exit ends the process once the log is written, or its reader has had its time.
func (l *logger) exit(status int) {
	l.close()
	os.Exit(status)
}
