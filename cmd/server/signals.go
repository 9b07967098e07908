package main

// What signals do to the service. Each one that a service may get has an effect
// that is stated here, in -h and in docs/command-line.md:
//
//	SIGTERM, SIGINT  the graceful stop: what is under way finishes
//	the second one   the stop goes on without waiting: what is only
//	                 enqueued goes to the dead-letter directory. The exit status is 1
//	the third one    the process ends at that moment, as by a crash
//	SIGHUP           API keys, certificates and the log level are read again
//	SIGQUIT          the stacks of all goroutines go to the log, then the graceful stop
//	SIGUSR1          the stacks of all goroutines go to the log
//	SIGPIPE, SIGUSR2 none; nor has any other that does not have to end a process

import (
	"context"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"
)

// hurryTimeout is how long the stop may go on after a second signal.
const hurryTimeout = 5 * time.Second

// signals is what the signals so far ask of the service.
type signals struct {
	stop   chan struct{}   // closed by the first signal to stop
	hurry  context.Context // ended by the second
	reload chan struct{}   // holds one while a reload is wanted
}

// handleSignals begins to receive signals and goes on until ended is closed.
func handleSignals(log *logger, ended <-chan struct{}) *signals {
	hurry, cancel := context.WithCancel(context.Background())
	s := &signals{stop: make(chan struct{}), hurry: hurry, reload: make(chan struct{}, 1)}
	received := make(chan os.Signal, 8)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1)
	// Without this, the Go runtime ends the process when the reader of standard
	// output or standard error has gone.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGUSR2)
	go func() {
		defer cancel()
		defer signal.Stop(received)
		stops := 0
		for {
			select {
			case <-ended:
				return
			case got := <-received:
				if s.handle(got, stops, cancel, log) {
					stops++
				}
			}
		}
	}()
	return s
}

// handle acts on one signal after so many signals to stop, and reports whether
// it was one, too.
func (s *signals) handle(got os.Signal, stops int, hurry func(), log *logger) (stop bool) {
	switch got {
	case syscall.SIGHUP:
		select {
		case s.reload <- struct{}{}:
		default: // one is wanted already
		}
		return false
	case syscall.SIGUSR1:
		writeStacks(log)
		return false
	case syscall.SIGQUIT:
		writeStacks(log)
	}
	switch stops {
	case 0:
		log.Info("stopping", "signal", got.String())
		close(s.stop)
	case 1:
		log.Error("second signal: ending at once; what is enqueued goes to the dead-letter directory", "signal", got.String())
		hurry()
		time.AfterFunc(hurryTimeout, func() {
			log.Error("the stop goes on after a second signal: ending at once", "timeout", hurryTimeout)
			log.exit(1)
		})
	default:
		log.exit(1)
	}
	return true
}

// writeStacks writes the stacks of all goroutines to the log, as text.
func writeStacks(log *logger) {
	_ = pprof.Lookup("goroutine").WriteTo(log.writer, 2) // the writer has no errors
}
