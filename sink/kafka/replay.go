package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"logforge/codec"
	"logforge/sink"
)

// Replay sends the dead letters in dir again and removes each file once the
// topic has all of it. It returns how many records that were. After an error
// the files that remain can be replayed again.
//
// Lines that do not parse, in a file that somebody has edited, stay behind in
// a file whose name ends in .rejected.
func (p *Producer) Replay(ctx context.Context, dir string) (records int, err error) {
	lock, err := os.Open(dir)
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, fmt.Errorf("replay %s: another replay is at work there: %w", dir, err)
	}
	entries, err := os.ReadDir(dir) // sorted, and so in order of time
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), linesSuffix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		n, err := p.replayFile(ctx, path)
		records += n
		if err != nil {
			return records, fmt.Errorf("replay %s: %w", path, err)
		}
		p.log.Info("dead letters replayed", "file", path, "records", n)
	}
	return records, nil
}

// replayFile sends one file and removes it, and its reason.
func (p *Producer) replayFile(ctx context.Context, path string) (int, error) {
	lines, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	b := codec.GetBatch()
	defer codec.PutBatch(b)
	var rejected []byte
	b.AppendLines(lines, codec.Limits{}, func(line []byte, e codec.RecordError) {
		p.log.Error("dead letter does not parse", "file", path, "line", e.Index, "field", e.Field, "reason", e.Reason)
		rejected = append(append(rejected, line...), '\n')
	})
	// As sure as this cluster's settings allow: all replicas, or the leader.
	if err := p.write(ctx, b, sink.Replicated); err != nil {
		return 0, err
	}
	dir, base := filepath.Dir(path), strings.TrimSuffix(path, linesSuffix)
	if len(rejected) > 0 {
		if err := writeFile(dir, filepath.Base(base)+".rejected", rejected); err != nil {
			return b.Records(), err
		}
	}
	if err := os.Remove(path); err != nil {
		return b.Records(), err
	}
	if err := os.Remove(base + reasonSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return b.Records(), err
	}
	return b.Records(), syncDir(dir)
}
