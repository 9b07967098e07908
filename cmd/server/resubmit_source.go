package main

// Where resubmit finds rejected records: files, and the dead-letter topic.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"logforge/sink"
	"logforge/sink/durable"
	"logforge/sink/hourly"
	"logforge/sink/kafka"
)

// fileSource is a file of rejected records, up to what it had at the start.
type fileSource struct {
	path string
	end  int64
	file *os.File
	dir  *durable.Directory
}

func openFileSource(path string, end int64) (rejectSource, error) {
	dir, err := durable.OpenDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	// One resubmit at a time.
	if err := dir.Lock(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: another resubmit works here: %w", path, err), dir.Close())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return &fileSource{path: path, end: end, file: file, dir: dir}, nil
}

func (s *fileSource) name() string { return s.path }
func (s *fileSource) size() int64  { return s.end }
func (s *fileSource) close() error { return errors.Join(s.file.Close(), s.dir.Close()) }

func (s *fileSource) read(_ context.Context, from, to int64) (*chunk, error) {
	c := &chunk{to: from}
	end := s.end
	if to >= 0 {
		end = to
	}
	lines := newLineReader(io.NewSectionReader(s.file, from, end-from))
	for to >= 0 || !c.full() {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break // what is behind the last newline is being written, or torn off
		}
		if err != nil {
			return nil, err
		}
		c.to += int64(len(line))
		rejected, err := sink.ParseRejected(line)
		if err != nil {
			c.Unreadable++
			continue
		}
		c.add(&rejected)
	}
	return c, nil
}

func (s *fileSource) progressName() string { return "." + filepath.Base(s.path) + ".resubmitted" }

func (s *fileSource) load() (progress, error) {
	return loadProgress(filepath.Join(s.dir.Path(), s.progressName()), s.path)
}

func (s *fileSource) save(p progress) error { return saveProgress(s.dir, s.progressName(), p) }

func loadProgress(file, source string) (p progress, err error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return progress{Source: source}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("%s, which says how far it was resubmitted: %w", file, err)
	}
	return p, nil
}

func saveProgress(dir *durable.Directory, name string, p progress) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return durable.WriteFile(dir, name, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// lineReader reads lines of a file of rejected records.
type lineReader struct{ r *bufio.Reader }

// maxRejectedLine is longer than any line: a record of which every byte is
// escaped, and what is said of it.
const maxRejectedLine = 8*sink.MaxRejectedBytes + 64<<10

func newLineReader(r io.Reader) lineReader {
	return lineReader{bufio.NewReaderSize(r, maxRejectedLine)}
}

// next returns the next line with its newline, valid until the next call, or
// io.EOF.
func (l lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, errors.New("this is no file of rejected records: it has a line that is longer than any of them")
	}
	return line, err
}

// topicSource is one partition of the dead-letter topic.
type topicSource struct {
	letters   *kafka.DeadLetters
	partition int32
	from      int64 // what the command line says
	dir       *durable.Directory
}

// topicSources reads topic, or topic:OFFSET.
func (r *resubmission) topicSources(ctx context.Context, word string) ([]func() (rejectSource, error), error) {
	from := int64(0)
	if _, text, found := strings.Cut(word, ":"); found {
		var err error
		if from, err = strconv.ParseInt(text, 10, 64); err != nil || from < 0 {
			return nil, fmt.Errorf("%q is no offset: write topic:1234", text)
		}
	}
	if r.p.cfg.Pipeline != 2 {
		return nil, errors.New("pipeline 1 has no dead-letter topic: name a file or a directory, such as logs/.rejected")
	}
	letters, err := kafka.OpenDeadLetters(ctx, r.p.cfg.Kafka, r.p.log.Logger)
	if err != nil {
		return nil, err
	}
	var sources []func() (rejectSource, error)
	for _, partition := range letters.Partitions() {
		sources = append(sources, func() (rejectSource, error) {
			path := filepath.Join(r.p.cfg.Storage.LogsDir, hourly.RejectedDir)
			if err := durable.MkdirAll(path); err != nil {
				return nil, err
			}
			dir, err := durable.OpenDir(path)
			if err != nil {
				return nil, err
			}
			if err := dir.Lock(); err != nil {
				return nil, errors.Join(fmt.Errorf("%s: another resubmit works here: %w", path, err), dir.Close())
			}
			return &topicSource{letters, partition, from, dir}, nil
		})
	}
	return sources, nil
}

func (s *topicSource) name() string { return fmt.Sprintf("%s/%d", s.letters.Topic(), s.partition) }
func (s *topicSource) close() error { return s.dir.Close() }

func (s *topicSource) size() int64 {
	_, end := s.letters.Span(s.partition)
	return end
}

// errFull ends the reading of a chunk.
var errFull = errors.New("the chunk is full")

func (s *topicSource) read(ctx context.Context, from, to int64) (*chunk, error) {
	c := &chunk{to: from}
	err := s.letters.Read(ctx, s.partition, from, func(offset int64, r sink.Rejected) error {
		if to >= 0 && offset >= to || to < 0 && c.full() {
			return errFull
		}
		c.to = offset + 1
		c.add(&r)
		return nil
	})
	if errors.Is(err, errFull) {
		err = nil
	}
	return c, err
}

func (s *topicSource) progressName() string {
	return fmt.Sprintf(".%s-%d.resubmitted", s.letters.Topic(), s.partition)
}

func (s *topicSource) load() (progress, error) {
	p, err := loadProgress(filepath.Join(s.dir.Path(), s.progressName()), s.name())
	// What is done stays done, whatever the command line says.
	p.Position = max(p.Position, s.from)
	if start, _ := s.letters.Span(s.partition); p.Pending == nil {
		p.Position = max(p.Position, start)
	}
	return p, err
}

func (s *topicSource) save(p progress) error { return saveProgress(s.dir, s.progressName(), p) }
