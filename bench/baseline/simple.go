package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// simple is the usual way to write such a server, with its
// costs: what a careful programmer writes with the standard library alone.
type simple struct{ dir string }

type record struct {
	Timestamp time.Time `json:"timestamp"`
	Path      string    `json:"path"`
	UserAgent string    `json:"userAgent"`
}

func (r *record) validate() error {
	switch {
	case r.Timestamp.IsZero():
		return errors.New("timestamp is missing")
	case strings.TrimSpace(r.Path) == "":
		return errors.New("path is empty")
	case strings.TrimSpace(r.UserAgent) == "":
		return errors.New("userAgent is empty")
	}
	return nil
}

// decode reads the batch of a request; its errors are the client's.
func decode(req *http.Request) (batch []record, err error) {
	if err := json.NewDecoder(req.Body).Decode(&batch); err != nil {
		return nil, err
	}
	for i := range batch {
		if err := batch[i].validate(); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

func (h simple) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	batch, err := decode(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := h.store(batch); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// locks is one lock a file; it only grows.
var locks sync.Map

// store opens each hour's file and writes its records one by one.
func (h simple) store(batch []record) error {
	hours := make(map[string][]record)
	for _, r := range batch {
		name := r.Timestamp.UTC().Format("2006-01-02/15.log.json")
		hours[name] = append(hours[name], r)
	}
	for name, recs := range hours {
		if err := h.appendAll(filepath.Join(h.dir, name), recs); err != nil {
			return err
		}
	}
	return nil
}

func (h simple) appendAll(name string, recs []record) (err error) {
	lock, _ := locks.LoadOrStore(name, new(sync.Mutex))
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := json.NewEncoder(f)
	lines.SetEscapeHTML(false)
	for i := range recs {
		if err := lines.Encode(&recs[i]); err != nil {
			return err
		}
	}
	return nil
}
