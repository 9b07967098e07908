package main

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStages_StopInTheOppositeOrderAndGoOnAfterAFailure(t *testing.T) {
	errBad := errors.New("bad")
	var stopped []string
	part := func(name string, err error) func(context.Context) error {
		return func(context.Context) error { stopped = append(stopped, name); return err }
	}
	st := newStages()
	st.then("files", part("files", nil))
	st.run("aggregator", func(ctx context.Context) error {
		<-ctx.Done()
		stopped = append(stopped, "aggregator")
		return nil
	})
	st.then("producer", part("producer", errBad))
	st.then("server", part("server", nil))
	err := st.stop(t.Context())
	if diff := cmp.Diff([]string{"server", "producer", "aggregator", "files"}, stopped); diff != "" {
		t.Error(diff)
	}
	if !errors.Is(err, errBad) || err.Error() != "stop producer: bad" {
		t.Errorf("got %v", err)
	}
}

func TestStages_PartThatEndsByItselfIsAFailure(t *testing.T) {
	errSync := errors.New("sync failed")
	f := func(ends, want error, says string) {
		t.Helper()
		st := newStages()
		st.run("files", func(context.Context) error { return ends })
		err := <-st.failed
		if want != nil && !errors.Is(err, want) || err.Error() != says {
			t.Errorf("got %v", err)
		}
		if err := st.stop(t.Context()); err != nil {
			t.Errorf("the failure is said twice: %v", err)
		}
	}
	f(errSync, errSync, "files: sync failed")
	f(nil, nil, "files: ended by itself")
}
