package main

// server resubmit: records that were set aside, sent to POST /ingest again.
//
// Records go in chunks. Which chunk is about to be sent, with which
// Idempotency-Key and to which process, is on disk before it is sent; that it was
// stored is on disk before the next one. A chunk of which the outcome is not known
// is sent again with the same key to the same process, which stores it once. Where
// that process has ended as well, it is unknown, and a person decides.

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"logforge/sink"
)

const (
	chunkRecords = 500
	chunkBytes   = 1 << 20
	// resubmitPatience is how long a server that is not there, or has no room, is
	// asked again.
	resubmitPatience = time.Minute
	// sayEvery is how often it says how far it is.
	sayEvery = 5 * time.Second
)

// resubmission is one run of the command.
type resubmission struct {
	p        *program
	url      string // of POST /ingest
	version  string // of GET /version
	key      func(*http.Request)
	client   *http.Client
	instance string // of the server
	decision string // for a chunk that may have been stored or not: skip, again, or nothing

	total tally
}

// tally counts records.
type tally struct {
	Stored     int `json:"stored"`
	SetAside   int `json:"setAside"`   // again
	Truncated  int `json:"cut"`        // of which only the beginning was kept
	Unreadable int `json:"unreadable"` // lines that are no rejected record: a crash can leave one
}

func (t *tally) add(o tally) {
	t.Stored += o.Stored
	t.SetAside += o.SetAside
	t.Truncated += o.Truncated
	t.Unreadable += o.Unreadable
}

// progress is how far one source has been resubmitted. It is a file beside it.
type progress struct {
	Source   string `json:"source"`
	Position int64  `json:"position"` // everything before it is done
	tally
	Pending *pendingChunk `json:"pending,omitempty"`
}

// pendingChunk was sent, or was about to be, and has no answer yet.
type pendingChunk struct {
	To       int64  `json:"to"`
	Key      string `json:"key"`
	Instance string `json:"instance"`
}

// chunk is what is sent in one request.
type chunk struct {
	to      int64 // the position after it
	body    []byte
	records int
	tally   // of what is not sent
}

// full reports whether a chunk takes no more records.
func (c *chunk) full() bool { return c.records >= chunkRecords || len(c.body) >= chunkBytes }

// add adds a record as one line of the body.
func (c *chunk) add(r *sink.Rejected) {
	if r.Bytes > 0 {
		c.Truncated++
		return
	}
	c.records++
	record := bytes.TrimSpace(r.Record)
	if len(record) > 0 && record[0] == '{' && json.Valid(record) {
		var line bytes.Buffer
		_ = json.Compact(&line, record) // it is valid
		c.body = append(c.body, line.Bytes()...)
	} else {
		// A body is of one form: what is no object becomes one with a line in it.
		line, _ := json.Marshal(map[string]string{"line": string(record)}) // cannot fail
		c.body = append(c.body, line...)
	}
	c.body = append(c.body, '\n')
}

// rejectSource is a file or a partition with rejected records.
type rejectSource interface {
	name() string
	size() int64 // the position after its last record
	// read returns the chunk that begins at the position: up to the position to, or
	// if that is negative, as many records as fit. A chunk that ends where it
	// begins is the end.
	read(ctx context.Context, from, to int64) (*chunk, error)
	load() (progress, error)
	save(progress) error
	close() error
}

// resubmit is the command.
func resubmit(p *program) (err error) {
	ctx, stop := untilSignal()
	defer stop()
	r, err := newResubmission(p)
	if err != nil {
		return err
	}
	sources, err := r.sources(ctx, p.args[0])
	if err != nil {
		return err
	}
	start := time.Now()
	for i, open := range sources {
		source, err := open()
		if err != nil {
			return err
		}
		if err := errors.Join(r.run(ctx, source), source.close()); err != nil {
			r.report(start)
			return fmt.Errorf("%s: %w", source.name(), err)
		}
		if len(sources) > 1 {
			p.log.Info("resubmitted", "source", source.name(), "done", i+1, "of", len(sources))
		}
	}
	r.report(start)
	return nil
}

func (r *resubmission) report(start time.Time) {
	r.p.log.Info("resubmit", "stored", r.total.Stored, "set aside again", r.total.SetAside, "only their beginning was kept", r.total.Truncated,
		"unreadable", r.total.Unreadable, "took", time.Since(start).Round(time.Millisecond))
}

func newResubmission(p *program) (*resubmission, error) {
	base, client, err := ownServer(p.cfg)
	if err != nil {
		return nil, err
	}
	r := &resubmission{p: p, client: client, version: base + "/version", key: func(*http.Request) {}}
	ack := sink.Synced // what is stored must not be lost, as its progress is synced
	if p.cfg.Pipeline == 2 {
		ack = sink.Replicated
	}
	r.url = base + "/ingest?format=ndjson&ack=" + ack.String()
	if auth := &p.cfg.Auth; auth.Enabled && len(auth.Keys) > 0 {
		r.key = func(req *http.Request) { req.Header.Set(auth.HeaderName, auth.Keys[0].Value) }
	}
	if len(p.args) > 1 {
		if r.decision = p.args[1]; r.decision != "skip" && r.decision != "again" {
			return nil, fmt.Errorf("resubmit takes skip or again after what is resubmitted, not %q", r.decision)
		}
	}
	return r, nil
}

