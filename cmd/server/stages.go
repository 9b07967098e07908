package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// stages are the parts that run, in the order in which they were started. Each
// may use those before it; stop therefore ends the last one first.
type stages struct {
	failed   chan error // the errors of parts that ended before they were stopped
	stops    []func(context.Context) error
	stopping atomic.Value // name of the part that stop waits for
}

// mostStages is the buffer size of failed: at least the number of stages, so that
// none has to wait to report its failure.
const mostStages = 32

func newStages() *stages { return &stages{failed: make(chan error, mostStages)} }

// then adds a part that is already running; stop ends it.
func (s *stages) then(name string, stop func(context.Context) error) {
	s.stops = append(s.stops, func(ctx context.Context) error {
		s.stopping.Store(name)
		if err := stop(ctx); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
		return nil
	})
}

// run adds a part that blocks until its context ends.
func (s *stages) run(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := f(ctx)
		if ctx.Err() == nil { // it was not stopped
			if err == nil {
				err = errors.New("ended by itself")
			}
			s.failed <- fmt.Errorf("%s: %w", name, err)
			err = nil // reported through failed
		}
		done <- err
	}()
	s.then(name, func(context.Context) error {
		cancel()
		return <-done
	})
}

// stop ends every part, the last first, and joins their errors. A part may
// interrupt its work when ctx ends.
func (s *stages) stop(ctx context.Context) error {
	var errs []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		errs = append(errs, s.stops[i](ctx))
	}
	return errors.Join(errs...)
}
