package main

// Version 2 and its baselines. Server, broker and load generator share all cores:
// the broker is a part of what is compared. A run ends when everything that was
// acknowledged is in the files, and its time is taken until then.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"logforge/bench/child"
)

const (
	kafkaConns = 64
	// drainTimeout bounds how long the files may take after the last answer.
	drainTimeout = 5 * time.Minute
	// quiet is how long no file may have grown for a run to count as drained.
	quiet = time.Second
)

// broker is the Kafka that contenders are run against.
var broker struct {
	addr    string // host:port
	pidFile string // of the process whose CPU time is taken; broker.sh keeps it
}

func kafkaBaseline(compression string) contender {
	return contender{
		name: "kafka-" + compression, about: "baseline: the raw body, " + compression, conns: kafkaConns, path: "/logs",
		kafka: true, baseline: "kafka-" + compression, stored: countBodies,
		command: func(addr, dir string) []string {
			return viaKafka(dir, "baseline", "-mode", "kafka-raw", "-compression", compression, "-addr", addr, "-dir", dir)
		},
	}
}

func version2(name, about, compression, query string, env ...string) contender {
	return contender{
		name: name, about: "version 2, " + about, conns: kafkaConns, path: "/logs" + query, ready: "/ready",
		kafka: true, baseline: "kafka-" + compression, stored: countLines,
		env: append(env, "LOGFORGE_KAFKA_COMPRESSION="+compression),
		command: func(addr, dir string) []string {
			return append(viaKafka(dir, "server", "-version", "2", "-addr", addr, "-group", filepath.Base(dir)),
				"-logs-dir", filepath.Join(dir, "logs"), "-analytics-dir", filepath.Join(dir, "analytics"))
		},
	}
}

// viaKafka adds the broker and the topic, which has the name of the run's directory.
func viaKafka(dir string, command ...string) []string {
	return append(command, "-brokers", broker.addr, "-topic", filepath.Base(dir))
}

// withTopic makes the topic of a run and removes it after run has ended.
func withTopic(ctx context.Context, name string, run func() error) (err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	largest := strconv.Itoa(8 << 20)
	made, err := admin.CreateTopic(ctx, 10, 1, map[string]*string{"max.message.bytes": &largest}, name)
	if err = errors.Join(err, made.Err); err != nil {
		return fmt.Errorf("making topic %s on %s (make kafka-up starts a broker): %w", name, broker.addr, err)
	}
	defer func() {
		_, e := admin.DeleteTopics(context.WithoutCancel(ctx), name, name+".dlq")
		err = errors.Join(err, e)
	}()
	return run()
}

// brokerCPU returns the CPU time the broker has taken so far.
func brokerCPU() (time.Duration, error) {
	text, err := os.ReadFile(broker.pidFile)
	if err != nil {
		return 0, fmt.Errorf("the broker's process id (-broker-pid-file): %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, err
	}
	return child.CPU(pid)
}

// drained waits until no file below dir has grown for a while, and returns when
// one did last.
func drained(ctx context.Context, dir string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last, grew := int64(-1), time.Now()
	for time.Since(grew) < quiet {
		size := int64(0)
		err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
				return err
			}
			info, err := d.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return grew, err
		}
		if size != last {
			last, grew = size, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return grew, fmt.Errorf("the files still grow: %w", ctx.Err())
		}
	}
	return grew, nil
}