// sources returns what opens each source that the command's word names.
func (r *resubmission) sources(ctx context.Context, word string) ([]func() (rejectSource, error), error) {
	if word == "topic" || strings.HasPrefix(word, "topic:") {
		return r.topicSources(ctx, word)
	}
	info, err := os.Stat(word)
	if err != nil {
		return nil, err
	}
	files := []string{word}
	if info.IsDir() {
		files = nil
		err := filepath.WalkDir(word, func(name string, entry os.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && strings.HasSuffix(name, ".ndjson") && !strings.HasPrefix(entry.Name(), ".") {
				files = append(files, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
	}
	var sources []func() (rejectSource, error)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		// What is set aside again goes into these files, too: only what is there now
		// is resubmitted.
		end := info.Size()
		sources = append(sources, func() (rejectSource, error) { return openFileSource(file, end) })
	}
	return sources, nil
}

// run resubmits one source.
func (r *resubmission) run(ctx context.Context, source rejectSource) error {
	done, err := source.load()
	if err != nil {
		return err
	}
	for said := time.Now(); ; {
		if time.Since(said) > sayEvery {
			said = time.Now()
			r.p.log.Info("resubmitting", "source", source.name(), "position", done.Position, "end", source.size(), "stored so far", r.total.Stored)
		}
		to, sentBefore := int64(-1), done.Pending != nil
		if sentBefore {
			to = done.Pending.To
		}
		c, err := source.read(ctx, done.Position, to)
		if err != nil {
			return err
		}
		if c.to == done.Position {
			break
		}
		result := c.tally
		if c.records > 0 {
			if !sentBefore {
				if done.Pending, err = r.newPending(ctx, c.to); err == nil {
					err = source.save(done)
				}
				if err != nil {
					return err
				}
			}
			answer, err := r.send(ctx, source, &done, c, sentBefore)
			if err != nil {
				return err
			}
			result.add(answer)
		}
		done.Position, done.Pending = c.to, nil
		done.add(result)
		r.total.add(result)
		if err := ctx.Err(); err != nil {
			return errors.Join(source.save(done), err)
		}
	}
	return source.save(done)
}

// newPending makes the key of a chunk, for the server that there is now.
func (r *resubmission) newPending(ctx context.Context, to int64) (*pendingChunk, error) {
	if r.instance == "" {
		if err := r.askInstance(ctx); err != nil {
			return nil, err
		}
	}
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	return &pendingChunk{To: to, Key: hex.EncodeToString(key[:]), Instance: r.instance}, nil
}

func (r *resubmission) askInstance(ctx context.Context) error {
	return r.patiently(ctx, func() (again bool, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.version, nil)
		if err != nil {
			return false, err
		}
		resp, err := r.client.Do(req)
		if err != nil {
			return true, err
		}
		defer resp.Body.Close() //nolint:errcheck // only its header is looked at
		if r.instance = resp.Header.Get("Logforge-Instance"); r.instance == "" {
			return false, fmt.Errorf("%s is no server of this version", r.version)
		}
		return false, nil
	})
}

// patiently calls f until it says that another try makes no sense.
func (r *resubmission) patiently(ctx context.Context, f func() (again bool, err error)) error {
	wait := 100 * time.Millisecond
	for end := time.Now().Add(resubmitPatience); ; {
		again, err := f()
		if !again || err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// errOutcomeUnknown is the error for a chunk that may have been stored or not.
var errOutcomeUnknown = errors.New("it is unknown whether a chunk was stored: resubmit and the server have both ended while it was sent. " +
	"Look whether its records are in the hourly files, and add the word skip to this command if they are, or again if they are not")

// send sends one chunk until it is stored.
func (r *resubmission) send(ctx context.Context, source rejectSource, done *progress, c *chunk, sentBefore bool) (tally, error) {
	doubt := sentBefore // whether a sending may have been stored
	var answer struct{ Accepted, Rejected int }
	err := r.patiently(ctx, func() (again bool, err error) {
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, r.url, bytes.NewReader(c.body))
		if err != nil {
			return false, err
		}
		r.key(req)
		req.Header.Set("Content-Type", "application/x-ndjson")
		req.Header.Set("Idempotency-Key", done.Pending.Key)
		req.Header.Set("Logforge-Instance", done.Pending.Instance)
		resp, err := r.client.Do(req)
		if err != nil {
			doubt = doubt || !errors.Is(err, syscall.ECONNREFUSED)
			return true, err
		}
		defer resp.Body.Close() //nolint:errcheck // it was read
		text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			doubt = true
			return true, err
		}
		var problem struct{ Reason, Detail string }
		switch resp.StatusCode {
		case http.StatusOK:
			return false, json.Unmarshal(text, &answer)
		case http.StatusServiceUnavailable:
			return true, fmt.Errorf("%s: %s", resp.Status, text)
		case http.StatusConflict:
			_ = json.Unmarshal(text, &problem) // without a reason it is none of those below
			switch problem.Reason {
			case "under_way":
				return true, fmt.Errorf("%s: %s", resp.Status, problem.Detail)
			case "instance", "unknown":
				return r.decide(ctx, source, done, problem.Reason == "instance" && !doubt, &answer.Accepted, c)
			}
		}
		return false, fmt.Errorf("%s: %s", resp.Status, text)
	})
	return tally{Stored: answer.Accepted, SetAside: answer.Rejected}, err
}

// decide says what becomes of a chunk whose process is gone. Where no sending of it
// can have been stored it goes to the process that there is now.
func (r *resubmission) decide(ctx context.Context, source rejectSource, done *progress, sure bool, stored *int, c *chunk) (again bool, err error) {
	switch {
	case r.decision == "skip" && !sure:
		r.decision = "" // it was about this chunk
		*stored = c.records
		return false, nil
	case r.decision == "again" || sure:
		if !sure {
			r.decision = ""
		}
		r.instance = ""
		pending, err := r.newPending(ctx, done.Pending.To)
		if err != nil {
			return false, err
		}
		done.Pending = pending
		if err := source.save(*done); err != nil {
			return false, err
		}
		return true, errors.New("the server was started anew")
	}
	return false, errOutcomeUnknown
}
